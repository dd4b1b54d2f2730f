export { type ConfigInput, defineConfig } from './config/define.ts'
