import { existsSync, writeFileSync } from 'node:fs'
import { relative, resolve } from 'node:path'
import type { Command } from 'commander'
import { type CommonOptions, defaultConfigFile, type ExitCode, newCommand, run, UsageError } from './command.ts'
import { print, printJson, say } from './output.ts'

interface InitOptions extends CommonOptions {
  readonly openapi?: string
  readonly upstream?: string
  readonly name?: string
  readonly force?: boolean
}

/** `portcullis init`. */
export function command(): Command {
  return newCommand('init', 'write a portcullis.yaml', [
    ['portcullis init', 'asks three questions'],
    ['portcullis init --openapi ./openapi.yaml --upstream http://localhost:3000', 'asks none'],
  ])
    .option('--openapi <file>', 'the OpenAPI document')
    .option('--upstream <url>', 'where the API runs')
    .option('--name <name>', 'how the API is called in logs and metrics')
    .option('--force', 'replace a file that is there')
    .action(run(init))
}

interface Answers {
  readonly openapi: string
  readonly upstream: string
  readonly name: string
}

async function init(options: InitOptions): Promise<ExitCode> {
  const file = options.config
  if (existsSync(file) && options.force !== true) {
    throw new UsageError(`${file} is there already. --force replaces it, --config FILE writes another.`)
  }
  const answers = await answersOf(options)
  const { loadConfig } = await import('../config/load.ts')
  const { guards } = await import('../guards/index.ts')
  const text = configurationText(answers, file)
  // What is written must hold: it is read as `start` would, before anything is written.
  await loadConfig({
    file,
    value: { version: 1, apis: { [answers.name]: { openapi: answers.openapi, upstream: answers.upstream } } },
    env: {},
    guards: guards as never,
  })
  writeFileSync(file, text)
  if (options.json === true) printJson({ file: resolve(file), ...answers })
  else {
    print(`${relative('', file) || file} is written.`)
    if (!existsSync(answers.openapi)) say(`There is no ${answers.openapi} yet; the gate does not start without it.`)
    const other = file === defaultConfigFile ? '' : ` --config ${file}`
    say(
      `\nNext:\n  portcullis check${other}                             does everything hold?\n` +
        `  portcullis key create me${other}                     a key to call with\n` +
        `  portcullis start${other}                             run it`,
    )
  }
  return 0
}

async function answersOf(options: InitOptions): Promise<Answers> {
  const guess = ['openapi.yaml', 'openapi.yml', 'openapi.json', 'swagger.yaml', 'swagger.json'].find((name) =>
    existsSync(name),
  )
  const name = options.name ?? 'api'
  if (options.openapi !== undefined && options.upstream !== undefined) {
    return { openapi: options.openapi, upstream: options.upstream, name }
  }
  if (process.stdin.isTTY !== true || options.json === true) {
    throw new UsageError(
      'There is no terminal to ask on: portcullis init --openapi ./openapi.yaml --upstream http://localhost:3000',
    )
  }
  const { group, intro, text } = await import('@clack/prompts')
  intro('An OpenAPI document in, a protected API out.')
  return group(
    {
      openapi: () =>
        text({
          message: 'Where is the OpenAPI document?',
          initialValue: options.openapi ?? (guess === undefined ? '' : `./${guess}`),
          validate: (answer) => (answer && existsSync(answer) ? undefined : 'There is no such file.'),
        }),
      upstream: () =>
        text({
          message: 'Where does the API run?',
          initialValue: options.upstream ?? 'http://localhost:3000',
          validate: (answer) =>
            answer && /^https?:\/\/./.test(answer) && URL.canParse(answer)
              ? undefined
              : 'A URL such as http://localhost:3000',
        }),
      name: () =>
        text({
          message: 'What is it called?',
          initialValue: name,
          validate: (answer) =>
            /^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/.test(answer ?? '') ? undefined : 'Letters, digits, - and _.',
        }),
    },
    {
      onCancel: () => {
        throw new UsageError('Nothing was written.')
      },
    },
  )
}

function configurationText({ openapi, upstream, name }: Answers, file: string): string {
  const document = relative(resolve(file, '..'), resolve(openapi))
  const scalar = (text: string) => (/^[\w./:@-]+$/.test(text) && !/^[\d.-]+$/.test(text) ? text : JSON.stringify(text))
  return `# yaml-language-server: $schema=./node_modules/portcullis/schema/v1.json
# Everything else is derived from the document: routes, validation, who may call. Defaults are the secure ones;
# \`portcullis explain GET /path\` prints what stands before an operation.
version: 1
apis:
  ${name}:
    openapi: ${scalar(document.startsWith('.') ? document : `./${document}`)}
    upstream: ${scalar(upstream)}

# For the network, in place of the development certificate on 127.0.0.1:8443:
# listen:
#   - { port: 443, tls: { certificate: ./cert.pem, key: ./key.pem } }
#   - { port: 80, redirect: https }
`
}
