import { ConfigError } from '../base/errors.ts'
import { differences, isIntact, verifyLock } from './lock.ts'

/** An installed rule set whose files are as they were verified when they were installed. */
export interface InstalledRules {
  readonly version: string
  readonly directory: string
}

/**
 * The rules that `portcullis waf install` put into a folder, once every file has been compared with the lock. Throws
 * `ConfigError` that names what was changed, is missing or was added.
 */
export async function installedRules(directory: string): Promise<InstalledRules> {
  const report = await verifyLock(directory)
  if (report === undefined) {
    throw new ConfigError('P1514', `no OWASP CRS is installed in ${directory}`, {
      hint: '`portcullis waf install` fetches and verifies one; `crs.path` names another folder',
    })
  }
  if (!isIntact(report)) {
    throw new ConfigError(
      'P1513',
      `the rules in ${report.directory} are not those that were installed: ${differences(report)}`,
      { hint: '`portcullis waf install` mends them; own settings belong in files that `waf.include` names' },
    )
  }
  return { version: report.version, directory: report.directory }
}
