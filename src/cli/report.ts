import { Command } from 'commander'
import { type CommonOptions, type ExitCode, examplesText, newCommand, run } from './command.ts'
import { durationOf, isoOf } from './moments.ts'
import { print, printJson, say, table } from './output.ts'

/** `portcullis report …`. */
export function command(): Command {
  const report = new Command('report')
    .summary('what there is to know of the gate: rights that nobody uses')
    .description('what there is to know of the gate')
    .addHelpText(
      'after',
      examplesText([
        ['portcullis report unused', 'scopes, roles and operations that nobody has used for 30 days'],
        ['portcullis report unused --since 90d --json', ''],
      ]),
    )
  report.addCommand(
    newCommand('unused', 'list the rights of keys, users and grants that nobody has used')
      .option('--since <duration>', 'for how long', '30d')
      .action(run(unused)),
  )
  return report
}

async function unused(options: CommonOptions & { readonly since: string }): Promise<ExitCode> {
  const sinceMs = durationOf(options.since, '--since')
  const [{ readConfig }, { openStore }, { createLogger }, { loadDocuments }, { unusedReport }] = await Promise.all([
    import('./read-config.ts'),
    import('../store/open.ts'),
    import('./logger.ts'),
    import('./load.ts'),
    import('./unused-rights.ts'),
  ])
  const config = await readConfig(options, { withoutUpstreams: true })
  const store = await openStore(config.settings.store.url, { log: await createLogger({ level: 'warn' }) })
  try {
    const served = await loadDocuments(config)
    const { recordedSince, items } = await unusedReport({ config, load: { served } }, { store, now: Date.now }, sinceMs)
    if (options.json === true) {
      const dated = items.map((one) => ({ ...one, since: isoOf(one.since), lastUsedAt: isoOf(one.lastUsedAt) ?? null }))
      printJson({ recordedSince: isoOf(recordedSince) ?? null, items: dated })
      return 0
    }
    if (recordedSince === undefined) say('No gate has written down yet what is used: run one of this version first.')
    else if (recordedSince > Date.now() - sinceMs)
      say(`Written down since ${isoOf(recordedSince)} only: what was used before is not known.`)
    if (items.length === 0) say('Nothing is unused.')
    else {
      const rows = items.map((one) => [
        one.kind,
        one.kind === 'user' ? one.name : `${one.name} (${one.id})`,
        [...one.scopes, ...one.roles.map((role) => `role:${role}`), ...one.operations].join(' ') ||
          (one.wholly ? 'all of it' : '-'),
        isoOf(one.lastUsedAt) ?? 'never',
      ])
      print(table(['WHAT', 'WHOSE', 'UNUSED', 'LAST USED AT ALL'], rows))
    }
    return 0
  } finally {
    await store.close()
  }
}
