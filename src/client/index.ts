export { type Client, type ClientOptions, createClient } from './client.ts'
export { ClientError, type ClientErrorCode } from './error.ts'
export { type Kept, keepInBrowser } from './keep.ts'
export type { RefreshTokens } from './tokens.ts'
