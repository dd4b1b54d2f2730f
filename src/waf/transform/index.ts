import { base64Decode, base64DecodeExt, base64Encode } from './base64.ts'
import { cmdLine } from './cmd-line.ts'
import { removeComments, removeCommentsChar, replaceComments } from './comments.ts'
import { cssDecode } from './css-decode.ts'
import { escapeSeqDecode } from './escape-seq-decode.ts'
import { md5, sha1 } from './hashes.ts'
import { hexDecode, hexEncode, sqlHexDecode } from './hex.ts'
import { htmlEntityDecode } from './html-entity-decode.ts'
import { jsDecode } from './js-decode.ts'
import { length } from './length.ts'
import { lowercase, uppercase } from './letter-case.ts'
import { removeNulls, replaceNulls } from './nulls.ts'
import { parityEven7bit, parityOdd7bit, parityZero7bit } from './parity.ts'
import { normalizePath, normalizePathWin } from './path.ts'
import { phpArgsNames } from './php-args-names.ts'
import { type Transformation, transformation } from './transformation.ts'
import { builtInUnicodeMap } from './unicode-map.ts'
import { urlDecode, urlDecodeUni, urlEncode } from './url.ts'
import { utf8toUnicode } from './utf8-to-unicode.ts'
import { compressWhitespace, removeWhitespace, trim, trimLeft, trimRight } from './whitespace.ts'

export type { Transformation } from './transformation.ts'
export { builtInUnicodeMap } from './unicode-map.ts'

/** Leaves the value as it is. */
const none: Transformation = transformation('none', '', (value) => value)

/** Other ways to write a name. */
const aliases: Readonly<Record<string, string>> = {
  cmd_line: 'cmdline',
  compress_whitespace: 'compresswhitespace',
  normalisepath: 'normalizepath',
  normalisepathwin: 'normalizepathwin',
}

/** All transformations by lower-case name. `unicodeMap` is what SecUnicodeMapFile says: code points to bytes, for `urlDecodeUni`. */
export function createTransformations(
  options: { readonly unicodeMap?: ReadonlyMap<number, number> | undefined } = {},
): ReadonlyMap<string, Transformation> {
  const all: readonly Transformation[] = [
    none,
    base64Decode,
    base64DecodeExt,
    base64Encode,
    cmdLine,
    compressWhitespace,
    cssDecode,
    escapeSeqDecode,
    hexDecode,
    hexEncode,
    htmlEntityDecode,
    jsDecode,
    length,
    lowercase,
    md5,
    normalizePath,
    normalizePathWin,
    parityEven7bit,
    parityOdd7bit,
    parityZero7bit,
    phpArgsNames,
    removeComments,
    removeCommentsChar,
    removeNulls,
    removeWhitespace,
    replaceComments,
    replaceNulls,
    sha1,
    sqlHexDecode,
    trim,
    trimLeft,
    trimRight,
    uppercase,
    urlDecode,
    urlDecodeUni(options.unicodeMap ?? builtInUnicodeMap),
    urlEncode,
    utf8toUnicode,
  ]
  const byName = new Map(all.map((one) => [one.name.toLowerCase(), one]))
  for (const [alias, name] of Object.entries(aliases)) byName.set(alias, byName.get(name)!)
  return byName
}

/** All transformations by lower-case name, with the built-in Unicode map. */
export const transformations: ReadonlyMap<string, Transformation> = createTransformations()
