import { hash } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { renderSVG } from 'uqr'
import type { Tell } from '../../base/events.ts'
import type { Store } from '../../store/store.ts'
import type { Accounts, Tried } from '../accounts.ts'
import type { FactorList } from '../factors.ts'
import type { FactorKind, PeopleSettings, Whence } from '../people.ts'
import type { FormMarks } from './forms.ts'
import { trusted } from './html.ts'
import { type Pages, sendPage, type View } from './page.ts'
import { enrolView, type FactorWay, recoveryCodesView, secondFactorView, signInView } from './views.ts'

/** One sign-in on its way: for an application, or to look after one's account. */
export interface Flow {
  /** What binds forms, challenges and progress to it; the browser proves it with a cookie. */
  readonly id: string
  /** Path of its page. */
  readonly url: string
  /** The application that waits, as people know it. */
  readonly client?: string | undefined
  readonly nameHint?: string | undefined
  /** Whether more than a password is asked for. */
  readonly wantsMfa: boolean
  /** Somebody who is signed in, and of whom only the second factor is wanted. */
  readonly stepUp?: { readonly name: string; readonly amr: readonly string[] } | undefined
  finish(done: SignedIn, response: ServerResponse): Promise<void>
  cancel?(response: ServerResponse): Promise<void>
}

/** Who signed in, and how (RFC 8176). */
export interface SignedIn {
  readonly name: string
  readonly amr: readonly string[]
  readonly remember: boolean
}

/** One request of a flow. */
export interface Visit {
  readonly flow: Flow
  readonly response: ServerResponse
  readonly query: URLSearchParams
  readonly fields: ReadonlyMap<string, string>
  readonly address: string
  /** The cookies by which devices are known. */
  readonly deviceCookie: (name: string) => string | undefined
}

export interface SignInOptions {
  readonly accounts: Accounts
  readonly store: Store
  readonly pages: Pages
  readonly marks: FormMarks
  readonly settings: Pick<PeopleSettings, 'mfa'>
  readonly tell: Tell
}

/** The steps of signing in, each a page and the form on it. */
export interface SignIn {
  /** Shows the page that it is time for. */
  show(visit: Visit): Promise<void>
  /** Takes what a form sent; `false`: it was no step of signing in. */
  take(visit: Visit, step: string): Promise<boolean>
}

/** How far a flow has come. Kept in the store, so that any process can go on with it. */
type Progress = {
  readonly name: string
  readonly amr: readonly string[]
  readonly remember: boolean
  /** A secret that was shown and waits for its first code. */
  readonly offer?: string | undefined
  /** Recovery codes must be shown before it is done. */
  readonly owesCodes?: boolean | undefined
}

const progressMs = 10 * 60_000
const wrongPassword = 'The user name or the password is wrong.'
const wrongCode = 'That code is wrong, or was used already. Wait for the next one.'
const wrongPasskey = 'This passkey could not be accepted. Try again, or sign in another way.'
const busyText = 'Too much is going on right now. Wait a moment and try again.'

export function createSignIn({ accounts, store, pages, marks, settings, tell }: SignInOptions): SignIn {
  const { factors } = accounts
  const keyOf = (flow: Flow) => `sign-in/progress/${hash('sha256', flow.id, 'base64url')}`

  async function progressOf(flow: Flow): Promise<Progress | undefined> {
    const stored = (await store.get(keyOf(flow))) as Progress | undefined
    if (stored !== undefined) return stored
    return flow.stepUp === undefined ? undefined : { ...flow.stepUp, remember: false }
  }

  async function keep(flow: Flow, progress: Progress): Promise<void> {
    await store.put(keyOf(flow), progress, { ttlMs: progressMs })
  }

  const whenceOf = async ({ address, deviceCookie }: Visit, name: string): Promise<Whence> => ({
    address,
    device: await accounts.devices.read(deviceCookie(name), name),
  })

  async function frame(flow: Flow) {
    return { action: flow.url, csrf: await marks.of(flow.id) }
  }

  const send = ({ response }: Visit, view: View, failed?: Failure) =>
    sendPage(response, pages, failed?.status ?? 200, view, failed?.headers)

  async function showSignIn(visit: Visit, failed?: Failure, name = visit.flow.nameHint): Promise<void> {
    const { flow } = visit
    const view = signInView({
      ...(await frame(flow)),
      client: flow.client,
      name,
      error: failed?.text,
      remember: visit.fields.get('remember') === 'yes',
      canRemember: flow.cancel !== undefined,
      passkeyOptions: factors.canUsePasskeys ? JSON.stringify(await factors.passkeyRequest(flow.id)) : undefined,
    })
    send(visit, view, failed)
  }

  /** The ways that an account may show its second factor: those the service asks for, where it has one of them. */
  function waysOf({ totp, passkeys, recoveryCodesLeft }: FactorList): readonly FactorWay[] {
    const has: FactorKind[] = [
      ...(totp === undefined ? [] : ['totp' as const]),
      ...(passkeys.length === 0 ? [] : ['passkey' as const]),
    ]
    const asked = has.filter((kind) => settings.mfa.includes(kind))
    const kinds = asked.length > 0 ? asked : has
    return kinds.length > 0 && recoveryCodesLeft > 0 ? [...kinds, 'recovery'] : kinds
  }

  async function showSecondFactor(visit: Visit, progress: Progress, failed?: Failure, wish?: string): Promise<void> {
    const { flow, query } = visit
    const ways = waysOf(await factors.list(progress.name))
    const way = ways.find((one) => one === (wish ?? query.get('with'))) ?? ways[0]!
    const view = secondFactorView({
      ...(await frame(flow)),
      name: progress.name,
      way,
      ways,
      error: failed?.text,
      passkeyOptions:
        way === 'passkey' ? JSON.stringify(await factors.passkeyRequest(flow.id, progress.name)) : undefined,
    })
    send(visit, view, failed)
  }

  async function showEnrol(visit: Visit, progress: Progress, failed?: Failure, wish?: string): Promise<void> {
    const { flow, query } = visit
    const wanted: readonly FactorKind[] = settings.mfa.length > 0 ? settings.mfa : ['totp', 'passkey']
    const kinds = wanted.filter((one) => one === 'totp' || factors.canUsePasskeys || wanted.length === 1)
    const kind = kinds.find((one) => one === (wish ?? query.get('enrol'))) ?? kinds[0]!
    const offer =
      kind !== 'totp'
        ? undefined
        : progress.offer === undefined
          ? await factors.offerTotp(progress.name)
          : await factors.reofferTotp(progress.name, progress.offer)
    if (offer !== undefined && progress.offer === undefined) await keep(flow, { ...progress, offer: offer.sealed })
    const view = enrolView({
      ...(await frame(flow)),
      name: progress.name,
      kind,
      kinds,
      offer,
      qr: offer === undefined ? undefined : qrOf(offer.uri),
      passkeyOptions:
        kind === 'passkey' ? JSON.stringify(await factors.passkeyCreation(progress.name, flow.id)) : undefined,
      isForced: true,
      error: failed?.text,
    })
    send(visit, view, failed)
  }

  async function showCodes(visit: Visit, progress: Progress): Promise<void> {
    const codes = await factors.newRecoveryCodes(progress.name)
    send(visit, recoveryCodesView({ ...(await frame(visit.flow)), codes }))
  }

  /** What an account still owes before it is signed in; `undefined`: nothing. */
  async function owed(
    flow: Flow,
    { name, amr, owesCodes }: Progress,
  ): Promise<'factor' | 'enrol' | 'codes' | undefined> {
    const list = await factors.list(name)
    const has: readonly FactorKind[] = [
      ...(list.totp === undefined ? [] : (['totp'] as const)),
      ...(list.passkeys.length === 0 ? [] : (['passkey'] as const)),
    ]
    const isMulti = amr.includes('mfa')
    if (!isMulti && has.length > 0) return 'factor'
    if (!isMulti && (flow.wantsMfa || settings.mfa.length > 0)) return 'enrol'
    // A passkey that checked its user is two factors by itself; all else must be of a kind that is asked for.
    if (settings.mfa.length > 0 && amr.includes('pwd') && !has.some((kind) => settings.mfa.includes(kind)))
      return 'enrol'
    return owesCodes === true ? 'codes' : undefined
  }

  /** Shows the next page, or ends the sign-in. */
  async function goOn(visit: Visit, progress: Progress): Promise<void> {
    const { flow } = visit
    const next = await owed(flow, progress)
    if (next === 'factor') return showSecondFactor(visit, progress)
    if (next === 'enrol') return showEnrol(visit, progress)
    if (next === 'codes') return showCodes(visit, progress)
    await store.delete(keyOf(flow))
    return flow.finish({ name: progress.name, amr: progress.amr, remember: progress.remember }, visit.response)
  }

  async function advance(visit: Visit, progress: Progress): Promise<void> {
    await keep(visit.flow, progress)
    await goOn(visit, progress)
  }

  async function takePassword(visit: Visit): Promise<void> {
    const { fields } = visit
    const typed = (fields.get('name') ?? '').trim().normalize('NFC')
    const tried = await accounts.tryPassword(typed, fields.get('password') ?? '', await whenceOf(visit, typed))
    if (tried.kind !== 'right') return showSignIn(visit, failureOf(tried, wrongPassword), typed)
    return advance(visit, { name: tried.name, amr: ['pwd'], remember: fields.get('remember') === 'yes' })
  }

  async function takePasskey(visit: Visit): Promise<void> {
    const { flow, fields } = visit
    const proof = await factors.checkPasskey(flow.id, credentialOf(fields))
    if (proof === undefined) return showSignIn(visit, { status: 403, text: wrongPasskey })
    return advance(visit, { name: proof.name, amr: [...proof.amr, 'mfa'], remember: fields.get('remember') === 'yes' })
  }

  async function takeCode(visit: Visit, progress: Progress, way: 'totp' | 'recovery'): Promise<void> {
    if (!waysOf(await factors.list(progress.name)).includes(way)) return goOn(visit, progress)
    const code = visit.fields.get('code') ?? ''
    const whence = await whenceOf(visit, progress.name)
    const tried =
      way === 'totp'
        ? await accounts.tryTotp(progress.name, code, whence)
        : await accounts.tryRecoveryCode(progress.name, code, whence)
    if (tried.kind !== 'right') return showSecondFactor(visit, progress, failureOf(tried, wrongCode), way)
    return advance(visit, { ...progress, amr: withAmr(progress.amr, way === 'totp' ? ['otp'] : ['recovery']) })
  }

  async function takeFactorPasskey(visit: Visit, progress: Progress): Promise<void> {
    const proof = await factors.checkPasskey(visit.flow.id, credentialOf(visit.fields), progress.name)
    if (proof === undefined) return showSecondFactor(visit, progress, { status: 403, text: wrongPasskey }, 'passkey')
    return advance(visit, { ...progress, amr: withAmr(progress.amr, proof.amr) })
  }

  /** Only who owes a factor may set one up here: a half-finished sign-in must not add one to an account that has some. */
  async function takeEnrolment(visit: Visit, progress: Progress, kind: FactorKind): Promise<void> {
    const { flow, fields, address } = visit
    if ((await owed(flow, progress)) !== 'enrol') return goOn(visit, progress)
    const { name, offer } = progress
    if (kind === 'totp') {
      const code = fields.get('code') ?? ''
      if (offer === undefined || !(await factors.acceptTotp(name, offer, code))) {
        return showEnrol(visit, progress, { status: 403, text: wrongCode }, 'totp')
      }
    } else {
      const added = await factors.addPasskey(name, flow.id, credentialOf(fields), fields.get('label') ?? '')
      if (added === undefined) return showEnrol(visit, progress, { status: 403, text: wrongPasskey }, 'passkey')
    }
    tell({ event: 'account.factor-added', subject: name, address, detail: { kind } })
    const amr = withAmr(progress.amr, [kind === 'totp' ? 'otp' : 'swk'])
    return advance(visit, { name, amr, remember: progress.remember, owesCodes: true })
  }

  return {
    async show(visit) {
      const progress = await progressOf(visit.flow)
      return progress === undefined ? showSignIn(visit) : goOn(visit, progress)
    },
    async take(visit, step) {
      const { flow, response } = visit
      if (step === 'password') await takePassword(visit)
      else if (step === 'passkey') await takePasskey(visit)
      else if (step === 'cancel' && flow.cancel !== undefined) await flow.cancel(response)
      else if (step === 'restart') {
        await store.delete(keyOf(flow))
        await showSignIn({ ...visit, flow: { ...flow, stepUp: undefined } })
      } else {
        const progress = await progressOf(flow)
        // Its time is over, or another process of the same flow has ended it: from the start.
        if (progress === undefined) await showSignIn(visit)
        else if (step === 'totp' || step === 'recovery') await takeCode(visit, progress, step)
        else if (step === 'factor-passkey') await takeFactorPasskey(visit, progress)
        else if (step === 'enrol-totp') await takeEnrolment(visit, progress, 'totp')
        else if (step === 'enrol-passkey') await takeEnrolment(visit, progress, 'passkey')
        else if (step === 'codes-stored') await advance(visit, { ...progress, owesCodes: undefined })
        else return false
      }
      return true
    },
  }
}

/** What went wrong: for the person, and for the wire. */
export interface Failure {
  readonly status: number
  readonly text: string
  readonly headers?: Readonly<Record<string, string>>
}

/**
 * 403 and not 401: there is no challenge to answer (RFC 9110, 15.5.2 and 15.5.4). The same for every name, whether or not
 * there is such an account.
 */
export function failureOf(tried: Exclude<Tried, { kind: 'right' }>, wrongText: string): Failure {
  if (tried.kind === 'wrong') return { status: 403, text: wrongText }
  if (tried.kind === 'busy') return { status: 503, text: busyText, headers: { 'Retry-After': '5' } }
  const seconds = Math.max(1, Math.ceil(tried.retryAfterMs / 1_000))
  const minutes = Math.ceil(seconds / 60)
  return {
    status: 429,
    text: `Too many wrong tries. Wait ${minutes === 1 ? 'a minute' : `${minutes} minutes`} and try again.`,
    headers: { 'Retry-After': String(seconds) },
  }
}

/** A drawing of the URI, dark on light in both colour schemes, as cameras want it. */
export function qrOf(uri: string) {
  return trusted(
    renderSVG(uri, { border: 1 }).replace('<svg ', '<svg role="img" aria-label="QR code of the key below" '),
  )
}

/** What the script of the page put into the form; anything, as far as we know. */
export function credentialOf(fields: ReadonlyMap<string, string>): unknown {
  try {
    return JSON.parse(fields.get('credential') ?? '')
  } catch {
    return undefined
  }
}

function withAmr(amr: readonly string[], more: readonly string[]): readonly string[] {
  return [...new Set([...amr, ...more, 'mfa'])]
}
