import type { z } from './language.ts'
import type { apiShape, rootShape } from './settings.ts'

/** A configuration as it is written: the same keys as in portcullis.yaml. Guards' keys are checked when it is loaded. */
export type ConfigInput = {
  readonly [Key in keyof typeof rootShape]?: z.input<(typeof rootShape)[Key]>
} & {
  readonly apis?: Readonly<Record<string, Partial<z.input<typeof apiShape>> & { readonly [guard: string]: unknown }>>
  readonly [rootKeyOfAGuard: string]: unknown
}

/** Types a configuration written in TypeScript: `export default defineConfig({ … })`. */
export function defineConfig(config: ConfigInput): ConfigInput {
  return config
}
