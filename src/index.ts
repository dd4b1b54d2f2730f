export { defineConfig } from './config/define.ts'
export type { ConfigInput } from './config/input.ts'
