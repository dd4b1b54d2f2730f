import type { FactorList, TotpOffer } from '../factors.ts'
import { type Html, html, trusted } from './html.ts'
import type { View } from './page.ts'

/*
 * Every page as a function of what it shows. All work without JavaScript, passkeys excepted; a message of something that
 * went wrong stands before the form and is read out first (role=alert).
 */

/** What every form sends along: where to, and the mark that it was ours. */
export interface FormFrame {
  readonly action: string
  readonly csrf: string
}

interface Messages {
  readonly error?: string | undefined
}

export interface SignInView extends FormFrame, Messages {
  readonly client: string | undefined
  readonly name: string | undefined
  readonly remember: boolean
  readonly canRemember: boolean
  readonly passkeyOptions: string | undefined
}

export function signInView(view: SignInView): View {
  const { client, name, error, passkeyOptions, remember, canRemember } = view
  return {
    title: 'Sign in',
    passkeys: passkeyOptions !== undefined,
    body: html`<h1>Sign in</h1>
<p class="lead">${client === undefined ? 'to look after your account' : html`to go on to <strong>${client}</strong>`}</p>
${alert(error)}
<form method="post" action="${view.action}">
${hidden(view, 'password')}
<div class="field"><label for="name">User name</label>
<input id="name" name="name" type="text" value="${name ?? ''}" autocomplete="username" autocapitalize="none" autocorrect="off" spellcheck="false" maxlength="200" required${invalid(error)}${name === undefined && autofocus}></div>
<div class="field"><label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" maxlength="1024" required${invalid(error)}${name !== undefined && autofocus}></div>
${canRemember && html`<div class="check"><input id="remember" name="remember" type="checkbox" value="yes"${remember && checked}><label for="remember">Keep me signed in on this device</label></div>`}
<button type="submit">Sign in</button>
</form>
${
  passkeyOptions !== undefined &&
  passkeyForm(view, {
    step: 'passkey',
    kind: 'get',
    options: passkeyOptions,
    button: 'Sign in with a passkey',
    before: html`<div class="or" aria-hidden="true">or</div>`,
    second: true,
    remember: canRemember,
  })
}
${client !== undefined && html`<form method="post" action="${view.action}" class="cancel">${hidden(view, 'cancel')}<button class="plain" type="submit">Cancel</button></form>`}`,
  }
}

export type FactorWay = 'totp' | 'passkey' | 'recovery'

export interface SecondFactorView extends FormFrame, Messages {
  readonly name: string
  readonly way: FactorWay
  readonly ways: readonly FactorWay[]
  readonly passkeyOptions: string | undefined
}

const wayNames: Readonly<Record<FactorWay, string>> = {
  totp: 'Use a code from your app',
  passkey: 'Use a passkey',
  recovery: 'Use a recovery code',
}

export function secondFactorView(view: SecondFactorView): View {
  const { name, way, ways, error, passkeyOptions } = view
  return {
    title: 'Confirm that it is you',
    passkeys: way === 'passkey',
    body: html`<h1>Confirm that it is you</h1>
<p class="lead">Signing in as <strong>${name}</strong></p>
${alert(error)}
${way === 'totp' && codeForm(view, { step: 'totp', label: 'Code from your authenticator app', hint: 'Six digits; a new one every 30 seconds.', button: 'Confirm', error })}
${
  way === 'recovery' &&
  html`<form method="post" action="${view.action}">${hidden(view, 'recovery')}
<div class="field"><label for="code">Recovery code</label>
<input id="code" name="code" type="text" autocomplete="off" autocapitalize="none" spellcheck="false" maxlength="60" required aria-describedby="code-hint"${invalid(error)}${autofocus}>
<small id="code-hint">One of those you stored when you set up your second factor. Each works once.</small></div>
<button type="submit">Confirm</button></form>`
}
${
  way === 'passkey' &&
  passkeyOptions !== undefined &&
  html`${passkeyForm(view, { step: 'factor-passkey', kind: 'get', options: passkeyOptions, button: 'Use your passkey' })}
<noscript><p class="message">Passkeys need JavaScript. Allow it for this page${ways.length > 1 && ', or choose another way'}.</p></noscript>`
}
<ul class="ways">
${ways.filter((other) => other !== way).map((other) => html`<li><a href="${view.action}?with=${other}">${wayNames[other]}</a></li>`)}
</ul>
<form method="post" action="${view.action}">${hidden(view, 'restart')}<button class="plain" type="submit">Sign in as somebody else</button></form>`,
  }
}

export interface EnrolView extends FormFrame, Messages {
  readonly name: string
  readonly kind: 'totp' | 'passkey'
  readonly kinds: readonly ('totp' | 'passkey')[]
  readonly offer: TotpOffer | undefined
  readonly qr: Html | undefined
  readonly passkeyOptions: string | undefined
  /** Whether sign-in waits for it, or its owner came to add it. */
  readonly isForced: boolean
}

export function enrolView(view: EnrolView): View {
  const { kind, kinds, error, offer, qr, isForced, passkeyOptions } = view
  const lead = isForced ? 'A second factor is needed here. Set one up now; it takes a minute.' : undefined
  return {
    title: kind === 'totp' ? 'Set up an authenticator app' : 'Add a passkey',
    passkeys: kind === 'passkey',
    body: html`<h1>${kind === 'totp' ? 'Set up an authenticator app' : 'Add a passkey'}</h1>
${lead !== undefined && html`<p class="lead">${lead}</p>`}
${alert(error)}
${
  kind === 'totp' &&
  offer !== undefined &&
  html`<p>Scan this with an authenticator app, or <a href="${offer.uri}">open it in one on this device</a>.</p>
<div class="qr">${qr}</div>
<p class="hint">Or type this key into the app:</p>
<span class="secret">${offer.secret.replace(/(.{4})(?=.)/g, '$1 ')}</span>
${codeForm(view, { step: 'enrol-totp', label: 'Code that the app shows', hint: 'Six digits.', button: 'Set up', error })}`
}
${
  kind === 'passkey' &&
  passkeyOptions !== undefined &&
  html`<p>A passkey is kept by your device, your password manager or a security key, and opened with your finger, face or PIN. It cannot be given away to a false site.</p>
${passkeyForm(view, { step: 'enrol-passkey', kind: 'create', options: passkeyOptions, button: 'Create a passkey', label: true })}
<noscript><p class="message">Passkeys need JavaScript. Allow it for this page.</p></noscript>`
}
<ul class="ways">
${kinds.filter((other) => other !== kind).map((other) => html`<li><a href="${view.action}?enrol=${other}">${other === 'totp' ? 'Use an authenticator app instead' : 'Use a passkey instead'}</a></li>`)}
${!isForced && html`<li><a href="${view.action}">Back to your account</a></li>`}
</ul>
${isForced && html`<form method="post" action="${view.action}">${hidden(view, 'restart')}<button class="plain" type="submit">Sign in as somebody else</button></form>`}`,
  }
}

export interface CodesView extends FormFrame {
  readonly codes: readonly string[]
}

export function recoveryCodesView(view: CodesView): View {
  return {
    title: 'Store your recovery codes',
    body: html`<h1>Store your recovery codes</h1>
<p class="lead">They let you in when your app or passkey is lost. Each works once. They are shown only now.</p>
<ol class="codes" aria-label="Recovery codes">
${view.codes.map((code) => html`<li>${code}</li>`)}
</ol>
<p class="hint">Print them, or keep them in a password manager, apart from your phone.</p>
<form method="post" action="${view.action}">${hidden(view, 'codes-stored')}<button type="submit">I have stored them</button></form>`,
  }
}

export interface ConsentView extends FormFrame {
  readonly client: string
  readonly name: string
  readonly scopes: readonly { readonly name: string; readonly text: string; readonly resource?: string | undefined }[]
  readonly duration: string
  readonly goesTo: string | undefined
}

export function consentView(view: ConsentView): View {
  return {
    title: `Allow ${view.client}?`,
    body: html`<h1>Allow ${view.client}?</h1>
<p class="lead"><strong>${view.client}</strong> asks for access to your account <strong>${view.name}</strong>.</p>
${
  view.scopes.length > 0 &&
  html`<h2 id="scopes">It wants to</h2>
<ul class="scopes" aria-labelledby="scopes">
${view.scopes.map(({ name, text, resource }) => html`<li>${text}<code>${name}${resource !== undefined && html` · ${resource}`}</code></li>`)}
</ul>`
}
<dl><dt>For how long</dt><dd>${view.duration}</dd>
${view.goesTo !== undefined && html`<dt>You go on to</dt><dd>${view.goesTo}</dd>`}</dl>
<form method="post" action="${view.action}">
${hidden(view, 'consent')}
<div class="row"><button class="second" type="submit" name="decision" value="deny">Do not allow</button>
<button type="submit" name="decision" value="allow">Allow</button></div>
</form>`,
  }
}

/** Stands between a form and another site: so browsers apply `form-action` to our own answer only. */
export function continueView(to: string, client: string | undefined): View {
  return {
    title: 'One moment',
    next: to,
    body: html`<h1>One moment</h1><p class="lead" role="status">You are taken back${client !== undefined && html` to <strong>${client}</strong>`}.</p>
<a class="button" href="${to}">Continue</a>`,
  }
}

export interface MessageView {
  readonly title: string
  readonly text: string
  readonly detail?: string | undefined
  readonly link?: { readonly href: string; readonly text: string } | undefined
}

/** An end of the road: an error, or that all is done. */
export function messageView({ title, text, detail, link }: MessageView): View {
  return {
    title,
    body: html`<h1>${title}</h1><p>${text}</p>
${detail !== undefined && html`<p class="hint">${detail}</p>`}
${link !== undefined && html`<a class="button" href="${link.href}">${link.text}</a>`}`,
  }
}

export interface AccountView extends FormFrame, Messages {
  readonly name: string
  readonly factors: FactorList
  readonly done?: string | undefined
  readonly passwordMin: number
  readonly canUsePasskeys: boolean
}

export function accountView(view: AccountView): View {
  const { name, factors, error, done, passwordMin, canUsePasskeys } = view
  const { totp, passkeys, recoveryCodesLeft } = factors
  const hasFactor = totp !== undefined || passkeys.length > 0
  const remove = (step: string, what: string, id?: string) =>
    html`<form method="post" action="${view.action}">${hidden(view, step)}${id !== undefined && html`<input type="hidden" name="id" value="${id}">`}
<button class="second small" type="submit" aria-label="Remove ${what}">Remove</button></form>`
  return {
    title: 'Your account',
    wide: true,
    body: html`<h1>Your account</h1>
<p class="lead">Signed in as <strong>${name}</strong></p>
${alert(error)}
${done !== undefined && html`<p class="message good" role="status">${done}</p>`}
<section aria-labelledby="factors"><h2 id="factors">Second factor</h2>
${!hasFactor && html`<p>You have none. With one, a stolen password alone lets nobody in.</p>`}
${totp !== undefined && html`<div class="item"><p>Authenticator app<br><small>since ${day(totp.createdAt)}</small></p>${remove('remove-totp', 'the authenticator app')}</div>`}
${passkeys.map(({ id, label, createdAt, usedAt }) => html`<div class="item"><p>${label}<br><small>passkey since ${day(createdAt)}${usedAt !== undefined && html`, last used ${day(usedAt)}`}</small></p>${remove('remove-passkey', `the passkey ${label}`, id)}</div>`)}
<div class="row">${totp === undefined && html`<a class="button" href="${view.action}?enrol=totp">Set up an app</a>`}${canUsePasskeys && html`<a class="button" href="${view.action}?enrol=passkey">Add a passkey</a>`}</div>
</section>
${
  hasFactor &&
  html`<section aria-labelledby="recovery"><h2 id="recovery">Recovery codes</h2>
<div class="item"><p>${recoveryCodesLeft} left</p><form method="post" action="${view.action}">${hidden(view, 'new-codes')}<button class="second small" type="submit">Make new ones</button></form></div></section>`
}
<section aria-labelledby="change"><h2 id="change">Change your password</h2>
<form method="post" action="${view.action}">
${hidden(view, 'change-password')}
<input type="text" name="name" value="${name}" autocomplete="username" hidden>
<div class="field"><label for="current">Present password</label><input id="current" name="current" type="password" autocomplete="current-password" maxlength="1024" required></div>
<div class="field"><label for="new">New password</label><input id="new" name="new" type="password" autocomplete="new-password" minlength="${passwordMin}" maxlength="1024" required aria-describedby="new-hint">
<small id="new-hint">At least ${passwordMin} characters; a sentence is fine. You are signed out everywhere else.</small></div>
<button type="submit">Change password</button>
</form></section>
<section><form method="post" action="${view.action}">${hidden(view, 'leave')}<button class="second" type="submit">Done</button></form></section>`,
  }
}

/** `form` is the provider's, with its own mark; the inputs here belong to it by its id. */
export function deviceInputView({ action, csrf, error }: FormFrame & Messages): View {
  return {
    title: 'Connect a device',
    body: html`<h1>Connect a device</h1>
<p class="lead">Type the code that your device shows.</p>
${alert(error)}
<form method="post" action="${action}">
<input type="hidden" name="xsrf" value="${csrf}">
<div class="field"><label for="user_code">Code</label>
<input id="user_code" class="code" name="user_code" type="text" autocomplete="off" autocapitalize="characters" spellcheck="false" maxlength="20" required${invalid(error)}${autofocus}></div>
<button type="submit">Continue</button>
</form>`,
  }
}

export interface DeviceConfirmView {
  readonly form: string
  readonly client: string
  readonly userCode: string
  readonly address: string | undefined
}

export function deviceConfirmView({ form, client, userCode, address }: DeviceConfirmView): View {
  return {
    title: 'Is this your device?',
    body: html`<h1>Is this your device?</h1>
<p class="lead"><strong>${client}</strong> wants to be connected to your account. Go on only if your device shows this code, and you started it yourself:</p>
<span class="user-code">${userCode}</span>
${address !== undefined && html`<dl><dt>The device's address</dt><dd>${address}</dd></dl>`}
${trusted(form)}
<div class="row"><button class="second" type="submit" form="op.deviceConfirmForm" name="abort" value="yes">No</button>
<button type="submit" form="op.deviceConfirmForm">Yes, continue</button></div>`,
  }
}

export function signOutView(form: string): View {
  return {
    title: 'Sign out?',
    body: html`<h1>Sign out?</h1><p class="lead">This signs you out of this service on this device.</p>
${trusted(form)}
<div class="row"><button class="second" type="submit" form="op.logoutForm">Stay signed in</button>
<button type="submit" form="op.logoutForm" name="logout" value="yes">Sign out</button></div>`,
  }
}

function hidden({ csrf }: FormFrame, step: string): Html {
  return html`<input type="hidden" name="csrf" value="${csrf}"><input type="hidden" name="step" value="${step}">`
}

interface CodeFormView {
  readonly step: string
  readonly label: string
  readonly hint: string
  readonly button: string
  readonly error: string | undefined
}

function codeForm(frame: FormFrame, { step, label, hint, button, error }: CodeFormView): Html {
  return html`<form method="post" action="${frame.action}">${hidden(frame, step)}
<div class="field"><label for="code">${label}</label>
<input id="code" class="code" name="code" type="text" inputmode="numeric" pattern="[0-9 ]*" autocomplete="one-time-code" maxlength="9" required aria-describedby="code-hint"${invalid(error)}${autofocus}>
<small id="code-hint">${hint}</small></div>
<button type="submit">${button}</button></form>`
}

interface PasskeyFormView {
  readonly step: string
  readonly kind: 'get' | 'create'
  readonly options: string
  readonly button: string
  readonly before?: Html
  readonly second?: boolean
  readonly remember?: boolean
  readonly label?: boolean
}

function passkeyForm(frame: FormFrame, view: PasskeyFormView): Html {
  return html`<form method="post" action="${frame.action}" data-passkey="${view.kind}" data-options="${view.options}"
data-waiting="Follow what your browser or device says." data-failed="That did not work, or was stopped. You can try again." data-taken="This device has a passkey for this account already." hidden>
${view.before}${hidden(frame, view.step)}<input type="hidden" name="credential">${view.remember && html`<input type="hidden" name="remember" value="">`}
${view.label && html`<div class="field"><label for="label">A name for it</label><input id="label" name="label" type="text" autocomplete="off" maxlength="60" placeholder="Laptop"></div>`}
<button type="submit"${view.second && html` class="second"`}>${view.button}</button>
<p role="status"></p>
</form>`
}

function alert(error: string | undefined): Html | undefined {
  return error === undefined ? undefined : html`<p class="message" role="alert" id="error">${error}</p>`
}

const autofocus = html` autofocus`
const checked = html` checked`

function invalid(error: string | undefined): Html | false {
  return error !== undefined && html` aria-invalid="true"`
}

function day(at: number): Html {
  const date = new Date(at).toISOString().slice(0, 10)
  return html`<time datetime="${date}">${date}</time>`
}
