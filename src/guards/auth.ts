import { ConfigError } from '../base/errors.ts'
import { object, rate, z } from '../config/language.ts'
import { createApiKeys } from '../credentials/api-keys.ts'
import { watchGrants } from '../credentials/grants.ts'
import { createSessions, type Sessions } from '../credentials/sessions.ts'
import { createUsers } from '../credentials/users.ts'
import type { Exchange } from '../gate/exchange.ts'
import type { Guard, Host, Step } from '../gate/guard.ts'
import type { Principal } from '../gate/principal.ts'
import type { Denial, Verdict } from '../gate/verdict.ts'
import type { ApiDocument, Operation, SecurityScheme } from '../openapi/operation.ts'
import { createMemoryCounters } from '../store/counters-memory.ts'
import { type ApiKeyJudge, apiKeyJudge, apiKeyReader } from './auth/api-key.ts'
import { authorizationReader } from './auth/authorization.ts'
import { basicJudge } from './auth/basic.ts'
import { createBearerJudge } from './auth/bearer.ts'
import {
  apiKeyChallenge,
  basicChallenge,
  bearerChallenge,
  certificateChallenge,
  dpopChallenge,
  sessionChallenge,
  unencrypted,
} from './auth/challenge.ts'
import type { Judged, Reader } from './auth/contract.ts'
import { createDpopJudge } from './auth/dpop.ts'
import { createFailureBudget } from './auth/failures.ts'
import {
  createIssuer,
  type IssuerSettings,
  issuersShape,
  openIssuer,
  ownIssuerSettings,
  readIssuerFiles,
  tokenRefusals,
} from './auth/issuer.ts'
import { mtlsReader, mtlsShape } from './auth/mtls.ts'
import {
  type AuthPlan,
  apiKeyHeader,
  apiKeyPlaces,
  methodsByType,
  setAuthPlan,
  setSeveralProofs,
  severalProofsOf,
} from './auth/plan.ts'
import { createProofNonces } from './auth/proof-nonces.ts'
import { createResource } from './auth/resource.ts'
import { watchRevocations } from './auth/revocations.ts'
import { createRights, type Rights } from './auth/rights.ts'
import {
  sessionCookieDefault,
  sessionCookieReader,
  sessionHeaderReader,
  sessionJudge,
  sessionShape,
} from './auth/session.ts'
import { share } from './auth/share.ts'
import { checkSignIn, createSignIn, type SignIn, signInShape } from './auth/sign-in.ts'
import { compileStepUp, stepUpShape } from './auth/step-up.ts'
import { warnOfIdleRules } from './idle-rules.ts'

const builtIn = ['apiKey', 'basic', 'session', 'mtls'] as const

const method = z.string().min(1)
const methodList = z.array(method).max(64)
/** One method or several. */
const someMethods = z.union([method.transform((one) => [one]), methodList.min(1)])

const publicUrlShape = z
  .url({ protocol: /^https?$/, hostname: /./ })
  .transform((url) => url.replace(/\/+$/, ''))
  .describe(
    'How callers reach the gate, such as https://api.example.com, where a proxy in front changes host or path. Default: what the request says.',
  )

const longForm = object({
  methods: methodList
    .optional()
    .describe(
      'Ways to prove who one is, the first that is shown counts as the caller: apiKey, basic, session, mtls, and names of `issuers`. Default: apiKey and every issuer.',
    ),
  schemes: z
    .record(z.string(), someMethods)
    .default({})
    .describe("Which of them prove a security scheme of the document, by the scheme's name. Default: by its type."),
  forwardCredentials: z
    .boolean()
    .default(false)
    .describe(
      'Hands verified credentials on to the upstream. Without it the upstream learns who calls from `Portcullis-Subject` and so on.',
    ),
  publicUrl: publicUrlShape.optional(),
  failures: rate(
    'Wrong tokens that one network may show, over all processes together. Those beyond are answered 429 without a look at them; callers of other networks, and tokens that were good before, are not affected.',
  ).prefault('100/min'),
  secondFactor: z
    .enum(['refuse', 'ignore'])
    .default('refuse')
    .describe(
      'HTTP Basic for users who have a second factor (one-time codes, a passkey): their password alone is refused, or it is enough. A factor that is added counts within a minute.',
    ),
  stepUp: stepUpShape,
  signIn: signInShape.optional(),
  session: sessionShape.prefault({}),
  mtls: mtlsShape.prefault({}),
})

/** The list of methods, a map from scheme names to such lists, or the long form. */
const authShape = z
  .union([
    methodList.transform((methods) => longForm.parse({ methods })),
    longForm,
    z.record(z.string(), someMethods).transform((schemes) => longForm.parse({ schemes })),
  ])
  .prefault({})
  .describe('How callers may prove who they are.')

type AuthOptions = z.output<typeof longForm>

const rootShape = object({ issuers: issuersShape })
type AuthRoot = z.output<typeof rootShape>

/**
 * Finds out who calls. Refuses nobody by itself: a credential that is not believed is noted, so that limits count it,
 * and `security` answers it where the operation asks for one.
 */
export const auth: Guard<AuthOptions, AuthRoot> = {
  name: 'auth',
  stage: 'identify',
  options: authShape,
  root: rootShape,
  async setup(options, host, root) {
    const issuers = withOwnIssuer(root.issuers, host)
    const methods = listMethods(options, issuers)
    checkMethods(methods, issuers, host.api)
    const realm = host.api
    /** One cache for each kind of credential in a process, whatever the number of APIs and reloads. */
    const shared = <T extends { close(): void }>(name: string, make: () => T): T => {
      const { value, release } = share(host.store, name, () => {
        const made = make()
        return { value: made, close: () => made.close() }
      })
      host.onClose(release)
      return value
    }
    const refusals = tokenRefusals(realm)
    const trusted = methods.filter((method) => issuers[method] !== undefined)
    const trustedNames = new Set(trusted)
    // Who has signed in at an issuer holds a session for what a token of his would be good for.
    const signedInNames = new Set([...trusted, 'session'])
    const keys = methods.includes('apiKey')
      ? apiKeyJudge(
          shared('api-keys', () => createApiKeys(host)),
          realm,
        )
      : undefined
    const users = methods.includes('basic')
      ? basicJudge(
          shared('users', () => createUsers(host)),
          realm,
          { passwordAlone: options.secondFactor === 'ignore' },
        )
      : undefined
    const source = (name: string) => {
      const settings = readIssuerFiles(name, issuers[name]!)
      const { now, log } = host
      const { value, release } = share(now, `${name}\0${JSON.stringify(settings)}`, () => {
        const made = openIssuer(name, settings, { now, log, local: () => host.localIssuer })
        return { value: made, close: () => made.asker.close() }
      })
      host.onClose(release)
      return { settings, source: value }
    }
    const once = <T>(name: string, make: () => T): T => {
      const { value, release } = share(host.store, name, () => ({ value: make(), close() {} }))
      host.onClose(release)
      return value
    }
    const { failures: failureRate } = options
    const failures = once(`failures ${failureRate.count}/${failureRate.windowMs}`, () =>
      createFailureBudget({ ...host, rate: failureRate }),
    )
    const bearer = trusted.length === 0 ? undefined : await openBearer(trusted, issuers, host)
    const certificates = methods.includes('mtls') ? mtlsReader(options.mtls, realm) : undefined
    const sessions = methods.includes('session') ? shared('sessions', () => createSessions(host)) : undefined
    const rights = createRights(await openGrants(), host.now, realm)
    const rank = new Map(methods.map((method, index) => [method, index]))
    const forward = options.forwardCredentials

    /** One watch in a process, whatever the number of APIs and reloads: each would tell the same store's changes. */
    function openGrants() {
      const { value, release } = share(host.store, 'grants', () => {
        const watched = watchGrants(host)
        return { value: watched, close: async () => (await watched.catch(() => undefined))?.close() }
      })
      host.onClose(release)
      return value
    }

    async function openBearer(names: readonly string[], all: AuthRoot['issuers'], world: Host) {
      const { store, counters, log, onClose, now, vault } = world
      const { revocations, close } = await watchRevocations(store, log)
      onClose(close)
      const nonces = names.some((name) => all[name]!.dpop.nonce)
        ? createProofNonces((await (await vault()).followed('dpop-nonce', 32)).now, now)
        : undefined
      const work = once('proofs', () => createMemoryCounters({ now, entriesMax: 65_536 }))
      const dpop = createDpopJudge({ realm, counters, work, publicUrl: options.publicUrl })
      const opened = names.map((name) => {
        const settings = readIssuerFiles(name, all[name]!)
        const { value: source, release } = share(now, `${name}\0${JSON.stringify(settings)}`, () => {
          const made = openIssuer(name, settings, { now, log, local: () => world.localIssuer })
          return { value: made, close: () => made.asker.close() }
        })
        onClose(release)
        return createIssuer(name, settings, source, refusals, {
          now,
          nonces,
          own: settings.issuer === world.localIssuer?.issuer,
        })
      })
      return createBearerJudge({ issuers: opened, refusals, revocations, dpop, failures })
    }

    const signInSecrets = options.signIn === undefined ? undefined : await (await host.vault()).followed('sign-in', 32)

    function openSignIn(cookie: string): SignIn | undefined {
      const { signIn, publicUrl } = options
      if (signIn === undefined || sessions === undefined || signInSecrets === undefined) return undefined
      checkSignIn(signIn, issuers, host.api)
      const { settings, source: opened } = source(signIn.issuer)
      const { api, counters, now, tell, log } = host
      const made = createSignIn({
        ...{ api, counters, now, tell, log, sessions, cookie, publicUrl, failures },
        options: signIn,
        issuer: settings,
        keys: opened.keys,
        secrets: signInSecrets,
      })
      host.onClose(made.close)
      return made
    }

    function planFor(document: ApiDocument): Omit<AuthPlan, 'stepUp'> {
      const header = apiKeyHeader(document)
      const cookie = sessionCookies(document)[0]!
      const { publicUrl } = options
      const tokenChallengeOf = (name: string) =>
        issuers[name]?.dpop.use === 'required' ? dpopChallenge : bearerChallenge
      // Sessions are stepped up at an issuer, too, where no tokens are taken.
      const tokenChallenges = new Set(trusted.length === 0 ? [bearerChallenge] : trusted.map(tokenChallengeOf))
      const challengeOf = (method: string): string => {
        switch (method) {
          case 'apiKey':
            return apiKeyChallenge(realm, header)
          case 'basic':
            return basicChallenge(realm)
          case 'session':
            return sessionChallenge(realm, cookie)
          case 'mtls':
            return certificateChallenge(realm)
          default:
            return tokenChallengeOf(method)(realm)
        }
      }
      return {
        methods,
        realm,
        resource:
          trusted.length === 0
            ? undefined
            : createResource({
                ...{ document, publicUrl },
                issuers: trusted.map((name) => issuers[name]!),
                prefix: host.prefix,
              }),
        signIn: openSignIn(cookie),
        methodsFor: (scheme: SecurityScheme) =>
          options.schemes[scheme.name] ??
          methodsByType(scheme, methods, options.signIn === undefined ? trustedNames : signedInNames),
        challenge: (wanted) => [...new Set(wanted.map(challengeOf))].join(', '),
        tokenChallenge: (parameters) => [...tokenChallenges].map((make) => make(realm, parameters)).join(', '),
      }
    }

    function sessionCookies(document: ApiDocument): readonly string[] {
      if (options.session.cookie !== undefined) return [options.session.cookie]
      const named = apiKeyPlaces(document).flatMap((place) => (place.in === 'cookie' ? [place.name] : []))
      return named.length > 0 ? named : [sessionCookieDefault]
    }

    function readersFor(document: ApiDocument): readonly Reader[] {
      const places = apiKeyPlaces(document)
      const readers: Reader[] = []
      if (certificates !== undefined) readers.push(certificates)
      if (bearer !== undefined || keys !== undefined || users !== undefined) {
        const bareKeys = places.some(({ in: where, name }) => where === 'header' && name === 'authorization')
        readers.push(authorizationReader({ bearer, keys, users, bareKeys, forward, realm }))
      }
      if (keys !== undefined) readers.push(...apiKeyReaders(keys, places))
      if (sessions !== undefined) readers.push(...sessionReaders(sessions, document))
      return readers
    }

    function sessionReaders(sessions: Sessions, document: ApiDocument): readonly Reader[] {
      const { header } = options.session
      // Pages that a proxy in front shows under another name are the API's own.
      const own = options.publicUrl === undefined ? [] : [new URL(options.publicUrl).origin]
      const origins = [...options.session.origins, ...own]
      const cookies = sessionCookies(document)
      const { signIn } = options
      const issuer = signIn === undefined ? undefined : issuers[signIn.issuer]?.issuer
      const judge = sessionJudge(sessions, sessionChallenge(realm, cookies[0]!), issuer)
      const readers = cookies.map((cookie) => sessionCookieReader(judge, cookie, { origins, forward }))
      return header === undefined ? readers : [...readers, sessionHeaderReader(judge, header, forward)]
    }

    function apiKeyReaders(judge: ApiKeyJudge, places: ReturnType<typeof apiKeyPlaces>): readonly Reader[] {
      const own = places.filter(
        ({ in: where, name }) => name !== 'authorization' && (where === 'header' || sessions === undefined),
      )
      if (!own.some(({ in: where }) => where === 'header')) own.push({ in: 'header', name: 'x-api-key' })
      return own.map((place) => apiKeyReader(judge, place, forward))
    }

    const warnOfIdle = warnOfIdleRules(
      options.stepUp.map(({ match }, index) => ({ name: `auth.stepUp[${index}]`, selects: match.selects })),
      host,
    )
    // All operations of a document share their readers, and so what those remember.
    const perDocument = new Map<ApiDocument, { readonly step: Step; readonly plan: Omit<AuthPlan, 'stepUp'> }>()
    return (operation) => {
      if (operation.kind !== 'listed') return undefined
      const { document } = operation
      let compiled = perDocument.get(document)
      if (compiled === undefined) {
        checkSchemes(options.schemes, operation)
        compiled = { step: identify(readersFor(document), rank, rights), plan: planFor(document) }
        perDocument.set(document, compiled)
      }
      warnOfIdle(document)
      setAuthPlan(operation, { ...compiled.plan, stepUp: compileStepUp(options.stepUp, operation, compiled.plan) })
      return methods.length === 0 ? undefined : { requestHead: compiled.step }
    }
  },
}

/** The name under which `auth` lists the token service of this gate. */
const ownIssuerName = 'tokenService'

/** The gate trusts its own token service, through the same checks as any other; an entry of one's own for it counts more. */
function withOwnIssuer(issuers: AuthRoot['issuers'], { localIssuer, api }: Host): AuthRoot['issuers'] {
  if (localIssuer === undefined || Object.values(issuers).some(({ issuer }) => issuer === localIssuer.issuer)) {
    return issuers
  }
  return { ...issuers, [ownIssuerName]: ownIssuerSettings(localIssuer, api) }
}

function listMethods(options: AuthOptions, issuers: Readonly<Record<string, IssuerSettings>>): readonly string[] {
  const mapped = Object.values(options.schemes).flat()
  // Signing in ends in a session, which is of no use where none is read.
  const signedIn = options.signIn === undefined ? [] : ['session']
  if (options.methods !== undefined) return [...new Set([...options.methods, ...mapped, ...signedIn])]
  return [...new Set([...(mapped.length > 0 ? mapped : ['apiKey', ...Object.keys(issuers)]), ...signedIn])]
}

function checkMethods(
  methods: readonly string[],
  issuers: Readonly<Record<string, IssuerSettings>>,
  api: string,
): void {
  for (const name of Object.keys(issuers)) {
    if ((builtIn as readonly string[]).includes(name)) {
      throw new ConfigError('P1408', `issuers.${name}: this name is taken by a method of \`auth\`; choose another`)
    }
  }
  for (const method of methods) {
    if ((builtIn as readonly string[]).includes(method) || issuers[method] !== undefined) continue
    const known = [...builtIn, ...Object.keys(issuers)].join(', ')
    throw new ConfigError(
      'P1408',
      `apis.${api}.auth: "${method}" is neither a method nor one of \`issuers\` (${known})`,
    )
  }
}

/** A scheme that the document does not have is a slip of the pen; another version of the API may have it, though. */
function checkSchemes(schemes: AuthOptions['schemes'], { api, version, document }: Operation): void {
  const unknown = Object.keys(schemes).find((name) => !document.securitySchemes.has(name))
  if (unknown === undefined || version !== undefined) return
  const known = [...document.securitySchemes.keys()].join(', ')
  throw new ConfigError('P1408', `apis.${api}.auth: "${unknown}" is no security scheme of the document`, {
    hint: known === '' ? 'the document defines none' : `the document defines ${known}`,
  })
}

/** Reads every place a credential may stand in. Several good ones are all kept; a bad one spoils the rest. */
function identify(readers: readonly Reader[], rank: ReadonlyMap<string, number>, rights: Rights): Step {
  function read(exchange: Exchange, from: number, firstPlace: string): Verdict | Promise<Verdict> {
    let placeOfFirst = firstPlace
    for (let i = from; i < readers.length; i++) {
      const { place, read: readPlace } = readers[i]!
      const judged = readPlace(exchange)
      if (judged === undefined) continue
      if (judged instanceof Promise) return readOn(exchange, i, placeOfFirst, judged)
      if (judged === unencrypted) return judged
      if (exchange.principal === undefined) placeOfFirst = place
      note(exchange, judged, place, placeOfFirst)
    }
    return undefined
  }

  async function readOn(
    exchange: Exchange,
    at: number,
    firstPlace: string,
    pending: Promise<Judged>,
  ): Promise<Verdict> {
    const { place } = readers[at]!
    const judged = await pending
    const placeOfFirst = exchange.principal === undefined ? place : firstPlace
    if (judged !== undefined) note(exchange, judged, place, placeOfFirst)
    return read(exchange, at + 1, placeOfFirst)
  }

  function note(exchange: Exchange, found: Principal | Denial, place: string, placeOfFirst: string): void {
    const judged = found.kind === 'denial' ? found : rights(found, exchange)
    if (judged.kind === 'denial') {
      exchange.credentialDenial ??= judged
      // Limits go by the address from here on: who shows a bad credential is nobody.
      exchange.principal = undefined
      return
    }
    if (exchange.credentialDenial !== undefined) return
    const { principal } = exchange
    if (principal === undefined) {
      exchange.principal = judged
      return
    }
    const before = severalProofsOf(exchange) ?? [{ principal, place: placeOfFirst }]
    setSeveralProofs(exchange, [...before, { principal: judged, place }])
    if (rankOf(judged) < rankOf(principal)) exchange.principal = judged
  }

  const rankOf = ({ via }: Principal) => rank.get(via) ?? rank.size
  return (exchange) => read(exchange, 0, '')
}
