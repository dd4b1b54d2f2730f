import type { Configuration, KoaContextWithOIDC } from 'oidc-provider'
import { interactionPolicy } from 'oidc-provider'
import type { Accounts } from '../accounts.ts'
import { acrValues, type PeopleSettings, satisfies } from '../people.ts'
import type { Pages, View } from './page.ts'
import { deviceConfirmView, deviceInputView, messageView, signOutView } from './views.ts'

export interface PeopleConfigurationOptions {
  readonly accounts: Accounts
  readonly pages: Pages
  readonly settings: PeopleSettings
  readonly addressOf: (request: KoaContextWithOIDC['req']) => string
}

/** What the provider must know of people: who they are, when to ask them for what, and how its own pages look. */
export function peopleConfiguration({ accounts, pages, settings, addressOf }: PeopleConfigurationOptions) {
  const show = (ctx: KoaContextWithOIDC, view: View, status = 200, formTo?: string) => {
    ctx.status = status
    for (const [name, value] of Object.entries(pages.headers)) ctx.set(name, value)
    if (formTo !== undefined) {
      const policy = pages.headers['Content-Security-Policy']!
      ctx.set('Content-Security-Policy', policy.replace("form-action 'self'", `form-action 'self' ${formTo}`))
    }
    ctx.body = pages.render(view)
  }

  return {
    acrValues: [...acrValues],
    interactions: {
      url: (_ctx, interaction) => `${pages.base}/${interaction.uid}`,
      policy: policyOf(accounts, settings),
    },
    async findAccount(_ctx, sub, token) {
      const authTime = (token as { authTime?: number } | undefined)?.authTime
      if (!(await accounts.stillStands(sub, authTime))) return undefined
      return {
        accountId: sub,
        claims: () => ({ sub, preferred_username: sub }),
      }
    },
    renderError(ctx, out) {
      const { error, error_description: detail } = out
      // What was wrong with the request is for whoever built the application; its reader can only go back.
      const text =
        'The application sent you here with a request that cannot be answered, or it took too long. Go back and start again.'
      const told = `${error}${detail === undefined ? '' : `: ${detail}`}`
      const status = Math.max(ctx.status, 400)
      show(ctx as KoaContextWithOIDC, messageView({ title: 'This did not work', text, detail: told }), status)
    },
    features: {
      devInteractions: { enabled: false },
      deviceFlow: {
        async userCodeInputSource(ctx, form, _out, error) {
          const name = (error as Error | undefined)?.name
          const isGuess = name === 'NotFoundError' || name === 'AlreadyUsedError' || name === 'ExpiredError'
          if (isGuess) await accounts.lockout.deviceWrong(addressOf(ctx.req))
          if (name === 'AbortedError') {
            const text = 'The device was not connected. You can close this page.'
            return show(ctx, messageView({ title: 'Not connected', text }))
          }
          const [, action] = /action="([^"]*)"/.exec(form) ?? []
          const [, csrf] = /name="xsrf" value="([^"]*)"/.exec(form) ?? []
          const text =
            error === undefined ? undefined : isGuess || name === 'NoCodeError' ? wrongUserCode : somethingElse
          show(ctx, deviceInputView({ action: action ?? '', csrf: csrf ?? '', error: text }), isGuess ? 403 : 200)
        },
        userCodeConfirmSource(ctx, form, client, deviceInfo, userCode) {
          const name = client.clientName ?? client.clientId
          const address = (deviceInfo as { ip?: string }).ip
          show(ctx, deviceConfirmView({ form, client: name, userCode, address }))
        },
        successSource(ctx) {
          const text = 'Your device is connected. You can close this page and go on there.'
          show(ctx, messageView({ title: 'Connected', text }))
        },
      },
      rpInitiatedLogout: {
        logoutSource(ctx, form) {
          const state = ctx.oidc.session?.state as { postLogoutRedirectUri?: string } | undefined
          const url = URL.parse(state?.postLogoutRedirectUri ?? '')
          show(ctx, signOutView(form), 200, url === null ? undefined : formTarget(url))
        },
        postLogoutSuccessSource(ctx) {
          show(ctx, messageView({ title: 'Signed out', text: 'You are signed out on this device.' }))
        },
      },
    },
  } satisfies Configuration
}

const wrongUserCode = 'There is no device that waits with this code. Look at it again.'
const somethingElse = 'That did not work. Try again.'

/** A source that CSP can name: brackets of IPv6 addresses are not in its grammar (CSP 3, 2.3.1). */
function formTarget(url: URL): string {
  const isWeb = url.protocol === 'https:' || url.protocol === 'http:'
  return isWeb && !url.hostname.startsWith('[') ? url.origin : url.protocol
}

function policyOf(accounts: Accounts, settings: PeopleSettings) {
  const { Check, base } = interactionPolicy
  const policy = base()
  const login = policy.get('login')!
  const sessionOf = (ctx: KoaContextWithOIDC) => ctx.oidc.session as Session | undefined

  login.checks.add(
    new Check('credentials_changed', 'the password was changed since', 'login_required', async (ctx) => {
      const session = sessionOf(ctx)
      if (session?.accountId === undefined) return Check.NO_NEED_TO_PROMPT
      const stands = await accounts.stillStands(session.accountId, session.loginTs)
      return stands ? Check.NO_NEED_TO_PROMPT : Check.REQUEST_PROMPT
    }),
  )
  login.checks.add(
    // OpenID Connect calls `acr_values` voluntary; a resource server that refused for the lack of one means it (RFC 9470, 5).
    new Check(
      'acr_values',
      'none of the requested authentication context classes is reached',
      'unmet_authentication_requirements',
      (ctx) => {
        const session = sessionOf(ctx)
        if (session?.accountId === undefined) return Check.NO_NEED_TO_PROMPT
        const asked = String(ctx.oidc.params?.acr_values ?? '')
          .split(' ')
          .filter((value) => value !== '')
        return satisfies(session.acr, asked) ? Check.NO_NEED_TO_PROMPT : Check.REQUEST_PROMPT
      },
    ),
  )
  login.checks.add(
    new Check('second_factor', 'a second factor is required', 'login_required', (ctx) => {
      const session = sessionOf(ctx)
      if (settings.mfa.length === 0 || session?.accountId === undefined) return Check.NO_NEED_TO_PROMPT
      return session.acr === 'mfa' ? Check.NO_NEED_TO_PROMPT : Check.REQUEST_PROMPT
    }),
  )
  return policy
}

interface Session {
  readonly accountId?: string
  readonly loginTs?: number
  readonly acr?: string
}

/** What an access token says of how its owner signed in (RFC 9470, 6; RFC 9068, 2.2.1). For `extraTokenClaims`. */
export function authenticationClaims(ctx: KoaContextWithOIDC): {
  acr?: string
  amr?: readonly string[]
  auth_time?: number
} {
  const { AuthorizationCode, RefreshToken, DeviceCode } = ctx.oidc.entities as Record<string, Proof | undefined>
  const proof = AuthorizationCode ?? RefreshToken ?? DeviceCode
  if (proof === undefined) return {}
  const { acr, amr, authTime } = proof
  return {
    ...(acr === undefined ? {} : { acr }),
    ...(amr === undefined ? {} : { amr }),
    ...(authTime === undefined ? {} : { auth_time: authTime }),
  }
}

interface Proof {
  readonly acr?: string
  readonly amr?: readonly string[]
  readonly authTime?: number
}
