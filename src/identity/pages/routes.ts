import { hash } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type Provider from 'oidc-provider'
import { messageOf } from '../../base/errors.ts'
import type { Tell } from '../../base/events.ts'
import { type Logger, silentLogger } from '../../base/log.ts'
import { parseCookies } from '../../http/cookies.ts'
import type { Store } from '../../store/store.ts'
import type { KeyRing } from '../../vault/index.ts'
import type { Accounts } from '../accounts.ts'
import { acrOf, type PeopleSettings } from '../people.ts'
import { createAccountPages } from './account.ts'
import { consentText } from './consent.ts'
import { createFormMarks, FormRefused, isSameOrigin, readForm } from './forms.ts'
import { type Pages, sendAsset, sendPage } from './page.ts'
import { createSignIn, type Flow, type Visit } from './sign-in.ts'
import { consentView, continueView, messageView } from './views.ts'

export interface InteractionOptions {
  /** The provider of now: it is made anew when signing keys change. */
  readonly provider: () => Provider
  readonly accounts: Accounts
  readonly pages: Pages
  readonly settings: PeopleSettings
  readonly store: Store
  readonly vault: () => Promise<KeyRing>
  readonly tell: Tell
  /** Where it is told why a page could not be made. Default: nowhere. */
  readonly log?: Logger
  /** The caller's address, as far as it can be believed. */
  readonly addressOf: (request: IncomingMessage) => string
  /** What a scope means, from the documents that speak of it. */
  readonly describeScope: (scope: string) => string | undefined
}

/** Answers what people see; `false`: the request is for somebody else, and nothing was done. */
export type InteractionRoutes = (request: IncomingMessage, response: ServerResponse) => Promise<boolean>

/**
 * Sign-in, consent and the pages of one's account, under `<issuer path>/interaction/`. Asked first for every request of
 * the token service, with the path as it came: it also stands before the form that takes user codes of devices.
 */
export function interactionRoutes(options: InteractionOptions): InteractionRoutes {
  const { accounts, pages, settings, store, vault, tell, log = silentLogger, addressOf, describeScope } = options
  const { origin, pathname, protocol } = new URL(settings.issuer)
  const issuerPath = pathname.replace(/\/$/, '')
  const cookiePrefix = protocol === 'https:' ? '__Secure-' : ''
  const flags = `Path=${pages.base}; HttpOnly; SameSite=Lax${protocol === 'https:' ? '; Secure' : ''}`
  const marks = createFormMarks(vault)
  const signIn = createSignIn({ accounts, store, pages, marks, settings, tell })
  const account = createAccountPages({ accounts, pages, marks, store, settings, signIn, tell, cookiePrefix })

  /** One cookie for each account that signed in on a device. */
  const deviceCookie = (name: string) =>
    `${cookiePrefix}portcullis-device-${hash('sha256', name, 'base64url').slice(0, 12)}`

  async function rememberDevice(name: string, response: ServerResponse): Promise<void> {
    const value = await accounts.devices.mint(name)
    const seconds = Math.floor(accounts.devices.lifeMs / 1_000)
    response.appendHeader('Set-Cookie', `${deviceCookie(name)}=${value}; Max-Age=${seconds}; ${flags}`)
  }

  async function finishOf(flow: Flow, response: ServerResponse): Promise<Flow> {
    return {
      ...flow,
      async finish(done, reply) {
        await rememberDevice(done.name, reply)
        await flow.finish(done, reply)
      },
      ...(flow.cancel === undefined ? {} : { cancel: () => flow.cancel!(response) }),
    }
  }

  async function answer(request: IncomingMessage, response: ServerResponse, url: URL): Promise<void> {
    const path = url.pathname.slice(pages.base.length + 1)
    if (path.startsWith('assets/')) {
      const asset = request.method === 'POST' ? undefined : pages.asset(path.slice('assets/'.length))
      if (asset === undefined) return gone(response)
      return sendAsset(response, asset)
    }
    const fields = request.method === 'POST' ? await readForm(request) : new Map<string, string>()
    if (request.method === 'POST' && !isSameOrigin(request, origin)) {
      throw new FormRefused(403, 'This form was sent by another site.')
    }
    const cookies = parseCookies(request.headers.cookie)
    const visit = {
      response,
      query: url.searchParams,
      fields,
      address: addressOf(request),
      deviceCookie: (name: string) => cookies.get(deviceCookie(name)),
    }
    if (path === 'account') {
      return account({ ...visit, request, cookies, rememberDevice })
    }
    if (/^[\w-]{10,64}$/.test(path)) return interact(request, visit, path)
    return gone(response)
  }

  async function interact(request: IncomingMessage, visit: Omit<Visit, 'flow'>, uid: string): Promise<void> {
    const { response, fields } = visit
    const provider = options.provider()
    const details = await provider.interactionDetails(request, response).catch(() => undefined)
    // The cookie decides which sign-in it is; an address that names another one is nobody's.
    if (details === undefined || details.uid !== uid) return gone(response)
    const url = `${pages.base}/${uid}`
    if (request.method === 'POST' && !(await marks.fits(uid, fields.get('csrf')))) {
      throw new FormRefused(403, 'This form is not, or no longer, valid. Go back and load the page anew.')
    }
    const client = await provider.Client.find(String(details.params.client_id))
    const clientName = client?.clientName ?? client?.clientId ?? String(details.params.client_id)

    const end = async (result: Parameters<Provider['interactionResult']>[2], isMerged: boolean) => {
      const to = await provider.interactionResult(request, response, result, { mergeWithLastSubmission: isMerged })
      sendPage(response, pages, 200, continueView(to, clientName))
    }
    const deny = (text: string) => end({ error: 'access_denied', error_description: text }, false)

    if (details.prompt.name === 'consent') {
      const name = details.session?.accountId
      if (name === undefined) return gone(response)
      if (request.method !== 'POST') {
        const canRenew = client?.grantTypeAllowed('refresh_token') === true
        const text = consentText(details, { describeScope, settings, canRenew })
        const frame = { action: url, csrf: await marks.of(uid) }
        return sendPage(response, pages, 200, consentView({ ...frame, ...text, client: clientName, name }))
      }
      if (fields.get('decision') !== 'allow') return deny('the user did not agree')
      const grantId = await grantFor(provider, name, details)
      return end({ consent: { grantId } }, true)
    }
    if (details.prompt.name !== 'login') return gone(response)

    const { reasons } = details.prompt
    const asked = String(details.params.acr_values ?? '').split(' ')
    const isStepUp =
      details.session !== undefined && reasons.length > 0 && reasons.every((reason) => stepUpReasons.has(reason))
    const session = details.session as { accountId: string; amr?: readonly string[] } | undefined
    const flow = await finishOf(
      {
        id: uid,
        url,
        client: clientName,
        nameHint: nameOf(details.params.login_hint) ?? details.session?.accountId,
        wantsMfa: asked.includes('mfa') && !asked.includes('pwd'),
        stepUp: isStepUp ? { name: session!.accountId, amr: session!.amr ?? ['pwd'] } : undefined,
        finish: ({ name, amr, remember }) =>
          end({ login: { accountId: name, acr: acrOf(amr), amr: [...amr], remember } }, false),
        cancel: () => deny('the user did not sign in'),
      },
      response,
    )
    if (request.method !== 'POST') return signIn.show({ ...visit, flow })
    if (!(await signIn.take({ ...visit, flow }, fields.get('step') ?? ''))) await signIn.show({ ...visit, flow })
  }

  async function grantFor(
    provider: Provider,
    name: string,
    { grantId, params, prompt }: Awaited<ReturnType<Provider['interactionDetails']>>,
  ): Promise<string> {
    const existing = grantId === undefined ? undefined : await provider.Grant.find(grantId)
    const grant = existing ?? new provider.Grant({ accountId: name, clientId: String(params.client_id) })
    const missing = prompt.details as {
      missingOIDCScope?: string[]
      missingOIDCClaims?: string[]
      missingResourceScopes?: Record<string, string[]>
    }
    if (missing.missingOIDCScope !== undefined) grant.addOIDCScope(missing.missingOIDCScope.join(' '))
    if (missing.missingOIDCClaims !== undefined) grant.addOIDCClaims(missing.missingOIDCClaims)
    for (const [indicator, scopes] of Object.entries(missing.missingResourceScopes ?? {})) {
      grant.addResourceScope(indicator, scopes.join(' '))
    }
    return grant.save()
  }

  function gone(response: ServerResponse): void {
    sendPage(
      response,
      pages,
      404,
      messageView({
        title: 'There is nothing here',
        text: 'This sign-in has ended, or was started in another browser. Go back to the application and start again.',
      }),
    )
  }

  return async (request, response) => {
    const url = URL.parse(request.url ?? '', origin)
    if (url === null) return false
    const isDeviceForm = request.method === 'POST' && url.pathname === `${issuerPath}/device`
    if (!isDeviceForm && !url.pathname.startsWith(`${pages.base}/`)) return false
    try {
      if (isDeviceForm) {
        const wait = await accounts.lockout.deviceWaitMs(addressOf(request))
        if (wait === 0) return false
        refuse(response, pages, 429, 'Too many wrong codes. Wait a while and try again.', {
          'Retry-After': String(Math.ceil(wait / 1_000)),
        })
        return true
      }
      if (!['GET', 'HEAD', 'POST'].includes(request.method ?? '')) {
        refuse(response, pages, 405, 'This page is only to be read and sent.', { Allow: 'GET, HEAD, POST' })
        return true
      }
      await answer(request, response, url)
    } catch (error) {
      if (!(error instanceof FormRefused))
        log.error('A page of sign-in could not be made.', { error: messageOf(error) })
      if (response.headersSent) response.destroy()
      else if (error instanceof FormRefused) refuse(response, pages, error.status, error.message)
      // The store or the counters do not answer: nobody is let in on a guess.
      else {
        refuse(response, pages, 503, 'Signing in does not work right now. Try again in a moment.', {
          'Retry-After': '5',
        })
      }
    }
    return true
  }
}

function refuse(
  response: ServerResponse,
  pages: Pages,
  status: number,
  text: string,
  headers: Readonly<Record<string, string>> = {},
): void {
  sendPage(response, pages, status, messageView({ title: 'This did not work', text }), headers)
}

/** Reasons for which somebody who is signed in needs to show no more than a second factor. */
const stepUpReasons: ReadonlySet<string> = new Set(['acr_values', 'second_factor'])

function nameOf(hint: unknown): string | undefined {
  return typeof hint === 'string' && hint.length <= 200 ? hint : undefined
}
