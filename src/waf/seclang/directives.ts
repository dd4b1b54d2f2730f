import { readNumber } from './actions.ts'
import type { DataFiles } from './data.ts'
import { type Complaints, quotedShort } from './error.ts'
import { lowerCase } from './known.ts'
import type { Directive } from './lines.ts'
import type { Piece } from './piece.ts'
import type { Settings } from './rule.ts'

/**
 * What holds where no directive says otherwise: the values of `modsecurity.conf-recommended`, but with everything
 * switched on. Whoever only wants to watch says so.
 */
export const defaultSettings: Settings = {
  engine: 'On',
  requestBodyAccess: true,
  responseBodyAccess: true,
  responseBodyMimeTypes: ['text/plain', 'text/html', 'text/xml'],
  requestBodyBytesMax: 13_107_200,
  requestBodyNoFilesBytesMax: 131_072,
  requestBodyLimitAction: 'Reject',
  responseBodyBytesMax: 524_288,
  responseBodyLimitAction: 'ProcessPartial',
  jsonDepthMax: 512,
  argumentsMax: 1_000,
  argumentSeparator: '&',
  collectionTimeoutSeconds: 3_600,
  components: [],
  unicodeMap: undefined,
}

/** Settings while they are being read. */
export type DraftSettings = { -readonly [key in keyof Settings]: Settings[key] } & {
  /** The first list of MIME types takes the place of the default, the next ones add to it. */
  mimeTypesStated: boolean
}

export interface SettingDirective {
  readonly name: string
  /** How many words follow it. */
  readonly words: readonly [min: number, max: number]
  readonly apply: (directive: Directive, settings: DraftSettings, data: DataFiles, complaints: Complaints) => void
}

type Apply = SettingDirective['apply']

const bytesMax = Number.MAX_SAFE_INTEGER

export const settingDirectives: ReadonlyMap<string, SettingDirective> = new Map(
  listOf([
    one('SecRuleEngine', (word, settings, _data, complaints) => {
      settings.engine = choice(word, ['On', 'Off', 'DetectionOnly'], complaints) ?? settings.engine
    }),
    one('SecRequestBodyAccess', (word, settings, _data, complaints) => {
      settings.requestBodyAccess = onOff(word, complaints) ?? settings.requestBodyAccess
    }),
    one('SecResponseBodyAccess', (word, settings, _data, complaints) => {
      settings.responseBodyAccess = onOff(word, complaints) ?? settings.responseBodyAccess
    }),
    one('SecRequestBodyLimit', (word, settings, _data, complaints) => {
      settings.requestBodyBytesMax = bytes(word, complaints) ?? settings.requestBodyBytesMax
    }),
    one('SecRequestBodyNoFilesLimit', (word, settings, _data, complaints) => {
      settings.requestBodyNoFilesBytesMax = bytes(word, complaints) ?? settings.requestBodyNoFilesBytesMax
    }),
    one('SecRequestBodyLimitAction', (word, settings, _data, complaints) => {
      settings.requestBodyLimitAction = limitAction(word, complaints) ?? settings.requestBodyLimitAction
    }),
    one('SecResponseBodyLimit', (word, settings, _data, complaints) => {
      settings.responseBodyBytesMax = bytes(word, complaints) ?? settings.responseBodyBytesMax
    }),
    one('SecResponseBodyLimitAction', (word, settings, _data, complaints) => {
      settings.responseBodyLimitAction = limitAction(word, complaints) ?? settings.responseBodyLimitAction
    }),
    one('SecRequestBodyJsonDepthLimit', (word, settings, _data, complaints) => {
      settings.jsonDepthMax = readNumber(word, 1, 100_000, 'a depth', complaints) ?? settings.jsonDepthMax
    }),
    one('SecArgumentsLimit', (word, settings, _data, complaints) => {
      settings.argumentsMax = readNumber(word, 1, 1_000_000, 'how many arguments', complaints) ?? settings.argumentsMax
    }),
    one('SecArgumentSeparator', (word, settings, _data, complaints) => {
      if (word.text.length === 1) settings.argumentSeparator = word.text
      else complaints.error(word, 'expected one character, such as &')
    }),
    one('SecCollectionTimeout', (word, settings, _data, complaints) => {
      const seconds = readNumber(word, 0, bytesMax, 'seconds', complaints)
      settings.collectionTimeoutSeconds = seconds ?? settings.collectionTimeoutSeconds
    }),
    one('SecComponentSignature', (word, settings) => {
      if (!settings.components.includes(word.text)) settings.components = [...settings.components, word.text]
    }),
    {
      name: 'SecResponseBodyMimeType',
      words: [1, 100],
      apply({ words }, settings) {
        const before = settings.mimeTypesStated ? settings.responseBodyMimeTypes : []
        settings.responseBodyMimeTypes = [
          ...new Set([...before, ...words.flatMap(({ text }) => lowerCase(text).split(/\s+/))]),
        ]
        settings.mimeTypesStated = true
      },
    },
    {
      name: 'SecResponseBodyMimeTypesClear',
      words: [0, 0],
      apply(_directive, settings) {
        settings.responseBodyMimeTypes = []
        settings.mimeTypesStated = true
      },
    },
    { name: 'SecUnicodeMapFile', words: [1, 2], apply: readUnicodeMap },

    // Known, and without effect here. Where nothing is wanted (`=Off`), nothing is said.
    ...ineffective(
      'matches are told in events, which have settings of their own',
      `SecAuditEngine=Off SecAuditLog SecAuditLog2 SecAuditLogDirMode SecAuditLogFileMode SecAuditLogFormat
       SecAuditLogParts SecAuditLogRelevantStatus SecAuditLogStorageDir SecAuditLogType`,
    ),
    ...ineffective('there is no debug log', 'SecDebugLog SecDebugLogLevel=0'),
    ...ineffective(
      'nothing is written to disk',
      `SecDataDir SecRequestBodyInMemoryLimit SecTmpDir SecTmpSaveUploadedFiles=Off SecUploadDir SecUploadFileMode
       SecUploadKeepFiles=Off`,
    ),
    ...ineffective('the limit of the body holds for files too', 'SecUploadFileLimit'),
    ...ineffective(
      'patterns run in linear time, within the budget of a request',
      'SecPcreMatchLimit SecPcreMatchLimitRecursion',
    ),
    ...ineffective('rules that cannot match are skipped in any case', 'SecRxPreFilter SecCacheTransformations=Off'),
    ...ineffective('cookies are read as browsers send them (RFC 6265)', 'SecCookieFormat=0 SecCookieV0Separator=;'),
    ...ineffective('responses are not changed', 'SecContentInjection=Off SecServerSignature'),
    ...ineffective(
      'connections are limited by the gate',
      'SecConnEngine=Off SecConnReadStateLimit SecConnWriteStateLimit SecReadStateLimit SecWriteStateLimit',
    ),
    ...ineffective('addresses are not looked up', 'SecGeoLookupDb SecGsbLookupDb SecHttpBlKey'),
    ...ineffective('links are not signed', 'SecHashEngine=Off SecHashKey SecHashMethodPm SecHashMethodRx SecHashParam'),
    ...ineffective('external entities are never resolved', 'SecXmlExternalEntity=Off'),
    ...ineffective('nothing is reported to anybody', 'SecStatusEngine=Off SecGuardianLog'),
    ...ineffective('rules are not fetched from the network', 'SecRemoteRulesFailAction'),
    ...ineffective('a rule that cannot be compiled is refused at load', 'SecInterceptOnError=Off'),
    ...ineffective(
      'bodies are held, and decoded, while they are inspected',
      'SecStreamInBodyInspection=Off SecStreamOutBodyInspection=Off SecDisableBackendCompression=Off',
    ),
    ...ineffective('there is one context', 'SecRuleInheritance SecWebAppId SecSensorId SecChrootDir'),
    ...ineffective('"portcullis waf explain" tells what rules cost', 'SecRulePerfTime'),

    // Known, and refused: who relies on these would be less protected than they believe.
    ...(
      [
        ['SecRemoteRules', 'rules are not fetched from the network', 'download the file and include it'],
        ['SecRuleScript', 'scripts are not run', undefined],
        [
          'SecDataset',
          'lists inside rule files are not supported',
          'put it into a file, for @pmFromFile or @ipMatchFromFile',
        ],
        ['SecIgnoreRuleCompilationErrors', 'a rule that cannot be compiled is refused', undefined],
      ] as const
    ).map(
      ([name, why, hint]): SettingDirective => ({
        name,
        words: [0, 10],
        apply: (directive, _settings, _data, complaints) => complaints.error(directive.name, why, hint),
      }),
    ),
  ]).map((directive) => [lowerCase(directive.name), directive]),
)

/** So that each entry is known for what it is. */
function listOf(directives: readonly SettingDirective[]): readonly SettingDirective[] {
  return directives
}

function ineffective(why: string, names: string): SettingDirective[] {
  return names.split(/\s+/).map((entry) => {
    const [name, nothing] = entry.split('=') as [string, string?]
    return {
      name,
      words: [1, 10],
      apply({ name: at, words }, _settings, _data, complaints) {
        if (nothing === undefined || lowerCase(words[0]!.text) !== lowerCase(nothing))
          complaints.warn(at, `${name} has no effect: ${why}`)
      },
    }
  })
}

function one(
  name: string,
  apply: (word: Piece, settings: DraftSettings, data: DataFiles, complaints: Complaints) => void,
): SettingDirective {
  return {
    name,
    words: [1, 1],
    apply: (directive, settings, data, complaints) => apply(directive.words[0]!, settings, data, complaints),
  }
}

function choice<Choice extends string>(
  word: Piece,
  choices: readonly Choice[],
  complaints: Complaints,
): Choice | undefined {
  const found = choices.find((one) => lowerCase(one) === lowerCase(word.text))
  if (found === undefined) complaints.error(word, `expected ${choices.join(' or ')}, found ${quotedShort(word.text)}`)
  return found
}

function onOff(word: Piece, complaints: Complaints): boolean | undefined {
  const found = choice(word, ['On', 'Off'], complaints)
  return found === undefined ? undefined : found === 'On'
}

function limitAction(word: Piece, complaints: Complaints): 'Reject' | 'ProcessPartial' | undefined {
  return choice(word, ['Reject', 'ProcessPartial'], complaints)
}

function bytes(word: Piece, complaints: Complaints): number | undefined {
  return readNumber(word, 0, bytesMax, 'a number of bytes', complaints)
}

/** `SecUnicodeMapFile unicode.mapping 20127`: the file of ModSecurity, which holds many code pages. */
function readUnicodeMap(...[directive, settings, data, complaints]: Parameters<Apply>): void {
  const [file, page] = directive.words
  const number = page === undefined ? 20_127 : readNumber(page, 1, 65_535, 'the number of a code page', complaints)
  if (number === undefined) return
  // What everybody says, since the recommended configuration does. The map of this code page is built in.
  if (number === 20_127) {
    settings.unicodeMap = undefined
    return
  }
  const text = data.text(file!, complaints)
  if (text === undefined) return
  const map = codePageOf(text, number)
  if (map === undefined) complaints.error(page!, `the file has no code page ${number}`)
  else settings.unicodeMap = map
}

/** Each page is a line with its number and name, then a line of pairs in hexadecimal: `00a1:21 00a2:63`. */
function codePageOf(text: string, page: number): ReadonlyMap<number, number> | undefined {
  const lines = text.split('\n')
  const start = lines.findIndex((line) => new RegExp(`^\\s*${page}(?:\\s|$)`).test(line))
  if (start === -1) return undefined
  const map = new Map<number, number>()
  for (const line of lines.slice(start + 1)) {
    const pairs = [...line.matchAll(/\b([0-9a-fA-F]{4}):([0-9a-fA-F]{2})\b/g)]
    if (pairs.length === 0 && map.size > 0) break
    if (pairs.length === 0 && /^\s*\d+\s/.test(line)) break
    for (const [, point, byte] of pairs) map.set(Number.parseInt(point!, 16), Number.parseInt(byte!, 16))
  }
  return map
}
