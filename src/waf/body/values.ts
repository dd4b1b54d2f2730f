/** A named value of a request as rules see it. Name and value are byte strings: each character stands for one byte. */
export interface Argument {
  readonly name: string
  readonly value: string
  /** What the name begins with, shared by all members of one JSON container; `undefined` elsewhere. */
  readonly prefix: NamePrefix | undefined
  /** The name without its prefix. Joining both costs more than reading them, so that `name` is best left alone until needed. */
  readonly key: string
  /** The whole name stands in the shape given with the limits: whoever wrote that chose it, not the sender. */
  readonly known: boolean
}

/** The beginning of many names. Whoever scans names may scan it once and keep in `memo` where the scan stood. */
export interface NamePrefix {
  /** With the dot at its end: `json.items.0.` */
  readonly text: string
  memo: unknown
}

/** A part of a multipart body that came with a file name. */
export interface UploadedFile {
  /** FILES_NAMES: the form's field. */
  readonly field: string
  /** FILES: the name the client gave it. */
  readonly filename: string
  /** FILES_TMP_CONTENT. */
  readonly content: string
}

/** What is odd about a multipart body; each is a variable MULTIPART_… of its own. */
export interface MultipartFlags {
  boundaryQuoted: boolean
  boundaryWhitespace: boolean
  dataBefore: boolean
  dataAfter: boolean
  headerFolding: boolean
  lfLine: boolean
  /** Lines that end in LF beside others that end in CRLF. No strict error of its own: `lfLine` is one. */
  crlfLfLines: boolean
  missingSemicolon: boolean
  invalidQuoting: boolean
  invalidPart: boolean
  invalidHeaderFolding: boolean
  fileLimitExceeded: boolean
  /**
   * 1: something looks like the boundary and is not. 2: lines begin with two dashes, but nothing like the boundary, as in
   * a PEM file or a mail's signature. ModSecurity 3 tells the two apart likewise, so that rules ask for `@eq 1`.
   */
  unmatchedBoundary: 0 | 1 | 2
  /** MULTIPART_STRICT_ERROR: any of the above but the unmatched boundary, or the body cannot be read. */
  strictError: boolean
}

/** XML as XPath sees it. */
export interface XmlValues {
  /** Each run of character data, without the blanks around it; runs of blanks are left out. */
  readonly texts: readonly string[]
  /** All character data of the document in one; `undefined` where `texts` has no more than one. */
  readonly whole: string | undefined
  readonly attributes: readonly string[]
  /** The document type declaration as it stands. It is never followed. */
  readonly doctype: string | undefined
}

/** What a body processor found. All lists are in the order of the body. */
export interface BodyValues {
  /** ARGS_POST. */
  readonly arguments: readonly Argument[]
  /** Arguments that the shape given with the limits proves harmless; counted like others, but nothing to look for in them. */
  readonly proved: readonly Argument[]
  readonly files: readonly UploadedFile[]
  /** MULTIPART_PART_HEADERS: the part's name and a whole header line. */
  readonly partHeaders: readonly Argument[]
  readonly multipart: MultipartFlags | undefined
  readonly xml: XmlValues | undefined
  /** URLENCODED_ERROR: a percent sign without two hexadecimal digits. */
  readonly invalidEncoding: boolean
  /** Bytes that are not the content of files: what SecRequestBodyNoFilesLimit bounds. */
  readonly noFilesBytes: number
  /** REQBODY_ERROR_MSG; `undefined` while REQBODY_ERROR is 0. What could not be read stands in `arguments` as it came. */
  readonly error: string | undefined
}

export interface BodyLimits {
  /** SecArgumentsLimit. What lies beyond is one more argument, unread, and an error. */
  readonly argumentsMax: number
  /** SecArgumentSeparator: one byte. */
  readonly argumentSeparator: string
  /** SecRequestBodyJsonDepthLimit. */
  readonly jsonDepthMax: number
  /** Elements within one another; libxml2 stops at as many. */
  readonly xmlDepthMax: number
  /** Texts and attributes. */
  readonly xmlValuesMax: number
  readonly partsMax: number
  /** SecUploadFileLimit. */
  readonly filesMax: number
  /** Bytes of one header line of a part. */
  readonly partHeaderBytesMax: number
  /** Header lines of one part. */
  readonly partHeadersMax: number
}

/** As in ModSecurity's recommended configuration, where it says something. */
export const bodyLimits: BodyLimits = {
  argumentsMax: 1_000,
  argumentSeparator: '&',
  jsonDepthMax: 512,
  xmlDepthMax: 256,
  xmlValuesMax: 20_000,
  partsMax: 1_000,
  filesMax: 100,
  partHeaderBytesMax: 4_096,
  partHeadersMax: 64,
}

/** One shape for all arguments: the loops over them stay monomorphic. */
export function argument(name: string, value: string, prefix?: NamePrefix, key = name, known = false): Argument {
  return { name, value, prefix, key, known }
}
