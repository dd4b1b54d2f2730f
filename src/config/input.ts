// Written by `node scripts/write-reference.ts`; edit the code it is made from.

/** A configuration as it is written: the keys of portcullis.yaml. */
export interface ConfigInput {
  /** The JSON Schema that editors check this file with. */
  readonly $schema?: string | undefined
  /** Configurations this one is laid upon: files, or `portcullis/profiles/<name>`. Maps are merged, everything else is replaced; the later one wins. */
  readonly extends?: string | (readonly string[]) | undefined
  /** Version of this format. */
  readonly version?: 1 | undefined
  /** Where the gate takes requests. Default: https on 127.0.0.1:8443 with a development certificate. */
  readonly listen?: readonly ({
    /** TCP port; 0 takes a free one. */
    readonly port: number
    /** Address to listen on; `::` is every IPv6 and IPv4 address. */
    readonly host?: string | undefined
    /** `off` on loopback or with `behindTlsTerminator`; `development` makes a certificate of its own. */
    readonly tls?: 'off' | 'development' | ({
      /** Certificate chain, PEM file. */
      readonly certificate?: string | undefined
      /** Private key, PEM file; or `${KEY_FILE}`. */
      readonly key?: string | undefined
      /** Several certificates, chosen by the name the client asks for (SNI). */
      readonly certificates?: readonly ({
        /** Certificate chain, PEM file. */
        readonly certificate: string
        /** Private key, PEM file. */
        readonly key: string
        /** Default: the certificate's own names. */
        readonly names?: readonly string[] | undefined
      })[] | undefined
      /** Asks an authority for the certificate, and renews it (RFC 8555). */
      readonly acme?: {
        /** Where the authority writes to when something is wrong. */
        readonly email?: string | undefined
        /** Names the certificate is asked for. */
        readonly domains: readonly string[]
        /** ACME server (RFC 8555). */
        readonly directory?: string | undefined
        /** Authority of the ACME server itself, for private ones. */
        readonly ca?: string | undefined
        /** How long before its end a certificate is renewed. */
        readonly renewBefore?: string | undefined
      } | undefined
      /** The oldest version of TLS that is spoken. */
      readonly min?: '1.2' | '1.3' | undefined
      /** Authorities whose client certificates are accepted (mTLS). */
      readonly clientCa?: string | (readonly string[]) | undefined
      /** Revocation lists of those authorities. */
      readonly clientCrl?: string | (readonly string[]) | undefined
      /** Whether a client without a certificate may connect; what it may do then is decided for each operation. */
      readonly clientCertificate?: 'request' | 'require' | undefined
    }) | undefined
    /** Another program in front ends TLS, so plain HTTP here is not plain on the network. */
    readonly behindTlsTerminator?: boolean | undefined
    /** Answers every request with 308 to https, and 403 to one that carries a credential. */
    readonly redirect?: 'https' | undefined
    /** Offers HTTP/2 beside HTTP/1.1 (over TLS). */
    readonly http2?: boolean | undefined
    /** Only the APIs, or only the token service. Default: both. */
    readonly serves?: 'apis' | 'tokenService' | undefined
  })[] | undefined
  /** Address ranges whose Forwarded and X-Forwarded-For are believed. */
  readonly trustedProxies?: readonly string[] | undefined
  /** Bounds on what one connection may do. The defaults hold for the internet. */
  readonly connection?: {
    /** Request line and headers of one request; more is answered 431. */
    readonly headerBytes?: string | undefined
    /** Headers of one request; more is answered 431. */
    readonly headerCount?: number | undefined
    /** From the first byte of a request to the end of its headers. */
    readonly headTimeout?: string | undefined
    /** From the first byte of a request to the end of its body. */
    readonly requestTimeout?: string | undefined
    /** Of a connection between requests. */
    readonly idleTimeout?: string | undefined
    /** Bytes of body a second, on average over ten seconds, below which a request is cut with 408. */
    readonly bodyRate?: string | undefined
    /** Open at once; the next one is closed. */
    readonly connections?: number | undefined
    /** Open at once from one address. */
    readonly connectionsPerAddress?: number | undefined
    /** After so many requests a connection is closed, so that clients spread anew. */
    readonly requestsPerConnection?: number | undefined
    /** HTTP/2 streams at once on one connection. */
    readonly streams?: number | undefined
  } | undefined
  /** Folder for what the gate makes itself: certificates, the control socket, the SQLite store. Default: `.portcullis` beside this file. */
  readonly stateDir?: string | undefined
  /** Durable state. */
  readonly store?: {
    /** Where keys, users and certificates are kept: sqlite:FILE, or postgres://… */
    readonly url?: string | undefined
  } | undefined
  /** How the gate keeps its own keys. */
  readonly secrets?: {
    /** The master key: what every key that the gate keeps in its store is sealed with. Default, with the SQLite store: `master.key` in `stateDir`, made with mode 600. */
    readonly sealWith?: string | ({
      /** A file that holds the key and that others may not read (mode 600). */
      readonly file?: string | undefined
    }) | ({
      /** Program and arguments. It reads `wrap` or `unwrap` and a line of base64, and writes one line of base64. */
      readonly command?: readonly string[] | undefined
      /** How long one answer may take. */
      readonly timeout?: string | undefined
    }) | undefined
  } | undefined
  /** Fast state. */
  readonly counters?: {
    /** Where limits count: `memory`, or redis://… for several machines. */
    readonly url?: string | undefined
  } | undefined
  /** Processes that share the listeners. */
  readonly workers?: number | undefined
  /** How long a stop waits for requests in flight. */
  readonly drain?: string | undefined
  /** What is told of the traffic, and where. */
  readonly telemetry?: {
    /** host:port of the Prometheus endpoint /metrics; loopback unless you say otherwise. */
    readonly metrics?: string | undefined
    /** The activity log: one JSON object a line for each exchange. */
    readonly logs?: {
      /** Which exchanges leave an activity line: `all` (or `info`), `denied` (or `warn`), `none` (or `off`). */
      readonly level?: 'all' | 'denied' | 'none' | 'info' | 'warn' | 'off' | undefined
      /** Share of the allowed exchanges that leave a line; refused ones always do. */
      readonly sample?: number | undefined
      /** Default: standard output. */
      readonly file?: string | undefined
      /** Request headers that are logged; no other is. */
      readonly requestHeaders?: readonly string[] | undefined
      /** Response headers that are logged; no other is. */
      readonly responseHeaders?: readonly string[] | undefined
      /** Query parameters whose values are logged; every other value is masked. */
      readonly query?: readonly string[] | undefined
    } | undefined
    /** Level of the messages on standard error. */
    readonly messages?: 'debug' | 'info' | 'warn' | 'error' | undefined
  } | undefined
  /** A token service (OAuth 2.1, OpenID Connect) beside the APIs. Off by default; `true` switches it on. */
  readonly tokenService?: false | true | ({
    /** The name of the service and where it stands, such as https://api.example.com/oauth. Default: the first listener and `/oauth`. */
    readonly issuer?: string | undefined
    /** `fapi2`: only what the FAPI 2.0 Security Profile allows: pushed requests, clients with keys, bound tokens. */
    readonly profile?: 'standard' | 'fapi2' | undefined
    /** How long an access token lasts. */
    readonly accessTtl?: string | undefined
    /** How long a refresh token lasts; each use gives a new one that lasts so long again. */
    readonly refreshTtl?: string | undefined
    /** How long somebody stays signed in at the service. */
    readonly sessionTtl?: string | undefined
    /** A refresh token works once. `false` only for clients whose tokens are bound to a key; public ones are always rotated. */
    readonly rotate?: boolean | undefined
    /** Second factors that everybody must have, one of them. Default: who has one is asked for it. */
    readonly mfa?: readonly ('totp' | 'passkey')[] | undefined
    /** How tokens are signed. The service makes the keys itself and seals them with the vault. */
    readonly signing?: 'ES256' | 'PS256' | 'RS256' | 'EdDSA' | undefined
    /** After how long a new signing key takes over. */
    readonly keyLife?: string | undefined
    /** How long a new key is published before it signs. */
    readonly keyLead?: string | undefined
    /** Whether a DPoP proof must hold a nonce of this service (RFC 9449, 8). */
    readonly dpopNonce?: 'offered' | 'required' | undefined
    /** The APIs tokens are for, by the name they have under `apis`. */
    readonly resources?: { readonly [name: string]: {
      /** What stands in `aud`, and what clients ask for as `resource` (RFC 8707). */
      readonly audience?: string | undefined
      /** The scopes there are. Default: those that its clients have. */
      readonly scopes?: readonly string[] | undefined
      /** How long access tokens for it last, at most. */
      readonly accessTtl?: string | undefined
    } } | undefined
    /** What scopes mean, in words for the consent page. */
    readonly scopes?: { readonly [name: string]: string } | undefined
    /** Applications that may ask for tokens. More: `portcullis client create`. */
    readonly clients?: { readonly [name: string]: {
      /** What people read on the consent page. Default: its id. */
      readonly name?: string | undefined
      /** What it may ask tokens with. `authorization_code` always needs PKCE with S256. */
      readonly grants?: readonly ('client_credentials' | 'authorization_code' | 'refresh_token' | 'device_code' | 'token_exchange')[] | undefined
      /** How it proves who it is: a secret, a signed assertion (RFC 7523), a client certificate (RFC 8705), or not at all. */
      readonly auth?: 'secret' | 'private_key_jwt' | 'mtls' | 'none' | undefined
      /** With `auth: secret`: at least 32 random characters, as `${BATCH_CLIENT_SECRET}`. */
      readonly secret?: string | undefined
      /** With `auth: private_key_jwt`: its public keys. */
      readonly jwks?: {
        readonly keys?: readonly {
          readonly kty: string
        }[] | undefined
      } | undefined
      /** With `auth: mtls`: the one name of the client's certificate that counts (RFC 8705, 2.1.2). */
      readonly certificate?: {
        /** The distinguished name as RFC 4514 writes it: `CN=batch,O=Example`. */
        readonly subject?: string | undefined
        readonly dns?: string | undefined
        readonly uri?: string | undefined
        readonly ip?: string | undefined
        readonly email?: string | undefined
      } | undefined
      /** Where answers may be sent: exact URLs (RFC 9700, 2.1). */
      readonly redirects?: readonly string[] | undefined
      /** Where people may be sent after they signed out. */
      readonly signedOut?: readonly string[] | undefined
      /** An app on a device: its redirects may be `http://127.0.0.1/…` with any port (RFC 8252, 7.3) or a scheme of its own. */
      readonly native?: boolean | undefined
      /** The scopes it may ask for, beside those of OpenID Connect. */
      readonly scopes?: readonly string[] | undefined
      /** The APIs it may get tokens for. Default: all, but for the administration (`portcullis-admin`), which must be named. */
      readonly resources?: readonly string[] | undefined
      /** Its tokens are bound to a key: of DPoP (RFC 9449), or of its certificate (RFC 8705). */
      readonly bound?: 'dpop' | 'mtls' | undefined
      /** Roles of the client itself, for tokens without a person. */
      readonly roles?: readonly string[] | undefined
      /** Its plan, for limits. */
      readonly plan?: string | undefined
      /** Where and for what its tokens work, besides what their scopes allow. The gate answers 403 elsewhere. */
      readonly bounds?: {
        /** Address ranges its tokens work from. */
        readonly cidrs?: readonly string[] | undefined
        /** Web origins whose pages may use them. */
        readonly origins?: readonly string[] | undefined
        /** Selectors of operations: `op:listOrders`, `tag:orders`, `GET /orders/*`. */
        readonly operations?: readonly string[] | undefined
      } | undefined
      /** One of your own: people are not asked whether they agree. */
      readonly trusted?: boolean | undefined
      /** How long its access tokens last, at most. Default: `tokenService.accessTtl`. */
      readonly accessTtl?: string | undefined
    } } | undefined
    /** Who may exchange one token for another (RFC 8693). Nobody, unless it stands here. */
    readonly exchange?: readonly ({
      /** Who may exchange. */
      readonly client: string
      /** Tokens of which clients. Default: of every client of this service. */
      readonly from?: readonly string[] | undefined
      /** For which APIs. */
      readonly to: readonly string[]
      /** Scopes the new token may have. Default: those of the old one. */
      readonly scopes?: readonly string[] | undefined
    })[] | undefined
    /** What one caller may ask of the service. */
    readonly limits?: {
      /** Requests of one client for tokens. */
      readonly client?: string | undefined
      /** Requests from one address, or from one network (/64) of IPv6. */
      readonly address?: string | undefined
      /** Wrong secrets of one client from one address, and ten times as many of one client from everywhere. */
      readonly failures?: string | undefined
    } | undefined
    /** How the pages look. */
    readonly theme?: {
      /** Whose pages these are. */
      readonly name?: string | undefined
      /** An SVG or PNG file. */
      readonly logo?: string | undefined
      /** #rrggbb */
      readonly colour?: string | undefined
    } | undefined
  }) | undefined
  /** Administration over HTTP, for scripts and the console. Off unless this key is there. */
  readonly admin?: {
    /** host:port of the administration over HTTP; loopback unless `anywhere` says otherwise. */
    readonly listen?: string | undefined
    /** Lets `listen` be an address that others can reach. It then needs a certificate of its own in `tls`. */
    readonly anywhere?: boolean | undefined
    /** As under `listen`; default: a development certificate. With `off` only API keys and tokens administer: passwords need TLS. */
    readonly tls?: 'off' | 'development' | ({
      /** Certificate chain, PEM file. */
      readonly certificate?: string | undefined
      /** Private key, PEM file; or `${KEY_FILE}`. */
      readonly key?: string | undefined
      /** Several certificates, chosen by the name the client asks for (SNI). */
      readonly certificates?: readonly ({
        /** Certificate chain, PEM file. */
        readonly certificate: string
        /** Private key, PEM file. */
        readonly key: string
        /** Default: the certificate's own names. */
        readonly names?: readonly string[] | undefined
      })[] | undefined
      /** Asks an authority for the certificate, and renews it (RFC 8555). */
      readonly acme?: {
        /** Where the authority writes to when something is wrong. */
        readonly email?: string | undefined
        /** Names the certificate is asked for. */
        readonly domains?: readonly string[] | undefined
        /** ACME server (RFC 8555). */
        readonly directory?: string | undefined
        /** Authority of the ACME server itself, for private ones. */
        readonly ca?: string | undefined
        /** How long before its end a certificate is renewed. */
        readonly renewBefore?: string | undefined
      } | undefined
      /** The oldest version of TLS that is spoken. */
      readonly min?: '1.2' | '1.3' | undefined
      /** Authorities whose client certificates are accepted (mTLS). */
      readonly clientCa?: string | (readonly string[]) | undefined
      /** Revocation lists of those authorities. */
      readonly clientCrl?: string | (readonly string[]) | undefined
      /** Whether a client without a certificate may connect; what it may do then is decided for each operation. */
      readonly clientCertificate?: 'request' | 'require' | undefined
    }) | undefined
    /** Who may administer, beside users, keys and grants with the roles `portcullis:admin`, `portcullis:operator` and `portcullis:viewer`. */
    readonly auth?: {
      /** The entry of `issuers` whose tokens may administer, or `tokenService`. Default: none. */
      readonly oidc?: string | undefined
      /** What roles in those tokens mean here: `{ sec-team: admin, devs: viewer }`. No token administers by a role that doesn't stand here. */
      readonly roles?: { readonly [name: string]: 'viewer' | 'operator' | 'admin' } | undefined
    } | undefined
    /** How long somebody stays signed in. */
    readonly sessionTtl?: string | undefined
    /** How long somebody stays signed in without a request. */
    readonly sessionIdle?: string | undefined
  } | undefined
  /** Keys and rights that are given for a while. */
  readonly grants?: {
    /** Ends API keys and grants that nobody has used for so long, such as 90d. Default: never. */
    readonly revokeUnusedAfter?: string | undefined
  } | undefined
  /** Who may issue access tokens, by a name of your choice that `auth` lists. */
  readonly issuers?: { readonly [name: string]: {
    /** Who issues the tokens: exactly the `iss` of the tokens (RFC 8414, 2). */
    readonly issuer?: string | undefined
    /** What tokens must be meant for: one of these must stand in `aud` (RFC 8725, 3.9). */
    readonly audience?: string | (readonly string[]) | undefined
    /** The claim that holds the audience, for issuers that use another one, such as `client_id`. */
    readonly audienceClaim?: string | undefined
    /** Signature algorithms that are accepted; nothing else is, whatever a token says of itself. Default: RS256, PS256, ES256 and EdDSA; with `secret` HS256. */
    readonly algorithms?: readonly ('RS256' | 'RS384' | 'RS512' | 'PS256' | 'PS384' | 'PS512' | 'ES256' | 'ES384' | 'ES512' | 'EdDSA' | 'Ed25519' | 'HS256' | 'HS384' | 'HS512')[] | undefined
    /** The issuer's public keys: an https URL, a file, or the JWK set itself. Default: found through the issuer's metadata (RFC 8414, OpenID Connect Discovery). */
    readonly jwks?: string | ({
      readonly keys?: readonly unknown[] | undefined
    }) | undefined
    /** Shared secret of an issuer that signs with HS256, HS384 or HS512, of at least 32 characters. Whoever has it can issue tokens: prefer public keys. */
    readonly secret?: string | undefined
    /** Accepts opaque tokens by asking the issuer about them. */
    readonly introspection?: {
      /** Where opaque tokens are asked about (RFC 7662). Default: found through the metadata. */
      readonly endpoint?: string | undefined
      /** How the gate names itself to the issuer. */
      readonly clientId?: string | undefined
      /** The secret of that client: `${INTROSPECTION_SECRET}`. */
      readonly clientSecret?: string | undefined
      /** How the client shows its secret (RFC 6749, 2.3.1). */
      readonly clientAuth?: 'basic' | 'post' | undefined
      /** How long an answer is believed: at most so long a revoked token still works. A token's own expiry ends it sooner. */
      readonly cacheTtl?: string | undefined
    } | undefined
    /** How far clocks may differ when `exp` and `nbf` are read. */
    readonly clockTolerance?: string | undefined
    /** The claim with the caller's roles, a list or a text; dots lead into objects: `realm_access.roles`. */
    readonly rolesClaim?: string | undefined
    /** The claim with the scopes, a list or a text separated by spaces. Default: `scope`, else `scp`. */
    readonly scopesClaim?: string | undefined
    /** The claim that names the caller; unique within the issuer. */
    readonly subjectClaim?: string | undefined
    /** Values of the `typ` header that are accepted, such as `at+jwt` (RFC 9068). Default: `at+jwt`, `jwt`, or none at all. */
    readonly typ?: readonly string[] | undefined
    /** Tokens bound to a key of the caller (DPoP, RFC 9449): `required` refuses all others, `off` refuses these. A bound token never passes without its proof. The long form says more. */
    readonly dpop?: ('off' | 'allowed' | 'required') | ({
      /** Whether tokens bound to a key are accepted, or nothing else is. */
      readonly use?: 'off' | 'allowed' | 'required' | undefined
      /** Asks for a nonce of this gate in every proof (RFC 9449, 9), so that none can be made in advance. It changes every five minutes and is the same for all gates that share a store. */
      readonly nonce?: boolean | undefined
      /** How old a proof may be. */
      readonly maxAge?: string | undefined
      /** Proofs of one network that one process checks: checking a signature costs it time. */
      readonly proofs?: string | undefined
    }) | undefined
    /** Tokens bound to the caller's TLS certificate (RFC 8705, 3): `required` refuses all others. A bound token never passes over another connection. */
    readonly certificateBound?: 'allowed' | 'required' | undefined
    /** After how long the keys are fetched again in the background. */
    readonly refresh?: string | undefined
    /** Shortest time between two fetches because of unknown key ids. */
    readonly cooldown?: string | undefined
    /** For one question to the issuer. */
    readonly timeout?: string | undefined
    /** PEM file or text of the authorities that vouch for the issuer, in place of the system's. */
    readonly ca?: string | undefined
  } } | undefined
  /** Named address ranges for rules: `office: [203.0.113.0/24]` makes `ip in office` mean something. */
  readonly places?: { readonly [name: string]: readonly string[] } | undefined
  /** Where the rules of the web application firewall come from. */
  readonly waf?: {
    /** The OWASP Core Rule Set in place of our own rules: `installed` by `portcullis waf install`, or an unpacked release. */
    readonly crs?: 'installed' | ({
      /** An unpacked OWASP CRS: the folder with crs-setup.conf and rules/. */
      readonly path?: string | undefined
    }) | undefined
    /** SecLang files of your own, for all APIs. */
    readonly include?: {
      /** Before the rules of the set: where settings and exclusions of your own belong. */
      readonly before?: readonly string[] | undefined
      /** After them: where rules of your own belong. */
      readonly after?: readonly string[] | undefined
    } | undefined
  } | undefined
  /** The APIs behind this gate, by name. */
  readonly apis?: { readonly [name: string]: {
    /** The OpenAPI document: a file, 2.0 to 3.2, YAML or JSON. */
    readonly openapi?: string | undefined
    /** OpenAPI Overlay 1.1 files, applied in order. */
    readonly overlays?: readonly string[] | undefined
    /** Where the requests go: a URL such as http://localhost:3000, several of them, or the long form. */
    readonly upstream?: string | (readonly string[]) | ({
      /** The servers that answer for the API. */
      readonly targets?: readonly ({
        /** Origin of one target, such as https://10.0.0.7:8443; a path is put before every request's. */
        readonly url: string
        /** Share of the requests, relative to the other targets. */
        readonly weight?: number | undefined
      })[] | undefined
      /** What is spoken to the upstream. */
      readonly protocol?: 'http/1.1' | 'h2' | undefined
      /** How an https upstream is verified. There is no way to switch verification off. */
      readonly tls?: {
        readonly ca?: string | (readonly string[]) | undefined
        /** Client certificate shown to the upstream. */
        readonly certificate?: string | undefined
        /** Private key of the client certificate. */
        readonly key?: string | undefined
        /** Name expected in the upstream's certificate, where it differs from the host. */
        readonly serverName?: string | undefined
      } | undefined
      /** How long is waited for what. Answered 504 when it is over. */
      readonly timeouts?: {
        /** Until the connection stands. */
        readonly connect?: string | undefined
        /** From the whole request sent to the head of the answer. */
        readonly head?: string | undefined
        /** Between two pieces of the answer; server-sent events and upgrades excepted. */
        readonly idle?: string | undefined
        /** From request to the end of the answer; server-sent events and upgrades excepted. */
        readonly total?: string | undefined
      } | undefined
      /** At most, for each target and process. */
      readonly connections?: number | undefined
      /** Requests that may wait for a connection; more are answered 503. */
      readonly queue?: number | undefined
      /** Whether a request that failed before its answer began is tried again, at another target where there is one. */
      readonly retries?: {
        /** Further tries of idempotent requests (RFC 9110, 9.2.2) without a body on the wire. */
        readonly count?: number | undefined
        /** Retries as a share of all requests, so that a failing upstream is not buried. */
        readonly budget?: number | undefined
      } | undefined
      /** How targets that are down are found and left alone. */
      readonly health?: {
        /** Asked of every target. Without it only real traffic tells. */
        readonly path?: string | undefined
        /** Between two probes. */
        readonly interval?: string | undefined
        /** Of one probe. */
        readonly timeout?: string | undefined
        /** Good probes in a row that bring a target back. */
        readonly healthyAfter?: number | undefined
        /** Bad probes in a row that take a target out. */
        readonly unhealthyAfter?: number | undefined
      } | undefined
      /** Stops asking a target that mostly fails: 503 with Retry-After at once, in place of waiting. */
      readonly breaker?: {
        /** Share of failed requests in the window that opens the breaker. */
        readonly failures?: number | undefined
        /** Requests in the window below which it stays closed. */
        readonly minimum?: number | undefined
        /** Over which failures are counted. */
        readonly window?: string | undefined
        /** How long it stays open before one request may try. */
        readonly open?: string | undefined
        /** An answer whose head takes longer counts as failed. */
        readonly slow?: string | undefined
      } | undefined
    }) | undefined
    /** Several versions of the API at once, by name; each with what a request chooses it by. */
    readonly versions?: { readonly [name: string]: {
      /** Its own document; default: the API's. */
      readonly openapi?: string | undefined
      /** Where the requests go: a URL such as http://localhost:3000, several of them, or the long form. */
      readonly upstream?: string | (readonly string[]) | ({
        /** The servers that answer for the API. */
        readonly targets?: readonly ({
          /** Origin of one target, such as https://10.0.0.7:8443; a path is put before every request's. */
          readonly url: string
          /** Share of the requests, relative to the other targets. */
          readonly weight?: number | undefined
        })[] | undefined
        /** What is spoken to the upstream. */
        readonly protocol?: 'http/1.1' | 'h2' | undefined
        /** How an https upstream is verified. There is no way to switch verification off. */
        readonly tls?: {
          readonly ca?: string | (readonly string[]) | undefined
          /** Client certificate shown to the upstream. */
          readonly certificate?: string | undefined
          /** Private key of the client certificate. */
          readonly key?: string | undefined
          /** Name expected in the upstream's certificate, where it differs from the host. */
          readonly serverName?: string | undefined
        } | undefined
        /** How long is waited for what. Answered 504 when it is over. */
        readonly timeouts?: {
          /** Until the connection stands. */
          readonly connect?: string | undefined
          /** From the whole request sent to the head of the answer. */
          readonly head?: string | undefined
          /** Between two pieces of the answer; server-sent events and upgrades excepted. */
          readonly idle?: string | undefined
          /** From request to the end of the answer; server-sent events and upgrades excepted. */
          readonly total?: string | undefined
        } | undefined
        /** At most, for each target and process. */
        readonly connections?: number | undefined
        /** Requests that may wait for a connection; more are answered 503. */
        readonly queue?: number | undefined
        /** Whether a request that failed before its answer began is tried again, at another target where there is one. */
        readonly retries?: {
          /** Further tries of idempotent requests (RFC 9110, 9.2.2) without a body on the wire. */
          readonly count?: number | undefined
          /** Retries as a share of all requests, so that a failing upstream is not buried. */
          readonly budget?: number | undefined
        } | undefined
        /** How targets that are down are found and left alone. */
        readonly health?: {
          /** Asked of every target. Without it only real traffic tells. */
          readonly path?: string | undefined
          /** Between two probes. */
          readonly interval?: string | undefined
          /** Of one probe. */
          readonly timeout?: string | undefined
          /** Good probes in a row that bring a target back. */
          readonly healthyAfter?: number | undefined
          /** Bad probes in a row that take a target out. */
          readonly unhealthyAfter?: number | undefined
        } | undefined
        /** Stops asking a target that mostly fails: 503 with Retry-After at once, in place of waiting. */
        readonly breaker?: {
          /** Share of failed requests in the window that opens the breaker. */
          readonly failures?: number | undefined
          /** Requests in the window below which it stays closed. */
          readonly minimum?: number | undefined
          /** Over which failures are counted. */
          readonly window?: string | undefined
          /** How long it stays open before one request may try. */
          readonly open?: string | undefined
          /** An answer whose head takes longer counts as failed. */
          readonly slow?: string | undefined
        } | undefined
      }) | undefined
      /** How an https upstream is verified. There is no way to switch verification off. */
      readonly tls?: {
        readonly ca?: string | (readonly string[]) | undefined
        /** Client certificate shown to the upstream. */
        readonly certificate?: string | undefined
        /** Private key of the client certificate. */
        readonly key?: string | undefined
        /** Name expected in the upstream's certificate, where it differs from the host. */
        readonly serverName?: string | undefined
      } | undefined
      /** Path prefix, such as /v2. */
      readonly path?: string | undefined
      /** Host name, such as v2.api.example.com. */
      readonly host?: string | undefined
      /** A request header, such as `{ name: Api-Version, value: "2" }`. */
      readonly header?: {
        /** Name of a request header. */
        readonly name?: string | undefined
        /** Its value, to the letter. */
        readonly value?: string | undefined
      } | undefined
      /** A media type in Accept or Content-Type, such as application/vnd.shop.v2+json. */
      readonly mediaType?: string | undefined
      /** Serves requests that select none. */
      readonly default?: boolean | undefined
    } } | undefined
    /** Names this API answers to; default: every name. */
    readonly host?: readonly string[] | undefined
    /** Where its paths are mounted; default: the path of the document's first server. */
    readonly basePath?: string | undefined
    /** What to do with an operation whose document neither asks for security nor says `security: []`: refuse to start, ask for any credential, or let everyone in. */
    readonly unsecured?: 'refuse' | 'authenticate' | 'public' | undefined
    readonly trace?: {
      /** Whether requests carry a trace context upstream. */
      readonly mode?: 'off' | 'enforce' | undefined
      /** Whose `traceparent` is continued: anybody’s, only that of a peer in `trustedProxies`, or nobody’s. Others get a new trace. */
      readonly accept?: 'always' | 'trustedOnly' | 'never' | undefined
      /** Share of the new traces that are marked as sampled, which upstreams then follow. */
      readonly sample?: number | undefined
    } | undefined
    readonly cors?: {
      /** How the rule stands. `off` leaves CORS to the upstream. */
      readonly mode?: 'off' | 'observe' | 'enforce' | undefined
      /** Origins that may read answers: https://app.example.com, https://*.example.com, or "*" for all. */
      readonly origins?: readonly string[] | undefined
      /** Whether browsers may send cookies and stored credentials. Not together with "*". */
      readonly credentials?: boolean | undefined
      /** Methods allowed across origins; default: all that the document lists for the path. */
      readonly methods?: readonly string[] | undefined
      /** Request headers allowed across origins; default: those the document knows, authorization and content-type. */
      readonly headers?: readonly string[] | undefined
      /** Response headers that scripts may read, beyond the few that they always may. */
      readonly exposeHeaders?: readonly string[] | undefined
      /** How long a browser may remember the answer to a preflight. */
      readonly maxAge?: string | undefined
    } | undefined
    readonly ip?: {
      /** How the rule stands. */
      readonly mode?: 'off' | 'observe' | 'enforce' | undefined
      /** Addresses that may call, and no others: 203.0.113.7, 10.0.0.0/8, 2001:db8::/32, or list:./partners.txt with one range a line. Default: all. */
      readonly allow?: readonly string[] | undefined
      /** Addresses that may not call, in the same form. They win over `allow`. */
      readonly deny?: readonly string[] | undefined
    } | undefined
    readonly queryCredentials?: {
      /** How the rule stands. */
      readonly mode?: 'off' | 'observe' | 'enforce' | undefined
      /** Further parameter names that stand for credentials, in any spelling. */
      readonly names?: readonly string[] | undefined
      /** Parameters that may hold what looks like a credential, such as `request` (RFC 9101). Exact names. */
      readonly allow?: readonly string[] | undefined
    } | undefined
    /** How callers may prove who they are. */
    readonly auth?: (readonly string[]) | ({
      /** Ways to prove who one is, the first that is shown counts as the caller: apiKey, basic, session, mtls, and names of `issuers`. Default: apiKey and every issuer. */
      readonly methods?: readonly string[] | undefined
      /** Which of them prove a security scheme of the document, by the scheme's name. Default: by its type. */
      readonly schemes?: { readonly [name: string]: string | (readonly string[]) } | undefined
      /** Hands verified credentials on to the upstream. Without it the upstream learns who calls from `Portcullis-Subject` and so on. */
      readonly forwardCredentials?: boolean | undefined
      /** How callers reach the gate, such as https://api.example.com, where a proxy in front changes host or path. Default: what the request says. */
      readonly publicUrl?: string | undefined
      /** Wrong tokens that one network may show, over all processes together. Those beyond are answered 429 without a look at them; callers of other networks, and tokens that were good before, are not affected. */
      readonly failures?: string | undefined
      /** HTTP Basic for users who have a second factor (one-time codes, a passkey): their password alone is refused, or it is enough. A factor that is added counts within a minute. */
      readonly secondFactor?: 'refuse' | 'ignore' | undefined
      /** Operations for which callers must have signed in in a certain way or lately, all entries that match. Others are answered 401 `insufficient_user_authentication` with what to ask the issuer for (RFC 9470). */
      readonly stepUp?: readonly ({
        /** Which operations: `op:refund`, `tag:admin`, `POST /payments/**`. */
        readonly match: string
        /** The claim `acr` must be one of these, such as `mfa`. */
        readonly acr?: string | (readonly string[]) | undefined
        /** How long ago the caller may have signed in (`auth_time`), at most. */
        readonly maxAge?: string | undefined
      })[] | undefined
      /** Lets people sign in with a browser: who asks for a page without a session is sent to the issuer and comes back with one. The redirect URI to register is `https://<host>/.well-known/portcullis/sign-in/<api>/callback`. */
      readonly signIn?: {
        /** The entry of `issuers` where people sign in (OpenID Connect). */
        readonly issuer?: string | undefined
        /** How the gate is registered there. */
        readonly clientId?: string | undefined
        /** The secret of that client: `${SIGN_IN_SECRET}`. */
        readonly clientSecret?: string | undefined
        /** How the client shows its secret (RFC 6749, 2.3.1). */
        readonly clientAuth?: 'basic' | 'post' | undefined
        /** What is asked for; `openid` always is. The session holds what was granted. */
        readonly scopes?: readonly string[] | undefined
        /** Operations whose visitors are sent to the issuer; at others they get 401. */
        readonly match?: string | undefined
        /** How long a session lasts, however busy it is. */
        readonly sessionTtl?: string | undefined
        /** How long a session lasts without a request. */
        readonly idle?: string | undefined
        /** Where the browser goes after it has signed out; registered at the issuer with the host before it. */
        readonly afterSignOut?: string | undefined
      } | undefined
      /** How sessions are read. */
      readonly session?: {
        /** Name of the session cookie. Default: the one the document describes, else `__Host-portcullis`. */
        readonly cookie?: string | undefined
        /** A header that may carry the session in place of the cookie, for callers that are no browsers. */
        readonly header?: string | undefined
        /** Web origins besides the API's own, such as https://app.example.com, from which a browser may use the cookie for more than reading. */
        readonly origins?: readonly string[] | undefined
      } | undefined
      /** How client certificates are read. */
      readonly mtls?: {
        /** What names the caller: the certificate's whole subject (`CN=alice,O=Acme`, RFC 4514), its common name, the first alternative name of a kind, or its SHA-256 fingerprint. */
        readonly subject?: 'subject' | 'commonName' | 'uri' | 'dns' | 'email' | 'fingerprint' | undefined
        /** Serial numbers that are refused here, besides those in the revocation lists of the listener. */
        readonly revoked?: readonly string[] | undefined
      } | undefined
    }) | ({ readonly [name: string]: string | (readonly string[]) }) | undefined
    readonly limits?: {
      /** How all limits stand. */
      readonly mode?: 'off' | 'observe' | 'enforce' | undefined
      /** Whether every reply tells what is left, as RateLimit and RateLimit-Policy (IETF draft). */
      readonly headers?: boolean | undefined
      /** Limits by plan, by name of the plan. Where a `rate` of a plan is enforced, it takes the place of `default` for its callers. */
      readonly plans?: { readonly [name: string]: {
        /** How many requests in which time, in the long run. */
        readonly rate?: string | undefined
        /** How many may come at once after a pause; afterwards only `rate` counts. Default: as many as `rate` has. */
        readonly burst?: number | undefined
        /** How many requests in each hour, day, week or month of the calendar. Kept in the store: a restart changes nothing. */
        readonly quota?: string | undefined
        /** Whose clocks tell when the hour, day, week (from Monday) or month of a `quota` begins. */
        readonly timeZone?: string | undefined
        /** How fast requests go on to the upstream: those that come sooner wait for their turn in place of being refused. */
        readonly pace?: string | undefined
        /** What becomes of requests beyond `rate` and `quota`: they go on at this pace, as with `pace`. Default: they are refused. */
        readonly over?: string | undefined
        /** How many requests of one budget may wait for their turn at once; one more is answered 429. */
        readonly queue?: number | undefined
        /** How long a request may wait for its turn; one that would wait longer is answered 429 at once. */
        readonly wait?: string | undefined
        /** Refuses everything of the same budget for so long once it went beyond `rate` or `quota`, and tells that as the event `limits.lockout`. */
        readonly then?: string | undefined
        /** As how many requests one counts: say more for what is dear, by `x-portcullis` at the operation. 0: free. */
        readonly cost?: number | undefined
        /** What has a budget of its own: principal, application, ip, operation, everyone, claim.NAME, header.NAME, query.NAME, path.NAME, body.NAME, several of them joined by "+", or any expression of the rules language. Default: principal; IPv6 counts by /64. A budget by header, query or body alone is only as good as the caller is honest. */
        readonly key?: string | undefined
        /** Whom it counts: those with a believed credential, those without, or all (default). */
        readonly callers?: 'all' | 'known' | 'anonymous' | undefined
        /** Which operations it counts: op:login, tag:orders, GET /orders/*, or a list; and with plan:free whose, too. Default: all, and what the document does not list. */
        readonly match?: string | (readonly string[]) | undefined
        /** How this limit stands. */
        readonly mode?: 'off' | 'observe' | 'enforce' | undefined
        /** While counters or store cannot be reached: count in this process alone (default for `rate` and `pace`), let everything pass, or refuse with 503 (default for `quota`, once what was set aside for it here is used up). */
        readonly onFailure?: 'local' | 'open' | 'closed' | undefined
      } } | undefined
      /** How a caller's plan is found. */
      readonly plan?: {
        /** Where a caller's plan stands: a claim of the token, or `plan` of an API key (`key create --plan`). */
        readonly claim?: string | undefined
        /** The plan of known callers who have none, or one that is not known here. Default: none. */
        readonly default?: string | undefined
        /** Plans by caller, before any claim: the entry of `auth` that vouched for them, and their application's or their own name, as in `main:partner-app: gold`. */
        readonly callers?: { readonly [name: string]: string } | undefined
      } | undefined
      /** How many requests may wait for their turn at once in each process, of all callers. */
      readonly waiting?: number | undefined
      /** Requests of one caller. Implied: 100/min. */
      readonly default?: {
        /** How many requests in which time, in the long run. */
        readonly rate?: string | undefined
        /** How many may come at once after a pause; afterwards only `rate` counts. Default: as many as `rate` has. */
        readonly burst?: number | undefined
        /** How many requests in each hour, day, week or month of the calendar. Kept in the store: a restart changes nothing. */
        readonly quota?: string | undefined
        /** Whose clocks tell when the hour, day, week (from Monday) or month of a `quota` begins. */
        readonly timeZone?: string | undefined
        /** How fast requests go on to the upstream: those that come sooner wait for their turn in place of being refused. */
        readonly pace?: string | undefined
        /** What becomes of requests beyond `rate` and `quota`: they go on at this pace, as with `pace`. Default: they are refused. */
        readonly over?: string | undefined
        /** How many requests of one budget may wait for their turn at once; one more is answered 429. */
        readonly queue?: number | undefined
        /** How long a request may wait for its turn; one that would wait longer is answered 429 at once. */
        readonly wait?: string | undefined
        /** Refuses everything of the same budget for so long once it went beyond `rate` or `quota`, and tells that as the event `limits.lockout`. */
        readonly then?: string | undefined
        /** As how many requests one counts: say more for what is dear, by `x-portcullis` at the operation. 0: free. */
        readonly cost?: number | undefined
        /** What has a budget of its own: principal, application, ip, operation, everyone, claim.NAME, header.NAME, query.NAME, path.NAME, body.NAME, several of them joined by "+", or any expression of the rules language. Default: principal; IPv6 counts by /64. A budget by header, query or body alone is only as good as the caller is honest. */
        readonly key?: string | undefined
        /** Whom it counts: those with a believed credential, those without, or all (default). */
        readonly callers?: 'all' | 'known' | 'anonymous' | undefined
        /** Which operations it counts: op:login, tag:orders, GET /orders/*, or a list; and with plan:free whose, too. Default: all, and what the document does not list. */
        readonly match?: string | (readonly string[]) | undefined
        /** How this limit stands. */
        readonly mode?: 'off' | 'observe' | 'enforce' | undefined
        /** While counters or store cannot be reached: count in this process alone (default for `rate` and `pace`), let everything pass, or refuse with 503 (default for `quota`, once what was set aside for it here is used up). */
        readonly onFailure?: 'local' | 'open' | 'closed' | undefined
      } | undefined
      /** Requests of one address without a believed credential. Implied: 20/min. */
      readonly anonymous?: {
        /** How many requests in which time, in the long run. */
        readonly rate?: string | undefined
        /** How many may come at once after a pause; afterwards only `rate` counts. Default: as many as `rate` has. */
        readonly burst?: number | undefined
        /** How many requests in each hour, day, week or month of the calendar. Kept in the store: a restart changes nothing. */
        readonly quota?: string | undefined
        /** Whose clocks tell when the hour, day, week (from Monday) or month of a `quota` begins. */
        readonly timeZone?: string | undefined
        /** How fast requests go on to the upstream: those that come sooner wait for their turn in place of being refused. */
        readonly pace?: string | undefined
        /** What becomes of requests beyond `rate` and `quota`: they go on at this pace, as with `pace`. Default: they are refused. */
        readonly over?: string | undefined
        /** How many requests of one budget may wait for their turn at once; one more is answered 429. */
        readonly queue?: number | undefined
        /** How long a request may wait for its turn; one that would wait longer is answered 429 at once. */
        readonly wait?: string | undefined
        /** Refuses everything of the same budget for so long once it went beyond `rate` or `quota`, and tells that as the event `limits.lockout`. */
        readonly then?: string | undefined
        /** As how many requests one counts: say more for what is dear, by `x-portcullis` at the operation. 0: free. */
        readonly cost?: number | undefined
        /** What has a budget of its own: principal, application, ip, operation, everyone, claim.NAME, header.NAME, query.NAME, path.NAME, body.NAME, several of them joined by "+", or any expression of the rules language. Default: principal; IPv6 counts by /64. A budget by header, query or body alone is only as good as the caller is honest. */
        readonly key?: string | undefined
        /** Whom it counts: those with a believed credential, those without, or all (default). */
        readonly callers?: 'all' | 'known' | 'anonymous' | undefined
        /** Which operations it counts: op:login, tag:orders, GET /orders/*, or a list; and with plan:free whose, too. Default: all, and what the document does not list. */
        readonly match?: string | (readonly string[]) | undefined
        /** How this limit stands. */
        readonly mode?: 'off' | 'observe' | 'enforce' | undefined
        /** While counters or store cannot be reached: count in this process alone (default for `rate` and `pace`), let everything pass, or refuse with 503 (default for `quota`, once what was set aside for it here is used up). */
        readonly onFailure?: 'local' | 'open' | 'closed' | undefined
      } | undefined
    } | undefined
    readonly concurrency?: {
      /** How the rule stands. */
      readonly mode?: 'off' | 'observe' | 'enforce' | undefined
      /** Requests under way at once, of all callers, in each process. Default: unbounded here. */
      readonly total?: number | undefined
      /** Requests under way at once of one caller: a principal, or an address without one. Default: 128, or the `share` of `total`. */
      readonly perCaller?: number | undefined
      /** Requests under way at once for one operation, of all callers. */
      readonly perOperation?: number | undefined
      /** The part of `total` that one caller may take, so that places are left for others. */
      readonly share?: number | undefined
      readonly overload?: {
        /** How shedding stands. */
        readonly mode?: 'off' | 'observe' | 'enforce' | undefined
        /** How late the event loop may run, on average, before requests are turned away, more of them as long as it lasts. */
        readonly delay?: string | undefined
      } | undefined
    } | undefined
    readonly security?: Record<string, never> | undefined
    readonly authorize?: {
      readonly mode?: 'off' | 'observe' | 'enforce' | undefined
      /** Lists of callers for operations. Every entry that matches an operation must let the caller through. */
      readonly acl?: readonly ({
        /** Which operations: `GET *`, `/orders/**`, `tag:admin`, `op:refund`, `*`. */
        readonly match: string
        /** Who may; nobody else. A bare word is a subject; `role:admin`, `app:partner`, `scope:orders:read`, `via:main` look at the rest; `*` is every known caller. */
        readonly allow?: readonly string[] | undefined
        /** Who may not, even if allowed. A bare word is a subject; `role:admin`, `app:partner`, `scope:orders:read`, `via:main` look at the rest; `*` is every known caller. */
        readonly deny?: readonly string[] | undefined
      })[] | undefined
      /** What each role permits; `*` permits everything. With it, every operation that is not public needs a permission: `read` for GET, HEAD and OPTIONS, `write` for the rest, unless `permissions` says otherwise. */
      readonly roles?: { readonly [name: string]: readonly string[] } | undefined
      /** Which permissions operations need, in place of `read` and `write`. All entries that match count. */
      readonly permissions?: readonly ({
        /** Which operations: `GET *`, `/orders/**`, `tag:admin`, `op:refund`, `*`. */
        readonly match: string
        /** The permission, or all of several. */
        readonly needs: string | (readonly string[])
      })[] | undefined
      /** Conditions on who, what, where, on what device and when. All rules that match an operation count. */
      readonly rules?: readonly ({
        /** What the log calls it, beside its number. */
        readonly name?: string | undefined
        /** Which operations: `GET *`, `/orders/**`, `tag:admin`, `op:refund`, `*`. */
        readonly match: string
        /** The condition: `claims.acr in ['mfa'] && ip in office && hour in 8..17`. See the guide on rights for what it can ask. */
        readonly when?: string | undefined
        /** Who is excused: `role:admin`, a list of such words, or a condition. A bare word is a subject; `role:admin`, `app:partner`, `scope:orders:read`, `via:main` look at the rest; `*` is every known caller. */
        readonly unless?: string | (readonly string[]) | undefined
        /** `require`: must hold. `deny`: refuses where the condition holds, or cannot be told. `allow`: of all such rules for an operation one must hold. */
        readonly effect?: 'require' | 'deny' | 'allow' | undefined
        /** How this rule stands. */
        readonly mode?: 'off' | 'observe' | 'enforce' | undefined
        /** How, and how lately, a caller must have signed in. Who has not is answered 401 `insufficient_user_authentication` with what to ask the issuer for (RFC 9470). */
        readonly stepUp?: {
          /** Values of the claim `acr` of which one will do. */
          readonly acr?: string | (readonly string[]) | undefined
          /** How long ago the caller may have signed in (`auth_time`), at most. */
          readonly maxAge?: string | undefined
        } | undefined
        /** Whose the object is: `$response.body#/userId == $claims.sub`. Runtime expressions of OpenAPI, `$claims.NAME`, `$subject`, `$application`, `$via`, texts and numbers, compared with `==`, `in` (a list) or `==?` (equal, or not there), joined by `&&` and `||`. What is missing, null or empty is never equal. */
        readonly owner?: string | undefined
        /** The operation that reads the object: asked before a write, and before what answers without telling the owner. Default for writes: GET at the same path. `none`: judged by its own answer. */
        readonly lookup?: string | ({
          /** The `operationId` of the operation that reads the object. */
          readonly operation: string
          /** Where its path parameters come from, where the path of the request has none of that name: `{ id: "$request.body#/orderId" }`. */
          readonly with?: { readonly [name: string]: string } | undefined
          /** The caller's headers that the look-up carries, too, beside those that both operations document: `[cookie]`. */
          readonly headers?: readonly string[] | undefined
          /** How long the look-up may take; then the request is answered 504. */
          readonly timeout?: string | undefined
          /** Puts the strong ETag that the look-up gave into `If-Match` of the write, so that an upstream that keeps to RFC 9110, 13.1.1, refuses it where the object has changed meanwhile. */
          readonly ifMatch?: boolean | undefined
        }) | undefined
        /** Where a list of objects stands in an answer or a request: `$response.body#/items`. `$response.body` in `owner` is then each of them. Default: a body that is a list, or what the document says. */
        readonly each?: string | (readonly string[]) | undefined
        /** What becomes of a list that holds objects of others: they are taken out, or it is not sent at all. */
        readonly list?: 'filter' | 'refuse' | undefined
        /** Places in an answer with a list that get the number of objects that are left: `$response.body#/count`. */
        readonly recount?: readonly string[] | undefined
        /** Places in an answer with a list that are left out: `$response.header.X-Total-Count`. */
        readonly drop?: readonly string[] | undefined
        /** The status for an object of somebody else. With 404 it is the same answer as for one that is not there. */
        readonly deny?: 404 | 403 | undefined
        /** Answers other than 2xx to requests that are judged by their answer: only their status reaches the caller, or all of them. Redirects never pass. */
        readonly errors?: 'hide' | 'pass' | undefined
      })[] | undefined
      /** Policies in the language Cedar: one `permit` must apply and no `forbid` may. */
      readonly cedar?: {
        /** How the policies stand. */
        readonly mode?: 'off' | 'observe' | 'enforce' | undefined
        /** A file of Cedar policies, or a folder of them (`*.cedar`). */
        readonly policies?: string | undefined
        /** The Cedar schema that policies are checked with when the gate starts. Default: they are parsed only. */
        readonly schema?: string | undefined
        /** A JSON file of entities that policies speak of besides principal and resource. */
        readonly entities?: string | undefined
        /** Put before the types User, Role, Scope, Application, Action, Tag and the types of resources. */
        readonly namespace?: string | undefined
        /** Whether decisions are kept where the policies make that sound. */
        readonly cache?: boolean | undefined
      } | undefined
      /** Whose clock `hour`, `time`, `weekday` and `date` in rules are read from. */
      readonly timeZone?: string | undefined
      /** The header in which a trusted proxy says where the caller is, such as CF-IPCountry; for `country` in rules. */
      readonly countryHeader?: string | undefined
      /** Which decisions leave a note in the activity log: refusals, or also which rules let a request pass. */
      readonly decisions?: 'denied' | 'all' | undefined
    } | undefined
    readonly payload?: {
      /** Whether the rule stands. */
      readonly mode?: 'off' | 'enforce' | undefined
      /** Encrypted bodies. */
      readonly jwe?: {
        /** Which operations: op:pay, tag:payments, POST /payments/*, or a list. Default: all that are listed. */
        readonly match?: string | (readonly string[]) | undefined
        /** Whether bodies come as a JWE (RFC 7516) that only this gate can open: content type application/jose, or the `fields`. */
        readonly request?: 'required' | 'allowed' | 'off' | undefined
        /** Whether answers are encrypted to the caller's own key, one of `clients`. A caller without a key is refused. */
        readonly response?: 'client-jwk' | 'off' | undefined
        /** JSON Pointers (RFC 6901) of fields that are a JWE each, in bodies that are JSON otherwise; requests and answers. Default: the whole body. */
        readonly fields?: readonly string[] | undefined
      } | undefined
      /** Signed requests. */
      readonly signatures?: {
        /** Which operations: op:pay, tag:payments, POST /payments/*, or a list. Default: all that are listed. */
        readonly match?: string | (readonly string[]) | undefined
        /** Whether requests must carry a message signature (RFC 9421) of the caller. */
        readonly request?: 'required' | 'allowed' | 'off' | undefined
        /** What a signature must cover at least. `content-digest` (RFC 9530) and headers only where the request has a body or that header. */
        readonly components?: readonly string[] | undefined
        /** How old a signature may be, by its `created`; within that time each is taken once. */
        readonly maxAge?: string | undefined
      } | undefined
      /** Public keys of callers: the entry of `auth` that vouches for them with their application's or their own name, and a JWK set (RFC 7517), as a file or here. `use: enc` is for answers, `use: sig` for signatures. Clients of the gate's own token service that registered a JWK set need no entry. */
      readonly clients?: { readonly [name: string]: string | ({
        readonly keys?: readonly Record<string, never>[] | undefined
      }) } | undefined
    } | undefined
    readonly unlisted?: {
      /** How the rule stands. `observe` lets through what nobody has described: for finding out what there is. */
      readonly mode?: 'off' | 'observe' | 'enforce' | undefined
    } | undefined
    readonly validate?: {
      /** Requests are compared with the document: parameters, media type, body. */
      readonly request?: 'off' | 'observe' | 'enforce' | undefined
      /** The upstream's answers are compared with the document: status, media type, body. */
      readonly response?: 'off' | 'observe' | 'enforce' | undefined
      /** Request body of an operation whose body is checked; more is answered 413. */
      readonly maxBody?: string | undefined
      /** Response body that is held to be checked; with `response: enforce` a larger one is answered 502. */
      readonly maxResponse?: string | undefined
      /** Properties in request bodies that the document does not list, where it does not speak of others. */
      readonly unknownProperties?: 'refuse' | 'allow' | undefined
      /** Query parameters that the document does not list. */
      readonly unknownQuery?: 'refuse' | 'allow' | undefined
      /** Query parameters that are let through although the document does not list them. */
      readonly ignoredQuery?: readonly string[] | undefined
      /** Properties in responses that the document does not list or marks write-only: noted, taken out, or answered 502. Default: report where responses are observed, block where they are enforced. */
      readonly overshared?: 'report' | 'strip' | 'block' | undefined
    } | undefined
    readonly waf?: {
      /** How requests are treated that rules find harmful. */
      readonly mode?: 'off' | 'observe' | 'enforce' | undefined
      /** How the upstream's answers are. An observed answer is never held: it streams, and is looked at as it passes. Never stricter than `mode`. */
      readonly response?: 'off' | 'observe' | 'enforce' | undefined
      /** Our own rules, the OWASP CRS that `waf.crs` at the top names, or another. Default: `waf.crs` where it is set, else own. */
      readonly rules?: ('own' | 'crs') | ({
        /** An unpacked OWASP CRS: the folder with crs-setup.conf and rules/. */
        readonly path?: string | undefined
      }) | undefined
      /** How much is suspected, at the price of false alarms: 1 hardly any, 4 for those who mend them all. Own rules know 1 to 3. */
      readonly paranoia?: number | undefined
      /** Rules up to this level run and are told of, but only those up to `paranoia` count (OWASP CRS). Default: `paranoia`. */
      readonly detectionParanoia?: number | undefined
      /** Rules add up points; only their sum refuses. */
      readonly thresholds?: {
        /** Points from which a request is refused; a critical rule has 5. Default: 5. */
        readonly inbound?: number | undefined
        /** Points from which an answer is withheld; a rule for leaks has 4. Default: 4. */
        readonly outbound?: number | undefined
      } | undefined
      /** SecLang files of your own, for this API, beside those at the top. */
      readonly include?: {
        /** Before the rules of the set: where settings and exclusions of your own belong. */
        readonly before?: readonly string[] | undefined
        /** After them: where rules of your own belong. */
        readonly after?: readonly string[] | undefined
      } | undefined
      /** What rules are not to look at: the cure for a false alarm, as `portcullis explain <id>` prints it. An operation’s own list takes the place of its API’s. */
      readonly exclusions?: readonly ({
        /** The rule, or a range of rules: 942100, 942100-942199. */
        readonly rule?: number | string | undefined
        /** All rules with this tag: attack-sqli. */
        readonly tag?: string | undefined
        /** What the rule is no longer to look at: ARGS:comment, REQUEST_HEADERS:X-Note, or a JSON Pointer into the body with `*` for any item: /items/*\/note. Without it the rule is taken out as a whole. */
        readonly target?: string | undefined
        /** At which operations: op:createOrder, tag:orders, GET /orders/*, or a list. Default: all. */
        readonly match?: string | (readonly string[]) | undefined
        /** Why: for whoever reads this later. */
        readonly reason: string
        /** The day from which it no longer holds: 2027-01-31. */
        readonly expires?: string | undefined
      })[] | undefined
      /** Values that are what the document says (enumerations, UUIDs, numbers, dates, identifiers) are proved harmless and not searched; methods and media types come from the document. Free text, unknown names and values that are something else are searched in full. */
      readonly specAware?: boolean | undefined
      /** Request body that is inspected, files aside; more is answered 413. Bodies of other kinds than forms, JSON, XML and, with our own rules, text pass unlooked at. */
      readonly maxBody?: string | undefined
      /** Parameters, form fields and JSON values of one request; with more a body counts as unreadable and is refused. 20,000 take about 50 ms. */
      readonly maxValues?: number | undefined
      /** How much of an answer is inspected; the rest streams on. */
      readonly maxResponse?: string | undefined
      /** What becomes of a request whose inspection would cost too much time: refused, or passed on with a note. */
      readonly onBudget?: 'block' | 'pass' | undefined
      /** `plain` runs each rule on each value, without the proofs that make it fast: to compare, or if they are in doubt. */
      readonly evaluator?: 'fast' | 'plain' | undefined
    } | undefined
    readonly errors?: {
      /** How the rule stands. */
      readonly mode?: 'off' | 'observe' | 'enforce' | undefined
      /** Answers of 500 and above: `replace` all but documented problem documents (RFC 9457), replace `pages` only (HTML or plain text that the document does not list for the status), or `pass`. */
      readonly upstream5xx?: 'replace' | 'pages' | 'pass' | undefined
      /** Answers of 400 to 499, in the same words. Some frameworks print a stack trace with these, too. */
      readonly upstream4xx?: 'replace' | 'pages' | 'pass' | undefined
    } | undefined
    readonly headers?: {
      /** How the rule stands. */
      readonly mode?: 'off' | 'observe' | 'enforce' | undefined
      readonly request?: {
        /** Request headers that reach the upstream: those of the document and the usual ones of HTTP (`documented`), `all`, or exactly the ones listed. */
        readonly allow?: ('documented' | 'all') | (readonly string[]) | undefined
        /** Names beside those of `allow`. */
        readonly also?: readonly string[] | undefined
        /** Names that never reach the upstream. */
        readonly remove?: readonly string[] | undefined
      } | undefined
      readonly response?: {
        /** Names that never reach the caller, beside those that tell what the upstream is made of. */
        readonly remove?: readonly string[] | undefined
        /** Names that reach the caller although they tell what the upstream is made of. */
        readonly keep?: readonly string[] | undefined
        /** Headers set on every reply. */
        readonly set?: { readonly [name: string]: string } | undefined
      } | undefined
      readonly security?: {
        /** Strict-Transport-Security (RFC 6797), on encrypted connections; false leaves it out. */
        readonly hsts?: false | ({
          /** How long browsers insist on https; a year or more counts as right. */
          readonly maxAge?: string | undefined
          readonly includeSubDomains?: boolean | undefined
          /** Asks for a place in the lists that browsers ship with. */
          readonly preload?: boolean | undefined
        }) | undefined
        /** Content-Security-Policy on every reply but those documented as HTML, whose own one passes; false leaves it to the upstream. */
        readonly contentSecurityPolicy?: false | string | undefined
        /** X-Content-Type-Options on every reply; false leaves the header to the upstream. */
        readonly contentTypeOptions?: false | string | undefined
        /** X-Frame-Options on every reply; false leaves the header to the upstream. */
        readonly frameOptions?: false | string | undefined
        /** X-XSS-Protection on every reply; false leaves the header to the upstream. */
        readonly xssProtection?: false | string | undefined
        /** Referrer-Policy on every reply; false leaves the header to the upstream. */
        readonly referrerPolicy?: false | string | undefined
        /** Cross-Origin-Resource-Policy on every reply; false leaves the header to the upstream. */
        readonly crossOriginResourcePolicy?: false | string | undefined
        /** Cache-Control: no-store on answers to callers who proved who they are, where the upstream says nothing. */
        readonly noStore?: boolean | undefined
      } | undefined
    } | undefined
    readonly identityHeaders?: {
      /** What the upstream is told of the caller, as `Portcullis-Subject` and so on. `credential` is the entry of `auth` that vouched. Values are percent-encoded UTF-8; scopes and roles are separated by spaces. */
      readonly send?: readonly ('subject' | 'scopes' | 'roles' | 'application' | 'credential' | 'request-id')[] | undefined
    } | undefined
    /** Fields of JSON bodies that the upstream gets encrypted, or that not everyone gets to see. */
    readonly protect?: readonly ({
      /** Which field of JSON bodies: `$..cardNumber`, `$.payment.card`, `$.items[*].note`, or as a pointer with wildcards `/items/*\/note`. Schemas may mark fields themselves: `x-portcullis: { protect: { … } }`. */
      readonly field: string
      /** What the field is called in keys and logs. Fields of the same name share a key and may hold the same encrypted value. Default: the last name of its path. */
      readonly name?: string | undefined
      /** How it reaches the upstream: `encrypt` makes another text of it each time; `deterministic` makes the same text of the same value, so that parameters of the same name find it, and whoever reads the store sees which values are equal. Without it the field reaches the upstream as it is. */
      readonly atRest?: 'encrypt' | 'deterministic' | undefined
      /** Who gets to see what: `role:support` (or `support`), `scope:cards:read`, `app:shop`, `via:main`, `sub:jane`, `owner`, `*` for every known caller. The first that fits counts, in the order written; who is not listed gets nothing. `show`, `last4`, `mask` (`***`), `remove`, or `envelope` (as it is stored). */
      readonly response: { readonly [name: string]: 'show' | 'last4' | 'mask' | 'remove' | 'envelope' }
      /** The property that names whose field it is, in the object that holds the field or the nearest around it; compared with the subject of the caller for `owner`. */
      readonly owner?: string | undefined
      /** A property beside the field or around it, or a path parameter, whose value the encrypted value is bound to, such as the id of the customer: moved to another object it does not open. It must be known when the field is written. */
      readonly bind?: string | undefined
      /** What becomes of a value that the upstream holds in the open although the field is encrypted: `remove`, or, while old data is still to be written anew, `show` to whom `response` shows it. */
      readonly unsealed?: 'remove' | 'show' | undefined
    })[] | undefined
  } } | undefined
}
