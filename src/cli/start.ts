import type { Command } from 'commander'
import { type CommonOptions, type ExitCode, newCommand, run } from './command.ts'

/** `portcullis start`. */
export function command(): Command {
  return newCommand('start', 'run the gate until it is told to stop', [
    ['portcullis start', 'with ./portcullis.yaml'],
    ['portcullis start --config /etc/portcullis/gate.yaml', 'with another file'],
    ['kill -HUP <pid>', 'take a changed configuration over now (a changed file does so by itself)'],
    ['kill <pid>', 'answer what is in flight, then end'],
  ])
    .addHelpText(
      'after',
      '\nThe activity log goes to standard output, one JSON object a line; messages go to standard error.\n' +
        'A new configuration that does not hold is refused and told; the old one stays in force.',
    )
    .action(run(start))
}

async function start(options: CommonOptions): Promise<ExitCode> {
  const [{ readConfig }, { createLogger }, { runGate }] = await Promise.all([
    import('./read-config.ts'),
    import('./logger.ts'),
    import('./run.ts'),
  ])
  const config = await readConfig(options)
  const log = await createLogger({
    level: config.settings.telemetry.messages,
    ...(options.json === true ? { format: 'json' } : {}),
  })
  const read = () => readConfig(options)
  await runGate(config, {
    log,
    read,
    onReady({ addresses }) {
      for (const { scheme, host, port } of addresses) log.info(`Listening on ${scheme}://${bracketed(host)}:${port}`)
    },
  })
  return 0
}

function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host
}
