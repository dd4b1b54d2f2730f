import { existsSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import type { Config, LoadOptions } from '../config/load.ts'
import { type CommonOptions, defaultConfigFile, UsageError } from './command.ts'

/** The configuration that a command line names, with the keys of every guard. */
export async function readConfig(
  options: Pick<CommonOptions, 'config'>,
  more: Pick<LoadOptions, 'value' | 'overrides' | 'dev' | 'withoutUpstreams'> = {},
): Promise<Config> {
  if (more.value === undefined && options.config === defaultConfigFile && !existsSync(defaultConfigFile)) {
    const file = moduleBeside()
    if (file !== undefined) return readConfig({ config: file }, more)
    throw new UsageError(
      'There is no portcullis.yaml here. `portcullis init` writes one, `--config FILE` names another, and\n' +
        '`portcullis dev ./openapi.yaml --upstream http://localhost:3000` needs none.',
    )
  }
  const [{ loadConfig }, { guards }] = await Promise.all([import('../config/load.ts'), import('../guards/index.ts')])
  const shapes = guards as unknown as LoadOptions['guards']
  return loadConfig({ file: options.config, env: process.env, guards: shapes, ...more })
}

/** The configuration in its other forms, where nobody names one. */
function moduleBeside(): string | undefined {
  return [
    'portcullis.yml',
    'portcullis.json',
    'portcullis.config.ts',
    'portcullis.config.mjs',
    'portcullis.config.js',
  ].find((name) => existsSync(name))
}

/** The store's URL for commands that need nothing else. Beside a `dev` without a file, the store that `dev` made. */
export async function readStoreUrl(
  options: Pick<CommonOptions, 'config'>,
): Promise<{ url: string; directory: string }> {
  const state = resolve('.portcullis/state.db')
  if (options.config === defaultConfigFile && !existsSync(defaultConfigFile) && moduleBeside() === undefined) {
    if (existsSync(state)) return { url: `sqlite:${state}`, directory: dirname(dirname(state)) }
  }
  const { settings, directory } = await readConfig(options, { withoutUpstreams: true })
  return { url: settings.store.url, directory }
}
