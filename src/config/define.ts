import type { ConfigInput } from './input.ts'

/** Types a configuration written in TypeScript: `export default defineConfig({ … })`. */
export function defineConfig(config: ConfigInput): ConfigInput {
  return config
}
