/**
 * Configurations that come with the program: `extends: [portcullis/profiles/strict]`. A profile only tightens; what
 * it leaves out keeps its secure default.
 */
export const profiles: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  /** Shorter waits and smaller limits on connections than the internet at large needs, for services among themselves. */
  strict: {
    connection: {
      headerBytes: '8KB',
      headerCount: 64,
      headTimeout: '5s',
      requestTimeout: '30s',
      idleTimeout: '15s',
      connectionsPerAddress: 256,
      streams: 32,
    },
  },
}
