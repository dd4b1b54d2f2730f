/*
 * What bytes say of themselves. Only used to contradict: bytes that begin like a PNG are no JSON, and bytes that do
 * not begin like a PNG are no image/png.
 */

type Signature = (bytes: Buffer) => boolean

function begins(...prefixes: readonly (string | readonly number[])[]): Signature {
  const wanted = prefixes.map((prefix) =>
    typeof prefix === 'string' ? Buffer.from(prefix, 'latin1') : Buffer.from(prefix),
  )
  return (bytes) =>
    wanted.some(
      (prefix) => bytes.length >= prefix.length && bytes.compare(prefix, 0, prefix.length, 0, prefix.length) === 0,
    )
}

function at(offset: number, ...texts: readonly string[]): Signature {
  return (bytes) => texts.some((text) => bytes.toString('latin1', offset, offset + text.length) === text)
}

const zip = begins([0x50, 0x4b, 0x03, 0x04], [0x50, 0x4b, 0x05, 0x06])
const ole = begins([0xd0, 0xcf, 0x11, 0xe0, 0xa1, 0xb1, 0x1a, 0xe1])
const riff = (kind: string): Signature => {
  const [head, tail] = [begins('RIFF'), at(8, kind)]
  return (bytes) => head(bytes) && tail(bytes)
}
const isoMedia = at(4, 'ftyp')
const matroska = begins([0x1a, 0x45, 0xdf, 0xa3])
const tiff = begins([0x49, 0x49, 0x2a, 0x00], [0x4d, 0x4d, 0x00, 0x2a])
const gzip = begins([0x1f, 0x8b])
const pdf: Signature = (bytes) => bytes.subarray(0, 1024).includes('%PDF-')

/** By media type: how its bytes must begin. */
const signatures: ReadonlyMap<string, Signature> = new Map([
  ['image/png', begins([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a])],
  ['image/jpeg', begins([0xff, 0xd8, 0xff])],
  ['image/jpg', begins([0xff, 0xd8, 0xff])],
  ['image/gif', begins('GIF87a', 'GIF89a')],
  ['image/webp', riff('WEBP')],
  ['image/bmp', begins('BM')],
  ['image/tiff', tiff],
  ['image/x-icon', begins([0, 0, 1, 0])],
  ['image/vnd.microsoft.icon', begins([0, 0, 1, 0])],
  ['image/avif', isoMedia],
  ['image/heic', isoMedia],
  ['image/heif', isoMedia],
  ['application/pdf', pdf],
  ['application/zip', zip],
  ['application/x-zip-compressed', zip],
  ['application/gzip', gzip],
  ['application/x-gzip', gzip],
  ['application/x-7z-compressed', begins([0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c])],
  ['application/msword', ole],
  ['application/vnd.ms-excel', ole],
  ['application/vnd.ms-powerpoint', ole],
  ['application/epub+zip', zip],
  ['application/java-archive', zip],
  ['audio/mpeg', (bytes) => begins('ID3')(bytes) || (bytes[0] === 0xff && (bytes[1]! & 0xe0) === 0xe0)],
  ['audio/wav', riff('WAVE')],
  ['audio/x-wav', riff('WAVE')],
  ['audio/ogg', begins('OggS')],
  ['audio/flac', begins('fLaC')],
  ['audio/mp4', isoMedia],
  ['video/ogg', begins('OggS')],
  ['video/mp4', isoMedia],
  ['video/quicktime', (bytes) => isoMedia(bytes) || at(4, 'moov', 'mdat', 'free', 'wide')(bytes)],
  ['video/webm', matroska],
  ['audio/webm', matroska],
  ['video/x-matroska', matroska],
  ['video/x-msvideo', riff('AVI ')],
  ['font/woff', begins('wOFF')],
  ['font/woff2', begins('wOF2')],
])

/** Whether it is known how the bytes of a media type begin. */
export function hasSignature(essence: string): boolean {
  return signatureOf(essence) !== undefined
}

function signatureOf(essence: string): Signature | undefined {
  const own = signatures.get(essence)
  if (own !== undefined) return own
  const isOffice =
    essence.startsWith('application/vnd.openxmlformats-') || essence.startsWith('application/vnd.oasis.opendocument.')
  return isOffice ? zip : undefined
}

/** Whether bytes begin as their media type demands; true for types of which nothing is known. */
export function beginsLike(essence: string, bytes: Buffer): boolean {
  const signature = signatureOf(essence)
  return signature === undefined || signature(bytes)
}

/** What bytes claim to be, for types that are told by their bytes and not by a reader: programs, images, archives. */
export function claimOf(bytes: Buffer): string | undefined {
  for (const essence of [
    'image/png',
    'image/jpeg',
    'image/gif',
    'image/webp',
    'application/pdf',
    'application/zip',
    'application/gzip',
  ])
    if (signatures.get(essence)!(bytes)) return essence
  if (executable(bytes)) return 'application/x-executable'
  return markup(bytes)
}

const executable = begins('MZ', [0x7f, 0x45, 0x4c, 0x46], [0xcf, 0xfa, 0xed, 0xfe], [0xca, 0xfe, 0xba, 0xbe])

function markup(bytes: Buffer): string | undefined {
  const start = bytes
    .toString('latin1', 0, 512)
    .replace(/^\xef\xbb\xbf/, '')
    .trimStart()
    .toLowerCase()
  if (/^<(?:!doctype html|html|head|body|script|iframe|svg[\s>].*<script)/s.test(start)) return 'text/html'
  return undefined
}

/**
 * Whether a text begins as XML does: an element, after declaration, comments and instructions; and no document type,
 * the home of entity bombs and of references to files (OWASP XXE).
 */
export function xmlFault(text: string): string | undefined {
  let at = 0
  for (;;) {
    while (at < text.length && ' \t\r\n'.includes(text[at]!)) at++
    if (text[at] !== '<') return 'expected XML'
    if (text.startsWith('<!--', at)) {
      const end = text.indexOf('-->', at + 4)
      if (end < 0) return 'expected XML'
      at = end + 3
    } else if (text.startsWith('<?', at)) {
      const end = text.indexOf('?>', at + 2)
      if (end < 0) return 'expected XML'
      const encoding = /encoding\s*=\s*["']([^"']*)["']/.exec(text.slice(at, Math.min(end, at + 200)))?.[1]
      if (encoding !== undefined && encoding.toLowerCase() !== 'utf-8') return 'expected XML in UTF-8'
      at = end + 2
    } else if (text.startsWith('<!', at)) return 'expected XML without a document type declaration'
    else return /^<[A-Za-z_:\u0080-\uffff]/.test(text.slice(at, at + 2)) ? undefined : 'expected XML'
  }
}
