/**
 * The words of SecLang: those of the ModSecurity 3 reference manual. A word that is not here is a mistake, and the
 * parser says which one was probably meant. Looked up in lower case, answered as the manual spells them.
 */

type Words = ReadonlyMap<string, string>

function words(text: string): Words {
  return new Map(
    text
      .trim()
      .split(/\s+/)
      .map((word) => [word.toLowerCase(), word]),
  )
}

/** Variables with members: `ARGS`, `ARGS:id`, `ARGS:/^id/`. */
export const collections: Words = words(`
  ARGS ARGS_GET ARGS_GET_NAMES ARGS_NAMES ARGS_POST ARGS_POST_NAMES ENV FILES FILES_NAMES FILES_SIZES FILES_TMPNAMES
  FILES_TMP_CONTENT GEO GLOBAL IP MATCHED_VARS MATCHED_VARS_NAMES MULTIPART_FILENAME MULTIPART_NAME
  MULTIPART_PART_HEADERS REQUEST_COOKIES REQUEST_COOKIES_NAMES REQUEST_HEADERS REQUEST_HEADERS_NAMES RESOURCE
  RESPONSE_HEADERS RESPONSE_HEADERS_NAMES RULE SESSION TX USER XML`)

/** Variables of one value. */
export const scalars: Words = words(`
  ARGS_COMBINED_SIZE AUTH_TYPE DURATION FILES_COMBINED_SIZE FULL_REQUEST FULL_REQUEST_LENGTH HIGHEST_SEVERITY
  INBOUND_DATA_ERROR MATCHED_VAR MATCHED_VAR_NAME MODSEC_BUILD MSC_PCRE_ERROR MSC_PCRE_LIMITS_EXCEEDED
  MULTIPART_BOUNDARY_QUOTED MULTIPART_BOUNDARY_WHITESPACE MULTIPART_CRLF_LF_LINES MULTIPART_DATA_AFTER
  MULTIPART_DATA_BEFORE MULTIPART_FILE_LIMIT_EXCEEDED MULTIPART_HEADER_FOLDING MULTIPART_INVALID_HEADER_FOLDING
  MULTIPART_INVALID_PART MULTIPART_INVALID_QUOTING MULTIPART_LF_LINE MULTIPART_MISSING_SEMICOLON
  MULTIPART_SEMICOLON_MISSING MULTIPART_STRICT_ERROR MULTIPART_UNMATCHED_BOUNDARY OUTBOUND_DATA_ERROR PATH_INFO
  QUERY_STRING REMOTE_ADDR REMOTE_HOST REMOTE_PORT REMOTE_USER REQBODY_ERROR REQBODY_ERROR_MSG REQBODY_PROCESSOR
  REQBODY_PROCESSOR_ERROR REQBODY_PROCESSOR_ERROR_MSG REQUEST_BASENAME REQUEST_BODY REQUEST_BODY_LENGTH
  REQUEST_FILENAME REQUEST_LINE REQUEST_METHOD REQUEST_PROTOCOL REQUEST_URI REQUEST_URI_RAW RESPONSE_BODY
  RESPONSE_CONTENT_LENGTH RESPONSE_CONTENT_TYPE RESPONSE_PROTOCOL RESPONSE_STATUS SERVER_ADDR SERVER_NAME SERVER_PORT
  SESSIONID STATUS STATUS_LINE TIME TIME_DAY TIME_EPOCH TIME_HOUR TIME_MIN TIME_MON TIME_SEC TIME_WDAY TIME_YEAR
  UNIQUE_ID URLENCODED_ERROR USERID WEBAPPID`)

/** Operators that end with their name: what follows an unquoted one is the action list. */
export const bareOperators: Words = words(`
  detectSQLi detectXSS geoLookup noMatch unconditionalMatch validateUrlEncoding validateUtf8Encoding`)

export const operators: Words = new Map([
  ...bareOperators,
  ...words(`
    beginsWith contains containsWord endsWith eq fuzzyHash ge gsbLookup gt inspectFile ipMatch ipMatchFromFile le lt pm
    pmFromFile rbl rsub rx rxGlobal streq strmatch validateByteRange validateDTD validateHash validateSchema verifyCC
    verifyCPF verifySSN verifySVNR within`),
  ['pmf', 'pmFromFile'],
  ['ipmatchf', 'ipMatchFromFile'],
])

export const transformations: Words = words(`
  base64Decode base64DecodeExt base64Encode cmdLine compressWhitespace cssDecode escapeSeqDecode hexDecode hexEncode
  htmlEntityDecode jsDecode length lowercase md5 none normalisePath normalisePathWin normalizePath normalizePathWin
  parityEven7bit parityOdd7bit parityZero7bit removeComments removeCommentsChar removeNulls removeWhitespace
  replaceComments replaceNulls sha1 sqlHexDecode trim trimLeft trimRight uppercase urlDecode urlDecodeUni urlEncode
  utf8toUnicode`)

export const severities: readonly string[] = [
  'EMERGENCY',
  'ALERT',
  'CRITICAL',
  'ERROR',
  'WARNING',
  'NOTICE',
  'INFO',
  'DEBUG',
]

/** Lower case of ASCII letters only: the bytes of a UTF-8 character stay what they are. */
export function lowerCase(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase())
}
