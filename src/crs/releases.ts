import { z } from 'zod'

/** Who signs the releases of the OWASP CRS: SECURITY.md of coreruleset/coreruleset. */
export const releaseKeyFingerprint = '36006F0E0BA167832158821138EEACA1AB8A6E72'

/** What is installed when nobody says which: the version that this release of the gate was tested with. */
export const defaultVersion = '4.28.0'

/** SHA-256 of `coreruleset-<version>-minimal.tar.gz`, where known when this program was released. */
export const pinnedDigests: Readonly<Record<string, string>> = {
  '4.28.0': 'fca67fe46adafeeee61b9d1a03f38c25b9b2a799577df03fa51d99589e6d03b9',
  '4.29.0': '1aa1c5c8fc29e532d35293bcea36bf72de61db8f6ed4716a0f91ab14552b7fed',
}

/** Where releases come from. */
export interface ReleaseSite {
  readonly index: string
  readonly key: string
  readonly tarball: (version: string) => string
  /** Hosts that a redirect may lead to. */
  readonly hosts: readonly string[]
}

const github: ReleaseSite = {
  index: 'https://api.github.com/repos/coreruleset/coreruleset/releases?per_page=100',
  key: 'https://coreruleset.org/security.asc',
  tarball: (version) =>
    `https://github.com/coreruleset/coreruleset/releases/download/v${version}/${assetName(version)}`,
  hosts: ['github.com', 'api.github.com', 'objects.githubusercontent.com', 'release-assets.githubusercontent.com'],
}

/** GitHub, or a mirror laid out as `<mirror>/releases.json`, `<mirror>/security.asc`, `<mirror>/v4.28.0/<asset>`. */
export function releaseSite(mirror: string | undefined): ReleaseSite {
  if (mirror === undefined) return github
  const base = mirror.replace(/\/$/, '')
  return {
    index: `${base}/releases.json`,
    key: `${base}/security.asc`,
    tarball: (version) => `${base}/v${version}/${assetName(version)}`,
    hosts: [],
  }
}

export function assetName(version: string): string {
  return `coreruleset-${version}-minimal.tar.gz`
}

const index = z.array(z.object({ tag_name: z.string(), draft: z.boolean(), prerelease: z.boolean() })).max(1_000)

/** The released versions that an index lists, newest first. Its order and its words are not relied on. */
export function versionsIn(text: string): string[] {
  return index
    .parse(JSON.parse(text))
    .filter(({ draft, prerelease }) => !draft && !prerelease)
    .map(({ tag_name: tag }) => /^v(\d{1,4}\.\d{1,4}\.\d{1,4})$/.exec(tag)?.[1])
    .filter((version) => version !== undefined)
    .sort((a, b) => compareVersions(b, a))
}

/** Whether a version belongs to a line: 4.25.1 to `4.25` and to `4`. */
export function isOfLine(version: string, line: string): boolean {
  return version === line || version.startsWith(`${line}.`)
}

export function compareVersions(a: string, b: string): number {
  const [left, right] = [a, b].map((version) => version.split('-')[0]!.split('.').map(Number))
  for (let at = 0; at < 3; at++) {
    const difference = (left![at] ?? 0) - (right![at] ?? 0)
    if (difference !== 0) return difference
  }
  return 0
}
