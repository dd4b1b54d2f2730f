import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { gzipSync } from 'node:zlib'
import { packTar, type TarHeader } from 'modern-tar'
import type { TestKey } from './openpgp.ts'

/** A small rule set in the shape of a CRS release. */
export function smallCrs(version: string, more: Readonly<Record<string, string>> = {}): Record<string, string> {
  return {
    'crs-setup.conf.example': `SecAction "id:900990,phase:1,nolog,pass,setvar:tx.crs_setup_version=${version.replaceAll('.', '')}"\n`,
    LICENSE: 'Apache License 2.0\n',
    'rules/REQUEST-901-INITIALIZATION.conf': `SecComponentSignature "OWASP_CRS/${version}"\n`,
    'rules/REQUEST-930-APPLICATION-ATTACK-LFI.conf': `SecRule ARGS "@pmFromFile lfi-os-files.data" "id:930120,phase:2,deny,status:403,log,msg:'OS File Access Attempt',tag:'attack-lfi',ver:'OWASP_CRS/${version}'"\n`,
    'rules/lfi-os-files.data': 'etc/passwd\netc/shadow\n',
    'tests/regression/tests/930120.yaml': 'tests: []\n',
    ...more,
  }
}

/** A release tarball; `odd` entries stand at its end as they are. */
export async function tarball(
  version: string,
  files: Readonly<Record<string, string | Buffer>> = smallCrs(version),
  odd: readonly { readonly header: TarHeader; readonly body?: string | Buffer }[] = [],
): Promise<Buffer> {
  const top = `coreruleset-${version}`
  const entries = Object.entries(files).map(([name, body]) => ({
    header: { name: `${top}/${name}`, size: Buffer.byteLength(body) },
    body,
  }))
  return gzipSync(await packTar([{ header: { name: `${top}/`, size: 0, type: 'directory' } }, ...entries, ...odd]))
}

/** A site laid out like a mirror of the releases. What `files` hold can be changed at any time. */
export interface CrsSite {
  readonly url: string
  /** By path: what is answered, or who answers. */
  readonly files: Map<string, Buffer | string | ((request: IncomingMessage, reply: ServerResponse) => void)>
  readonly asked: string[]
  /** Publishes a release, signed, and puts it into the index. */
  release(version: string, bytes?: Buffer): Promise<void>
  stop(): Promise<void>
}

export async function startCrsSite(key: TestKey): Promise<CrsSite> {
  const files: CrsSite['files'] = new Map()
  const asked: string[] = []
  const released: string[] = []
  const server = createServer((request, reply) => {
    asked.push(request.url!)
    const file = files.get(request.url!)
    if (typeof file === 'function') file(request, reply)
    else if (file === undefined) reply.writeHead(404).end('Not Found')
    else reply.end(file)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  files.set('/security.asc', key.publicKey)
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    files,
    asked,
    async release(version, bytes) {
      const content = bytes ?? (await tarball(version))
      const name = `/v${version}/coreruleset-${version}-minimal.tar.gz`
      files.set(name, content)
      files.set(`${name}.asc`, key.sign(content))
      if (!released.includes(version)) released.push(version)
      const index = released.map((one) => ({ tag_name: `v${one}`, draft: false, prerelease: false, name: `v${one}` }))
      files.set('/releases.json', JSON.stringify([{ tag_name: 'nightly', draft: false, prerelease: true }, ...index]))
    },
    async stop() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
