import { hash } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Tell } from '../../base/events.ts'
import { lonePasswordMin, passwordMin } from '../../credentials/password-rules.ts'
import type { Store } from '../../store/store.ts'
import type { Accounts } from '../accounts.ts'
import type { FactorKind, PeopleSettings } from '../people.ts'
import { type FormMarks, FormRefused, newId } from './forms.ts'
import { type Pages, sendPage } from './page.ts'
import { credentialOf, type Failure, failureOf, qrOf, type SignIn, type Visit } from './sign-in.ts'
import { accountView, enrolView, messageView, recoveryCodesView } from './views.ts'

export interface AccountPagesOptions {
  readonly accounts: Accounts
  readonly pages: Pages
  readonly marks: FormMarks
  readonly store: Store
  readonly settings: Pick<PeopleSettings, 'mfa' | 'issuer'>
  readonly signIn: SignIn
  readonly tell: Tell
  readonly cookiePrefix: string
}

export interface AccountVisit extends Omit<Visit, 'flow'> {
  readonly request: IncomingMessage
  readonly cookies: ReadonlyMap<string, string>
  readonly rememberDevice: (name: string, response: ServerResponse) => Promise<void>
}

/** Who signed in to look after their account. Short, and with all the factors that the account has. */
type AccountSession = {
  readonly name: string
  readonly authTime: number
  readonly offer?: string
}

const sessionMs = 15 * 60_000

/** `<issuer path>/interaction/account`: one's password, second factors and recovery codes. */
export function createAccountPages(options: AccountPagesOptions): (visit: AccountVisit) => Promise<void> {
  const { accounts, pages, marks, store, settings, signIn, tell, cookiePrefix } = options
  const { factors } = accounts
  const url = `${pages.base}/account`
  const flowCookie = `${cookiePrefix}portcullis-account-sign-in`
  const sessionCookie = `${cookiePrefix}portcullis-account`
  // Strict: nobody arrives here from another site in the middle of something.
  const flags = `Path=${url}; HttpOnly; SameSite=Strict${cookiePrefix === '' ? '' : '; Secure'}`
  const keyOf = (id: string) => `account-session/${hash('sha256', id, 'base64url')}`
  const lengthMin = settings.mfa.length > 0 ? passwordMin : lonePasswordMin

  async function sessionOf(id: string | undefined): Promise<AccountSession | undefined> {
    const session = id === undefined ? undefined : ((await store.get(keyOf(id))) as AccountSession | undefined)
    if (session === undefined) return undefined
    return (await accounts.stillStands(session.name, session.authTime)) ? session : undefined
  }

  async function start(name: string, response: ServerResponse): Promise<string> {
    const id = newId()
    await store.put(keyOf(id), { name, authTime: Math.floor(accounts.now() / 1_000) }, { ttlMs: sessionMs })
    response.appendHeader('Set-Cookie', `${sessionCookie}=${id}; Max-Age=${sessionMs / 1_000}; ${flags}`)
    return id
  }

  function seeOther(response: ServerResponse): void {
    response.writeHead(303, { ...pages.headers, Location: url, 'Content-Length': 0 })
    response.end()
  }

  async function signInFirst(visit: AccountVisit): Promise<void> {
    const { request, response, cookies, fields, rememberDevice } = visit
    const known = cookies.get(flowCookie)
    const id = known !== undefined && /^[\w-]{43}$/.test(known) ? known : newId()
    if (id !== known) response.appendHeader('Set-Cookie', `${flowCookie}=${id}; Max-Age=1800; ${flags}`)
    const flow = {
      id: `account ${id}`,
      url,
      wantsMfa: false,
      async finish({ name }: { readonly name: string }, reply: ServerResponse) {
        await rememberDevice(name, reply)
        // A new id: what anybody put into this browser before is worth nothing now.
        await start(name, reply)
        reply.appendHeader('Set-Cookie', `${flowCookie}=; Max-Age=0; ${flags}`)
        seeOther(reply)
      },
    }
    const signInVisit = { ...visit, flow }
    if (request.method !== 'POST') return signIn.show(signInVisit)
    if (id !== known || !(await marks.fits(flow.id, fields.get('csrf')))) {
      throw new FormRefused(403, 'This form is not, or no longer, valid. Go back and load the page anew.')
    }
    if (!(await signIn.take(signInVisit, fields.get('step') ?? ''))) await signIn.show(signInVisit)
  }

  return async (visit) => {
    const id = visit.cookies.get(sessionCookie)
    const session = await sessionOf(id)
    if (id === undefined || session === undefined) return signInFirst(visit)

    const { request, response, fields, query, address } = visit
    const { name } = session
    const binding = `account ${hash('sha256', id, 'base64url')}`
    const frame = { action: url, csrf: await marks.of(binding) }

    const show = async (said: { readonly done?: string; readonly failed?: Failure | undefined } = {}) => {
      const list = await factors.list(name)
      const { done, failed } = said
      const view = accountView({
        ...frame,
        name,
        factors: list,
        done,
        error: failed?.text,
        passwordMin: lengthMin,
        canUsePasskeys: factors.canUsePasskeys,
      })
      sendPage(response, pages, failed?.status ?? 200, view, failed?.headers)
    }

    const showEnrol = async (kind: FactorKind, failed?: Failure) => {
      const list = await factors.list(name)
      if (kind === 'totp' && list.totp !== undefined) return show()
      const offer =
        kind === 'passkey'
          ? undefined
          : session.offer === undefined
            ? await factors.offerTotp(name)
            : await factors.reofferTotp(name, session.offer)
      if (offer !== undefined && session.offer === undefined) {
        await store.put(keyOf(id), { ...session, offer: offer.sealed }, { ttlMs: sessionMs })
      }
      const view = enrolView({
        ...frame,
        name,
        kind,
        kinds: [kind],
        offer,
        qr: offer === undefined ? undefined : qrOf(offer.uri),
        passkeyOptions: kind === 'passkey' ? JSON.stringify(await factors.passkeyCreation(name, binding)) : undefined,
        isForced: false,
        error: failed?.text,
      })
      sendPage(response, pages, failed?.status ?? 200, view)
    }

    const showCodes = async () => {
      sendPage(response, pages, 200, recoveryCodesView({ ...frame, codes: await factors.newRecoveryCodes(name) }))
    }

    const added = async (kind: FactorKind) => {
      tell({ event: 'account.factor-added', subject: name, address, detail: { kind } })
      const { recoveryCodesLeft } = await factors.list(name)
      return recoveryCodesLeft === 0 ? showCodes() : show({ done: 'It is set up.' })
    }

    const removed = async (kind: FactorKind) => {
      tell({ event: 'account.factor-removed', subject: name, address, detail: { kind } })
      return show({ done: 'It is removed.' })
    }

    if (request.method !== 'POST') {
      const kind = query.get('enrol')
      return kind === 'totp' || kind === 'passkey' ? showEnrol(kind) : show()
    }
    if (!(await marks.fits(binding, fields.get('csrf')))) {
      throw new FormRefused(403, 'This form is not, or no longer, valid. Go back and load the page anew.')
    }
    switch (fields.get('step')) {
      case 'enrol-totp': {
        const isRight =
          session.offer !== undefined && (await factors.acceptTotp(name, session.offer, fields.get('code') ?? ''))
        if (!isRight) return showEnrol('totp', { status: 403, text: 'That code is wrong. Wait for the next one.' })
        await store.put(keyOf(id), { name, authTime: session.authTime }, { ttlMs: sessionMs })
        return added('totp')
      }
      case 'enrol-passkey': {
        const passkey = await factors.addPasskey(name, binding, credentialOf(fields), fields.get('label') ?? '')
        if (passkey !== undefined) return added('passkey')
        return showEnrol('passkey', { status: 403, text: 'This passkey could not be added. Try again.' })
      }
      case 'remove-totp':
        return (await factors.removeTotp(name)) ? removed('totp') : show()
      case 'remove-passkey':
        return (await factors.removePasskey(name, fields.get('id') ?? '')) ? removed('passkey') : show()
      case 'new-codes':
        return showCodes()
      case 'change-password': {
        const device = await accounts.devices.read(visit.deviceCookie(name), name)
        const tried = await accounts.tryPassword(name, fields.get('current') ?? '', { address, device })
        if (tried.kind !== 'right') return show({ failed: failureOf(tried, 'The present password is wrong.') })
        const fault = await accounts.changePassword(name, fields.get('new') ?? '', { address, device })
        if (fault !== undefined) return show({ failed: { status: 422, text: sentence(fault) } })
        // What was signed in before has ended, this visit with it: under a new id it goes on.
        await store.delete(keyOf(id))
        await start(name, response)
        return seeOther(response)
      }
      case 'leave':
        await store.delete(keyOf(id))
        response.appendHeader('Set-Cookie', `${sessionCookie}=; Max-Age=0; ${flags}`)
        return sendPage(response, pages, 200, messageView({ title: 'Done', text: 'You can close this page.' }))
      default:
        return show()
    }
  }
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`
}
