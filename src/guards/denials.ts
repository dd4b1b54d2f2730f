/**
 * Every refusal there is: what it means to the caller who got it, and what an operator does about it. The reference
 * (docs/reference/denials.md) and the pages that a problem's `type` leads to are made from it; a test holds it against the code.
 */
export interface DenialPage {
  /** The statuses it comes with. */
  readonly status: readonly number[]
  /** For whoever sent the request. */
  readonly caller: string
  /** For whoever runs the gate: which key of the configuration decides. */
  readonly operator: string
}

const document = 'Decided by the OpenAPI document; `portcullis explain METHOD /path` shows what was compiled from it.'
const protocol =
  'Refused before any rule of an API is asked. Nothing to configure: what cannot be read in one way only is not passed on.'
const connection = 'Decided by `connection`.'
const token = 'Decided by `issuers`; the log line of the request has the evidence.'
const upstream = 'The activity log names the error; `portcullis doctor` asks the upstream.'

export const denialPages: Readonly<Record<string, DenialPage>> = {
  'admin.busy': page(503, 'Try again in a second.', 'More passwords are being checked than the queue holds.'),
  'admin.changed-meanwhile': page(
    412,
    'Somebody has changed it since you read it. Read it again, and decide anew.',
    'The ETag in `If-Match` is not the one of the record as it stands.',
  ),
  'admin.code-missing': page(
    401,
    'Send the one-time code of your authenticator, or a recovery code, as `code`.',
    'The account has a second factor.',
  ),
  'admin.configured': page(
    409,
    'Change the client where it was made.',
    'Clients of the configuration are changed there; revoked ones and those without a secret are not rotated.',
  ),
  'admin.exists': page(
    409,
    'Choose another name.',
    'A user is never made anew over HTTP: it would be a way to take an account over.',
  ),
  'admin.failed': page(
    500,
    'Tell the operator the `instance` of this answer.',
    'The message on standard error says what failed.',
  ),
  'admin.idempotency-busy': page(
    409,
    'Wait for a second and send the same request again.',
    'The first request with this key has not been answered yet; if its process died, the key is free after a minute.',
  ),
  'admin.idempotency-reused': page(
    422,
    'Use a new `Idempotency-Key` for every new request.',
    'One key belongs to one request for an hour.',
  ),
  'admin.level': page(
    403,
    'Ask an administrator.',
    'Each operation of the document says which role it needs: `portcullis:viewer`, `portcullis:operator` or `portcullis:admin`; roles of tokens count by `admin.auth.roles`.',
  ),
  'admin.locked': page(
    429,
    'Wait as long as Retry-After says.',
    'Too many wrong passwords or codes: `POST /v1/users/{name}/unlock` gives the tries back.',
  ),
  'admin.no-administrator': page(
    503,
    'Ask whoever runs the gate to make the first administrator.',
    'On the machine of the gate: `portcullis admin create NAME`. There is no default password.',
  ),
  'admin.no-token-service': page(
    409,
    'Nothing you can do.',
    'This gate issues no tokens: `tokenService` switches it on.',
  ),
  'admin.not-found': page(404, 'Check the id.', 'The list of the same path shows what there is.'),
  'admin.not-here': page(
    501,
    'Nothing you can do.',
    'The document and this program do not fit together; that is a mistake in the program.',
  ),
  'admin.own-role': page(
    403,
    'Ask an administrator.',
    'Roles that begin with `portcullis:`, and those of `admin.auth.roles`, administer the gate: only `portcullis:admin` may give them, and change or rotate what has them.',
  ),
  'admin.precondition-missing': page(
    428,
    'Read the record, and send its ETag as `If-Match`.',
    'Decided by the operation (RFC 6585, 3).',
  ),
  'admin.refused': page(
    422,
    'The detail says what cannot be, with a code of its own.',
    '`portcullis explain P1042` tells more of the code in the detail.',
  ),
  'admin.revoked': page(409, 'Make a new key.', 'What is revoked stays revoked.'),
  'admin.second-factor': page(
    403,
    'Sign in with `POST /v1/session`, with password and code, and use the session.',
    'The account has a second factor, so its password alone (HTTP Basic) does not administer.',
  ),
  'admin.sign-in': page(
    401,
    'Check name, password and code.',
    'One answer for a wrong name, password and code: it must not tell which names exist.',
  ),
  'admin.store': page(503, 'Try again later.', 'The store cannot be reached: `portcullis doctor`.'),
  'auth.api-key-address': page(
    403,
    'The key is valid, but only from certain networks.',
    'Decided when the key was made: `portcullis key create --cidr`.',
  ),
  'auth.api-key-early': page(
    401,
    'Wait until the key begins to work; ask whoever gave it to you when that is.',
    'Decided by `portcullis key create --not-before`; `key show` tells.',
  ),
  'auth.api-key-expired': page(
    401,
    'Ask for a new key.',
    'Decided by `portcullis key create --expires`; `key rotate` makes a successor.',
  ),
  'auth.api-key-operation': page(
    403,
    'The key is valid, but only for certain operations.',
    'Decided when the key was made: `portcullis key create --operation`; `key show` tells.',
  ),
  'auth.api-key-origin': page(
    403,
    'The key is valid, but only on certain web sites: pages of those, by `Origin` or `Referer`.',
    'Decided when the key was made: `portcullis key create --origin`. A page with `Referrer-Policy: no-referrer` sends neither header with a GET of its own site.',
  ),
  'auth.api-key-revoked': page(
    401,
    'The key will not work again. Ask for a new one.',
    '`portcullis key list` shows when it was revoked.',
  ),
  'auth.api-key-unknown': page(
    401,
    'Check that the whole key was sent, to the right gate.',
    '`portcullis key list` shows the keys of this store.',
  ),
  'auth.basic-busy': page(
    503,
    'Wait for a second and try again.',
    'More passwords are being checked than the queue holds; somebody may be guessing.',
  ),
  'auth.basic-locked': page(
    429,
    'Wait as long as Retry-After says; be sure of the password before trying again.',
    'Five wrong passwords a minute for one name from one network, or thirty for all names: somebody guesses, or a client keeps an old password. Counted for all processes together, each by itself while `counters` do not answer; told once as `account.locked`. Callers from elsewhere are not affected.',
  ),
  'auth.basic-malformed': page(
    401,
    'Send `Authorization: Basic` with base64 of `name:password` in UTF-8 (RFC 7617).',
    '`auth` lists `basic`.',
  ),
  'auth.basic-refused': page(
    401,
    'Check name and password.',
    '`portcullis user list` shows the users. `second-factor` in the evidence: the password was right, and this user has a second factor; see `auth.secondFactor`.',
  ),
  'auth.certificate-expired': page(401, 'Renew the client certificate.', 'The listener verified it; its time is over.'),
  'auth.certificate-revoked': page(
    401,
    'Ask for a new client certificate.',
    "Decided by `auth.mtls.revoked` or the listener's `clientCrl`.",
  ),
  'auth.certificate-unnamed': page(401, 'Use a certificate with the expected name.', 'Decided by `auth.mtls.subject`.'),
  'auth.dpop-busy': page(
    429,
    'Wait for a second and try again.',
    'Decided by `issuers.<name>.dpop.proofs`: so many signatures of one network are checked, and no more.',
  ),
  'auth.dpop-nonce': page(
    401,
    'Put the value of the header DPoP-Nonce into the proof as `nonce`, and send the request again (RFC 9449, 9).',
    'Decided by `issuers.<name>.dpop.nonce`.',
  ),
  'auth.dpop-proof': page(
    401,
    "Make the proof for this very request: `htm`, `htu`, `ath`, a fresh `iat` and `jti`, signed with the token's key (RFC 9449, 4).",
    'The evidence names what does not fit. `htu` is compared with the URL of the request; `auth.publicUrl` says another one.',
  ),
  'auth.dpop-replayed': page(
    401,
    'Make a new proof, with a new `jti`, for every request.',
    'A proof came twice: a client that repeats requests as they were, or somebody who listens.',
  ),
  'auth.dpop-required': page(
    401,
    'Ask for a token that is bound to a key (RFC 9449), and send it behind `DPoP`.',
    'Decided by `issuers.<name>.dpop`.',
  ),
  'auth.dpop-unavailable': page(
    503,
    'Try again later.',
    'Whether a proof is new is counted by `counters`, which does not answer.',
  ),
  'auth.insufficient_user_authentication': page(
    401,
    'Let the user sign in again as `acr_values` and `max_age` of `WWW-Authenticate` say, and send the new token (RFC 9470).',
    'Decided by `auth.stepUp` or `authorize.rules`; the log names which.',
  ),
  'auth.issuer-unreachable': page(
    503,
    'Try again later; the token could not be checked.',
    "The issuer's keys or its introspection cannot be reached: `portcullis doctor`.",
  ),
  'auth.session-cross-site': page(
    403,
    "Send the request from the application's own site.",
    'Decided by `auth.session.origins`.',
  ),
  'auth.logout-refused': page(
    400,
    'Send a logout token of the issuer (OpenID Connect Back-Channel Logout 1.0, 2.4).',
    'The evidence names what does not fit. Decided by `auth.signIn`.',
  ),
  'auth.session-refused': page(401, 'Log in again.', 'The session is unknown, expired or ended.'),
  'auth.token-address': page(
    403,
    'The token is valid, but only from certain networks.',
    'Decided by `cidr` in the claim `portcullis_bounds` of the token.',
  ),
  'auth.token-bounds': page(
    401,
    'Ask for a new token: what it says of its own bounds cannot be followed.',
    'The claim `portcullis_bounds` is a map with `cidr`, `origin` and `ops`, each a text or a list that is not empty.',
  ),
  'auth.token-operation': page(
    403,
    'The token is valid, but only for certain operations.',
    'Decided by `ops` in the claim `portcullis_bounds` of the token.',
  ),
  'auth.token-origin': page(
    403,
    'The token is valid, but only on certain web sites: pages of those, by `Origin` or `Referer`.',
    'Decided by `origin` in the claim `portcullis_bounds` of the token.',
  ),
  'auth.sign-in-flood': page(
    429,
    'Wait as long as `Retry-After` says, and begin again.',
    'One network may begin 120 sign-ins a minute at `/start`; the event `sign-in.flood` names it. Other networks are not affected.',
  ),
  'auth.sign-in-refused': page(
    401,
    'Go back to where you came from and sign in again, in one browser and within ten minutes.',
    'The evidence and the event `sign-in.refused` name what did not fit: the state, the browser, or what the issuer answered. Decided by `auth.signIn`.',
  ),
  'auth.token-malformed': page(
    401,
    'Send `Authorization: Bearer` followed by one token.',
    'The header could not be read as any method of `auth`.',
  ),
  'auth.token-algorithm': page(401, 'Sign with an algorithm this API accepts.', token),
  'auth.token-audience': page(401, 'Ask the issuer for a token for this API.', token),
  'auth.token-claims': page(401, 'Ask for a token with the claims this API needs.', token),
  'auth.token-critical': page(401, 'Leave out the extension that the `crit` header names.', token),
  'auth.token-expired': page(401, 'Fetch a new token.', token),
  'auth.token-flood': page(
    429,
    'Wait as long as `Retry-After` says, and send a good token then.',
    'Decided by `auth.failures`. Somebody guesses, or a client keeps a token that is over. Callers of other networks are not affected.',
  ),
  'auth.token-inactive': page(401, 'Fetch a new token.', token),
  'auth.token-issuer': page(401, 'Fetch a token from the issuer this API trusts.', token),
  'auth.token-key': page(401, 'Fetch a new token; the issuer has taken its key back.', token),
  'auth.token-not-yet-valid': page(401, 'Check the clock of the issuer.', token),
  'auth.token-revoked': page(401, 'Fetch a new token.', token),
  'auth.token-signature': page(401, 'Fetch a new token; this one was changed on the way.', token),
  'auth.token-type': page(401, 'Send an access token, not an ID token or another kind.', token),
  'auth.token-unbound': page(401, 'Show the key that the token is bound to.', token),
  'auth.unencrypted': page(
    403,
    'Use https, and replace the credential: it could be read on the way.',
    'The listener has `tls: off`; set `behindTlsTerminator` where one stands in front.',
  ),
  'authorize.acl': page(
    403,
    'Ask for access to this operation.',
    'Decided by `authorize.acl`; the log names the rule.',
  ),
  'authorize.answer-unreadable': page(
    502,
    'Nothing in the request can mend this; tell the operator.',
    'A rule with `owner` in `authorize.rules` looks into the answer, and this one is not JSON, is a part or a redirect, or can be read in two ways.',
  ),
  'authorize.batch-too-large': page(
    400,
    'Name fewer objects in one request.',
    'At most 1,000 objects of one body are judged by `owner`, and 50 looked up.',
  ),
  'authorize.body-unreadable': page(
    400,
    'Send JSON in UTF-8 with the media type `application/json`, in which no key stands twice.',
    'A rule with `owner` in `authorize.rules` looks into the request body.',
  ),
  'authorize.caller-unknown': page(
    401,
    'Send a credential; `WWW-Authenticate` names what is accepted.',
    'Decided by `authorize`.',
  ),
  'authorize.failed': page(
    503,
    'Try again later.',
    'A rule in `observe` could not be asked; it is noted only, and refuses nobody.',
  ),
  'authorize.policy': page(
    403,
    'Ask for access to this operation.',
    'Decided by the policies of `authorize.cedar`: the log names those that forbid, and those that could not be evaluated. Where it names none, no policy permits.',
  ),
  'authorize.rule': page(
    403,
    'Nothing you can do with this credential, from here, now.',
    'Decided by `authorize.rules`: the log names the rule and the attribute that failed.',
  ),
  'authorize.error-hidden': page(
    400,
    'The service refused the request or failed at it; the status says which.',
    'An error shows no owner. `authorize.rules[].errors: pass` lets its body through.',
  ),
  'authorize.lookup-failed': page(
    502,
    'Try again later.',
    'The `lookup` of a rule in `authorize.rules` was not answered with JSON; the log has the status.',
  ),
  'authorize.not-found': page(
    404,
    'Ask for an object that is yours.',
    'Decided by `owner` in `authorize.rules`: the object is of somebody else, or not there; the log tells which.',
  ),
  'authorize.not-owner': page(
    403,
    'Ask for an object that is yours.',
    'Decided by `owner` in `authorize.rules` with `deny: 403`.',
  ),
  'authorize.permission-missing': page(
    403,
    'Ask for a role that permits this.',
    'Decided by `authorize.roles` and `authorize.permissions`.',
  ),
  'concurrency.caller': page(429, 'Let some of your requests end before you send more.', 'Decided by `concurrency`.'),
  'concurrency.operation': page(503, 'Try again later.', 'Decided by `concurrency`.'),
  'concurrency.overload': page(
    503,
    'Try again later.',
    'The event loop was late by more than `concurrency.overload.delay`: add workers or machines.',
  ),
  'concurrency.total': page(503, 'Try again later.', 'Decided by `concurrency`.'),
  'cors.method': page(
    403,
    'Browsers may not use this method here from another origin.',
    'Decided by `cors.methods` and the document.',
  ),
  'cors.origin': page(
    403,
    'Browsers may not use this API from your origin.',
    'Decided by `cors.origins`; closed by default.',
  ),
  'errors.upstream': page(
    [400, 500],
    'The service behind this API refused or failed; its own words are not passed on.',
    'Decided by `errors`; list problem documents in the OpenAPI document to let them pass.',
  ),
  'gate.body-incomplete': page(400, 'Send the whole body.', protocol),
  'gate.body-too-large': page(413, 'Send less.', 'Decided by `validate.maxBody` and `waf.maxBody`.'),
  'gate.content-coding': page(415, 'Use gzip, deflate, br, zstd or none.', protocol),
  'gate.content-coding-broken': page(400, 'The body is not of the coding that Content-Encoding claims.', protocol),
  'gate.guard-failed': page(
    503,
    'Try again later.',
    "A guard could not decide, and what is not allowed is refused; the log's evidence names its error.",
  ),
  'gate.internal': page(500, 'Try again later.', 'An error of the gate itself. Please report it with the log line.'),
  'gate.unroutable': page(404, 'Check host and path.', 'Decided by `apis`: `host`, `basePath`, `versions`.'),
  'gate.upgrade-method': page(400, 'Upgrade to WebSocket by GET.', document),
  'gate.upgrade-refused': page(403, 'This operation does not take connections of this kind.', document),
  'ip.denied': page(403, 'This API is not open to your address.', 'Decided by `ip.allow` and `ip.deny`.'),
  'limits.exceeded': page(
    429,
    'Wait as long as `Retry-After` says; `RateLimit` tells what is left.',
    'Decided by `limits`; the log names which one.',
  ),
  'limits.locked-out': page(
    429,
    'Wait as long as `Retry-After` says.',
    'Decided by `then: lockout` of a limit; the log names which one, and the event `limits.lockout` tells when it began.',
  ),
  'limits.queue-full': page(
    429,
    'Send more slowly: so many of your requests wait for their turn already.',
    'Decided by `pace` or `over: throttle` of a limit, with its `queue` and `wait`, and by `limits.waiting`.',
  ),
  'limits.quota-exceeded': page(
    429,
    'Wait for the next period, which `Retry-After` and `RateLimit` tell, or ask for a larger plan.',
    'Decided by `quota` of a limit; the log names which one.',
  ),
  'limits.unavailable': page(
    503,
    'Try again later.',
    'Counters or store are down, and the limit says `onFailure: closed`, as quotas do by default.',
  ),
  'payload.decryption-failed': page(
    400,
    'Encrypt to the key that the gate publishes, by its `kid`, with ECDH-ES (or +A128KW, +A256KW) and A256GCM, uncompressed.',
    'The key is another one or was destroyed, or the body was changed; the evidence in the log says which. Decided by `payload.jwe`.',
  ),
  'payload.encryption-required': page(
    415,
    'Send the body as a JWE, content type application/jose, encrypted to the key that the gate publishes.',
    'Decided by `payload.jwe.request`.',
  ),
  'payload.no-client-key': page(
    403,
    'Let the operator know your public key: answers are encrypted to it.',
    'Decided by `payload.jwe.response`; the keys of callers stand in `payload.clients`.',
  ),
  'payload.response-not-encrypted': page(
    502,
    'Nothing you can do; the request may have been carried out.',
    'The upstream sent an answer that never ends or has no JSON where `fields` are to be encrypted. Decided by `payload.jwe`.',
  ),
  'payload.signature-invalid': page(
    400,
    'Sign what `Accept-Signature` of the operation names, with a new `nonce` and the time of now in `created`.',
    'The evidence in the log says why it does not hold. Decided by `payload.signatures`; the keys of callers stand in `payload.clients`.',
  ),
  'payload.signature-missing': page(
    400,
    'Sign the request (RFC 9421) as `Accept-Signature` says.',
    'Decided by `payload.signatures.request`.',
  ),
  'payload.unavailable': page(
    503,
    'Try again later.',
    'The counters cannot be reached, so that replays could not be told.',
  ),
  'protocol.chunk-extensions': page(413, 'Leave chunk extensions out.', protocol),
  'protocol.connections': page(0, 'Closed without an answer: too many connections.', connection),
  'protocol.connections-per-address': page(
    0,
    'Closed without an answer: too many connections of one address.',
    connection,
  ),
  'protocol.content-length': page(400, 'Content-Length must be digits only (RFC 9110, 8.6).', protocol),
  'protocol.dot-segment': page(400, 'Resolve `.` and `..` before you send the path.', protocol),
  'protocol.duplicate-header': page(400, 'Send this header once.', protocol),
  'protocol.empty-segment': page(400, 'Leave out empty path segments (`//`).', protocol),
  'protocol.encoded-slash': page(400, 'Slashes and backslashes may not be percent-encoded in the path.', protocol),
  'protocol.expectation': page(417, 'Leave out Expect, or send `100-continue`.', protocol),
  'protocol.forwarded': page(400, 'The proxies on the way contradict each other.', 'Decided by `trustedProxies`.'),
  'protocol.framing': page(400, 'Send Content-Length or Transfer-Encoding, not both (RFC 9112, 6.1).', protocol),
  'protocol.h2-flood': page(0, 'Closed: too many resets, settings or pings.', connection),
  'protocol.head-timeout': page(408, 'Send the head of a request in one go.', 'Decided by `connection.headTimeout`.'),
  'protocol.header-bytes': page(431, 'Send smaller headers.', 'Decided by `connection.headerBytes`.'),
  'protocol.header-count': page(431, 'Send fewer headers.', 'Decided by `connection.headerCount`.'),
  'protocol.host': page(400, 'Send exactly one valid Host header.', protocol),
  'protocol.host-mismatch': page(400, 'The target and Host must name the same host (RFC 9112, 3.2.2).', protocol),
  'protocol.incomplete': page(400, 'Send the whole request before you close.', protocol),
  'protocol.http-0.9': page(
    0,
    'Closed without an answer: use HTTP/1.1 or HTTP/2.',
    'A request line without a version: whoever means HTTP/0.9 could not read a refusal.',
  ),
  'protocol.malformed': page(400, 'Send well-formed HTTP/1.1 or HTTP/2.', protocol),
  'protocol.method': page(501, 'Use another method.', protocol),
  'protocol.pipelining': page(429, 'Wait for answers before you send more on one connection.', connection),
  'protocol.request-timeout': page(408, 'Send the request faster.', 'Decided by `connection.requestTimeout`.'),
  'protocol.scheme': page(400, 'Use the scheme of the connection.', protocol),
  'protocol.slow-body': page(408, 'Send the body faster.', 'Decided by `connection.bodyRate`.'),
  'protocol.slow-reader': page(0, 'Closed: the answer was read too slowly.', connection),
  'protocol.target': page(400, 'The target of a request is a path that begins with `/`.', protocol),
  'protocol.target-character': page(400, 'Percent-encode this character (RFC 3986, 2.1).', protocol),
  'protocol.target-encoding': page(400, 'Percent-encode the path as UTF-8.', protocol),
  'protocol.target-too-long': page(414, 'Use a shorter URL.', connection),
  'protocol.tls-handshake': page(0, 'Closed: no TLS connection came about.', "Decided by the listener's `tls`."),
  'protocol.tls-required': page(
    403,
    'Use https. If a credential was in the request, replace it: it could be read on the way.',
    'Decided by `listen`.',
  ),
  'protocol.transfer-coding': page(501, 'The only transfer coding is `chunked`.', protocol),
  'protocol.upgrade': page(400, 'This upgrade is not supported.', protocol),
  'protocol.upgrade-body': page(400, 'Send no body with an upgrade.', protocol),
  'protocol.version': page(505, 'Use HTTP/1.1 or HTTP/2.', protocol),
  'query.credential': page(
    400,
    'Send credentials in a header. Take this one for exposed and replace it.',
    'Decided by `queryCredentials`.',
  ),
  'security.credential-missing': page(401, 'Send a credential; `WWW-Authenticate` names what is accepted.', document),
  'security.credential-unfit': page(
    401,
    'This operation asks for another kind of credential.',
    "Decided by the document's `security` and by `auth`.",
  ),
  'security.insufficient_scope': page(
    403,
    'Ask for a credential with the scopes that `WWW-Authenticate` names.',
    document,
  ),
  'unlisted.method': page(405, 'Use one of the methods in `Allow`.', document),
  'unlisted.path': page(404, 'Check the path.', document),
  'upstream.breaker-open': page(
    503,
    'Wait as long as `Retry-After` says.',
    'Decided by `upstream.breaker`. The upstream failed too often of late.',
  ),
  'upstream.busy': page(503, 'Try again later.', 'Decided by `upstream.connections` and `upstream.queue`.'),
  'upstream.content-coding': page(502, 'Nothing you can do.', 'The answer claims a content coding that it is not of.'),
  'upstream.malformed': page(502, 'Nothing you can do.', upstream),
  'upstream.not-upgraded': page(502, 'Nothing you can do.', upstream),
  'upstream.reset': page(502, 'Try again later, if the request may be repeated.', upstream),
  'upstream.response-too-large': page(502, 'Ask for less.', 'Answers that must be checked are held up to 10 MB.'),
  'upstream.timeout': page(504, 'Try again later, if the request may be repeated.', 'Decided by `upstream.timeouts`.'),
  'upstream.tls': page(
    502,
    'Nothing you can do.',
    "Decided by `upstream.tls`: the upstream's certificate is not vouched for. There is no way to skip this.",
  ),
  'upstream.unhealthy': page(503, 'Try again later.', 'Decided by `upstream.health`.'),
  'upstream.unreachable': page(502, 'Try again later.', upstream),
  'protect.media-type': page(
    415,
    'Send the body as JSON. Streams, forms, XML and JSON Patch cannot carry fields that are encrypted.',
    'Decided by `protect` and by `x-portcullis.protect` in schemas: this operation may hold a field with `atRest`.',
  ),
  'protect.parameter': page(
    400,
    'Mend what `errors` lists.',
    'Decided by `protect`: parameters that look for a field.',
  ),
  'protect.path': page(
    400,
    'Use the path as the document writes it.',
    'A path parameter looks for an encrypted field, and the path could not be written anew for the upstream.',
  ),
  'protect.streamed-answer': page(
    502,
    'Nothing you can do.',
    'The upstream streams lines of JSON where `protect` hides fields: they are not looked into. Let it answer with one JSON document.',
  ),
  'protect.unreadable-answer': page(
    502,
    'Nothing you can do.',
    "The upstream's answer claims to be JSON and cannot be read in one way only, so `protect` cannot find its fields.",
  ),
  'protect.unreadable-body': page(
    400,
    'Send JSON in UTF-8 in which no key stands twice.',
    'Only JSON that can be read in one way is searched for the fields of `protect`.',
  ),
  'protect.value': page(
    400,
    'Mend what `errors` lists: send the value itself, not what you were shown in its place.',
    'Decided by `protect`. An encrypted value that comes from a caller would be opened for somebody later, so none is taken; nor is a mask.',
  ),
  'validate.body': page(400, 'Mend what `errors` lists: pointers lead into the body (RFC 6901).', document),
  'validate.body-missing': page(400, 'Send a body.', document),
  'validate.body-unexpected': page(400, 'Send no body.', document),
  'validate.charset': page(415, 'Send the body in UTF-8.', document),
  'validate.malformed': page(400, 'The body is not of its Content-Type.', document),
  'validate.media-type': page(415, 'Use one of the media types in `Accept`.', document),
  'validate.overshared': page(
    502,
    'Nothing you can do.',
    'The upstream sent what the document does not list. Decided by `validate.overshared`.',
  ),
  'validate.parameter': page(400, 'Mend what `errors` lists.', document),
  'validate.response-body': page(
    502,
    'Nothing you can do.',
    "The upstream's answer does not fit its schema. Decided by `validate.response`.",
  ),
  'validate.response-media-type': page(
    502,
    'Nothing you can do.',
    'The document does not list this media type for the answer. Decided by `validate.response`.',
  ),
  'validate.response-status': page(
    502,
    'Nothing you can do.',
    'The document does not list this status. Decided by `validate.response`.',
  ),
  'waf.blocked': page(
    [302, 400, 403],
    'If this was no attack, tell the operator the `instance` of this answer.',
    '`portcullis explain <id>` shows the rules that fitted, and the exclusion to paste where they were wrong. Decided by `waf`. The status is 403 unless the rule names another.',
  ),
  'waf.response-blocked': page(
    502,
    'Nothing you can do.',
    "The upstream's answer fitted rules for leaks: `portcullis explain <id>`. Decided by `waf.response`.",
  ),
  'waf.too-costly': page(
    403,
    'Send less, or simpler, at a time.',
    'Looking at this request would have taken too much time. Decided by `waf.onBudget`.',
  ),
}

function page(status: number | readonly number[], caller: string, operator: string): DenialPage {
  return { status: [status].flat(), caller, operator }
}
