import type { ErrorCode } from '../base/errors.ts'

/** One page of the manual: what a code means and what to do. */
export interface ErrorPage {
  readonly title: string
  readonly help: string
}

/**
 * Every code that a `ConfigError` can carry. `portcullis explain P1007` and docs/reference/errors.md are printed from
 * here; a test finds codes that are thrown somewhere and missing here.
 */
export const errorPages: Readonly<Record<ErrorCode, ErrorPage>> = {
  P1001: {
    title: 'A configuration file cannot be read',
    help: 'The file is missing, is a folder, is larger than 8 MB or may not be read. Name another with `--config FILE`, or let `portcullis init` write one.',
  },
  P1002: {
    title: 'A configuration file is not valid YAML or JSON',
    help: 'The place is where reading failed; the cause is often a line above it: a missing space after a colon, a tab in the indentation, an unclosed quote. A placeholder within `{ }` or `[ ]` needs quotes: `{ url: "${REDIS_URL}" }`. Aliases may not repeat more than a bounded amount of text.',
  },
  P1003: {
    title: 'A configuration file is too large or too deep',
    help: 'At most 200,000 values, nested at most 64 levels, after aliases are followed. Long lists of addresses belong in files of their own (`list:./deny.txt`).',
  },
  P1004: {
    title: 'A configuration file holds something else',
    help: 'A configuration is a map of keys at its top, in `.yaml`, `.yml` or `.json`, or the default export of a `.ts`, `.mts`, `.js` or `.mjs` module: `export default defineConfig({ … })`.',
  },
  P1005: {
    title: 'A key stands twice in one map',
    help: 'Which of the two counts would depend on the reader. Remove one.',
  },
  P1006: {
    title: 'A key is missing',
    help: 'Add it. The JSON Schema and docs/reference/configuration.md show what belongs where.',
  },
  P1007: {
    title: 'A key is unknown',
    help: 'Nothing reads this key, so a rule written under it would protect nothing. Mind the spelling and the indentation: a key that is one level too deep or too high is unknown there.',
  },
  P1008: {
    title: 'A value is of the wrong kind',
    help: 'A map, a list, a text or a number was expected, and another was found. YAML reads `8443` as a number and `"8443"` as text; `key:` with nothing behind it is empty.',
  },
  P1009: {
    title: 'A value is not allowed',
    help: 'The kind is right, the value is not: outside its limits, not one of the words allowed here, or not in the form described.',
  },
  P1010: {
    title: 'A variable is not set',
    help: '`${NAME}` is looked for in the environment, then in `.env` beside the configuration file, then as the file named by `NAME_FILE` (as Docker and Kubernetes hand over secrets). Write `${NAME:-default}` where it may be absent. A variable that is set but empty counts as not set, because an empty secret is nearly always a mistake; `${NAME:-}` allows it.',
  },
  P1011: {
    title: 'A placeholder cannot be understood',
    help: 'Allowed are `${NAME}`, `${NAME:-default}` and `${file:./path}`. For the characters `${` themselves write `$${`.',
  },
  P1012: {
    title: 'The file behind a placeholder cannot be read',
    help: 'The path of `${file:./path}` is relative to the configuration file that writes it. The file may hold at most 1 MB of UTF-8 text; one line break at its end is dropped.',
  },
  P1013: {
    title: 'A configuration that is extended cannot be found',
    help: '`extends` names files, relative to the file that writes it, or profiles that come with Portcullis: `portcullis/profiles/<name>`.',
  },
  P1014: {
    title: 'Configurations extend each other in a circle, or too many',
    help: 'A configuration may extend others up to 8 deep and 64 in all, and none may come back to itself.',
  },
  P1016: { title: 'The configuration is of another version', help: 'This program reads `version: 1`.' },
  P1017: {
    title: 'A configuration module cannot be loaded',
    help: 'The module threw an error while it ran, or does not compile. Only TypeScript that can be stripped is supported (no enums, no namespaces); imports carry their file extension.',
  },
  P1020: {
    title: 'A listener would speak plain HTTP to the network',
    help: 'Credentials on plain HTTP are readable by everyone on the way. `tls: off` is accepted on loopback (host 127.0.0.1, ::1 or localhost), and with `behindTlsTerminator: true` where a load balancer in front ends TLS.',
  },
  P1021: {
    title: 'A listener does not say how it speaks TLS',
    help: 'Say one of: `tls: { certificate: ./cert.pem, key: ./key.pem }`, `tls: { acme: { domains: [api.example.com] } }`, `tls: development` for a certificate of its own, `redirect: https`, or `tls: off` with `behindTlsTerminator: true`.',
  },
  P1022: {
    title: 'The TLS settings of a listener contradict each other',
    help: 'A listener has one source of certificates: `certificate` with `key`, `certificates`, or `acme`. A listener that redirects has none. `clientCertificate` and `clientCrl` need `clientCa`.',
  },
  P1023: { title: 'Two listeners want the same port', help: 'Give one of them another port or another host.' },
  P1024: {
    title: 'An API has nowhere to send its requests',
    help: 'Give the API, or each of its versions, an `upstream`.',
  },
  P1026: { title: 'No API is configured', help: 'Add one under `apis`: a name with `openapi` and `upstream`.' },
  P1030: {
    title: 'An address range cannot be understood',
    help: 'Write an IPv4 or IPv6 address or range: `10.0.0.0/8`, `2001:db8::/32`, `192.0.2.7`.',
  },
  P1031: {
    title: 'A list of address ranges cannot be read',
    help: '`list:./deny.txt` names a file with one range a line; `#` begins a comment. The path is relative to the configuration file that writes it.',
  },
  P1040: {
    title: 'The store is not known',
    help: '`store.url` is `sqlite:FILE`, `sqlite::memory:` (ends with the process) or `postgres://user:password@host:5432/database?sslmode=verify-full`.',
  },
  P1041: {
    title: 'The counters are not known',
    help: '`counters.url` is `memory`, or `redis://user:password@host:6379/0` (`rediss://` with TLS) for Redis or Valkey; `?timeoutMs=250` says how long one question may take (1 to 60000, default 100).',
  },
  P1042: {
    title: 'An API key cannot be made so',
    help: 'A name has 1 to 200 printable characters; scopes and roles are words without spaces, such as `orders:read`; at most 256 of each. Origins are `https://host[:port]`, operations are selectors (`op:ID`, `tag:NAME`, `GET /path`), and a key ends after it begins.',
  },
  P1043: {
    title: 'A user cannot be made so',
    help: 'A name has 1 to 200 printable characters and no colon (RFC 7617); a password has 8 to 1,024 characters, is none of those that guessers try first, and more than the name.',
  },
  P1044: {
    title: 'A grant cannot be made so',
    help: 'A grant names its subject and who vouches for it (`--via`), gives at least one role or scope, begins before it ends, and ends within a year; operations and addresses are written as for keys.',
  },
  P1050: {
    title: 'A shared store has no master key',
    help: 'Several machines that share a PostgreSQL store must seal with the same master key, so none of them makes one by itself. Make one with `openssl rand -base64 32 > master.key && chmod 600 master.key`, bring it to every machine as you bring other secrets, and write `secrets: { sealWith: { file: ./master.key } }`, `sealWith: "${MASTER_KEY}"`, or a KMS as `sealWith: { command: [program, argument] }`.',
  },
  P1051: {
    title: 'The master key cannot be used',
    help: 'It is 32 bytes, written in base64 (43 or 44 characters) or hexadecimal (64), in a file that only its owner, and at most its group, may read: `openssl rand -base64 32 > master.key && chmod 600 master.key`.',
  },
  P1052: {
    title: 'The master key does not open the vault in this store',
    help: 'The keys in the store were sealed with another master key. Nothing was changed. Give the gate that key: restore the file from its backup, or correct `secrets.sealWith`; after `portcullis keys reseal` it is the new one. Where `sealWith` is a command, see that the program answers. If the old key is lost for good, what was sealed with it is lost as well: begin with an empty store.',
  },
  P1053: {
    title: 'The vault was made by a newer version',
    help: 'The keys in the store are written in a form that this version does not know. Start the version that made them. Nothing was changed.',
  },
  P1054: {
    title: 'The vault cannot be sealed anew',
    help: '`portcullis keys reseal --from old.key --to new.key` exchanges the master key of a vault that is there. A store without a vault needs none: start the gate with the new key.',
  },
  P1055: {
    title: '`secrets` cannot change while the gate runs',
    help: 'The vault is open with the master key of the start. Nothing was changed. For another key run `portcullis keys reseal`, then restart the gate; otherwise take the change back.',
  },
  P1060: {
    title: 'The token service has no name that it could have',
    help: '`tokenService.issuer` is an https URL that never changes: it stands in every token. Plain http is for loopback. Below a path it shares the listeners of the APIs.',
  },
  P1061: {
    title: 'A client of the token service cannot be as it is written',
    help: 'The message says what does not go together. A client has a name of its own, a way to prove who it is, and for sign-in at least one exact redirect.',
  },
  P1062: {
    title: 'The settings of the token service do not go together',
    help: 'The message says which. The profile `fapi2` allows neither client secrets nor unbound tokens, and signs with ES256, PS256 or EdDSA.',
  },
  P1063: {
    title: 'The theme of the sign-in pages cannot be used',
    help: '`tokenService.theme.logo` is an SVG or PNG file of at most 512 KB that this user may read; `colour` is six hexadecimal digits after #.',
  },
  P1078: {
    title: 'ACME cannot be used like this',
    help: '`tls.acme` obtains certificates by http-01 and tls-alpn-01, for host names that lead to this machine; not for addresses, and not for wildcards, which need a DNS challenge. The directory is an https URL.',
  },
  P1080: {
    title: 'A file of `tls` cannot be read',
    help: 'A PEM file named under `listen` does not exist or may not be read by this user. The text of the PEM itself may stand in its place.',
  },
  P1081: {
    title: 'A certificate cannot be read',
    help: 'A certificate chain in PEM form is expected: the certificate of the server first, then those that vouch for it. `openssl x509 -in FILE -noout -text` shows what a file holds.',
  },
  P1082: {
    title: 'A private key cannot be used',
    help: 'It is not an unencrypted key in PEM form, or it belongs to another certificate. `openssl pkey -in KEY -pubout` and `openssl x509 -in CERTIFICATE -noout -pubkey` must print the same.',
  },
  P1083: {
    title: 'A certificate lacks its key, or a key its certificate',
    help: '`tls` takes both `certificate` and `key`, or neither.',
  },
  P1084: {
    title: 'A listener has no certificate',
    help: 'A development certificate is the default on loopback only. Elsewhere name `tls.certificate` and `tls.key`, let `tls.acme` fetch one, or say `tls: development`.',
  },
  P1085: {
    title: 'Plain HTTP would be readable on the way',
    help: '`tls: off` is for loopback, and for a listener behind a program that ends TLS: then say `behindTlsTerminator: true`.',
  },
  P1086: {
    title: 'A listener cannot change between http and https',
    help: 'The port is open with the one; give the other a port of its own, or restart.',
  },
  P1087: {
    title: 'A listener cannot be opened',
    help: 'Another program listens there, this user may not, or the machine has no such address. `ss -ltnp` shows who listens.',
  },
  P1088: {
    title: 'A new certificate has expired already',
    help: 'The one in use stays. Check that the renewed file was written, and the clock of this machine.',
  },
  P1089: {
    title: 'Authorities or revocation lists for client certificates cannot be used',
    help: '`clientCa` holds certificates and `clientCrl` revocation lists, both in PEM form (`BEGIN CERTIFICATE`, `BEGIN X509 CRL`). Every authority in use needs a list of its own once there is one.',
  },
  P1201: {
    title: 'A path cannot be routed without doubt',
    help: 'Two templates of a document, or of two APIs at one place, would match the same requests, or a template cannot be matched segment by segment. Give one of them another path, `basePath` or `host`.',
  },
  P1202: {
    title: 'An operation does not say who may call it',
    help: 'Its document neither asks for security nor says `security: []`, at the operation and at the top. Nothing is opened by forgetting: add `security`, or set `unsecured: authenticate` (any credential) or `unsecured: public` for the API.',
  },
  P1203: {
    title: 'A version has nowhere to send its requests',
    help: 'Give the API, or this version, an `upstream`.',
  },
  P1401: {
    title: 'An issuer says in two ways how its tokens are signed',
    help: 'An issuer has either public keys (`jwks`, or found through its metadata) or a `secret` with HS256, HS384 or HS512. Both at once would let somebody sign with what is public.',
  },
  P1402: {
    title: "An issuer's keys cannot be used",
    help: '`jwks` is an https URL, a file, or the JWK set itself (RFC 7517), with at least one public key for signatures: RSA of 2,048 bits or more, P-256, P-384, P-521 or Ed25519. Without it the keys are found through the metadata of `issuer`, which must then be an https URL. Plain http is accepted on loopback only.',
  },
  P1404: {
    title: 'An operation names a security scheme that the document does not define',
    help: 'Define it under `components.securitySchemes`, or mend the name.',
  },
  P1405: {
    title: '`public` is neither true nor false',
    help: '`x-portcullis: { public: true }` opens an operation to everyone.',
  },
  P1406: {
    title: 'An operation asks for a credential and nothing can check one',
    help: 'List at least one method under `auth`, or remove the key: then API keys and all `issuers` are accepted.',
  },
  P1407: {
    title: 'An operation asks for a kind of credential that nothing can check',
    help: 'List a fitting method or issuer under `auth`: `apiKey`, `basic`, `session`, `mtls`, or a name from `issuers`. Where another kind should stand for a scheme of the document, say so: `auth: { <scheme>: [apiKey] }`.',
  },
  P1408: {
    title: '`auth` lists a method that does not exist',
    help: 'Methods are `apiKey`, `basic`, `session`, `mtls` and the names under `issuers`, which must be other names than these four.',
  },
  P1409: {
    title: 'Rights are incomplete',
    help: '`authorize.permissions` says what operations need, `authorize.roles` says who has it: the first is of no use without the second. An entry of `allow` or `deny` names a subject, or `role:`, `app:`, `scope:`, `via:`, `sub:` followed by a name, or `*`.',
  },
  P1412: {
    title: 'Cedar policies cannot be used',
    help: '`authorize.cedar.policies` names a file or a folder of `*.cedar` files. What is wrong with them is told with its line: they are parsed when the gate starts and, with `authorize.cedar.schema`, validated. Every policy needs an id of its own (`@id("…")`); templates are not supported.',
  },
  P1410: {
    title: 'A rule cannot tell whose an object is before it is changed',
    help: 'A rule with `owner` that looks at the answer cannot hold back a write: it is done by then. `lookup` names the GET operation that reads the object before; its path parameters come from the path of the request, or from where `with` says. Without `lookup` it is GET at the same path. `lookup: none` says that the answer to the write itself tells in time.',
  },
  P1411: {
    title: 'A protected field cannot be protected so',
    help: '`protect` lists fields by path (`$..cardNumber`, `/items/*/note`); a schema marks one by `x-portcullis: { protect: { atRest: encrypt, response: { owner: show, "*": remove } } }`. `owner` needs the property that names the owner. Look-ups need `atRest: deterministic`, and `bind` needs `atRest: encrypt`.',
  },
  P1413: {
    title: 'A rule matches no operation of the document',
    help: 'Nothing is protected by it: `match` is mostly misspelt. It takes `op:ID`, `tag:NAME` and `"GET /orders/*"`, as the document writes them; `portcullis explain GET /path` shows which operation a request is.',
  },
  P1420: {
    title: 'A key of a caller cannot be used',
    help: '`payload.clients` gives each caller a JWK set (RFC 7517) of public keys: EC on P-256 or P-384, OKP (X25519 to encrypt, Ed25519 to sign), or RSA of at least 2048 bits. A key that signs needs a `kid`. `use` and `alg`, where they stand, must fit.',
  },
  P1090: {
    title: 'The metrics endpoint cannot listen',
    help: '`telemetry.metrics` names an address that another program has, or that this machine does not. Choose another port, or leave the key out to go without metrics.',
  },
  P1091: {
    title: 'The address of the metrics endpoint cannot be read',
    help: 'Expected `host:port`, such as `127.0.0.1:9464` or `[::1]:9464`. Metrics name your operations: keep them on loopback or on a network of your own.',
  },
  P1092: {
    title: 'The activity log cannot be written',
    help: '`telemetry.logs.file` must lie in a folder that the user who runs the gate may write to. Without the key the lines go to standard output.',
  },
  P1510: {
    title: 'A folder of firewall rules cannot be used',
    help: '`crs.path` names the folder into which a release of the OWASP CRS was unpacked: with `crs-setup.conf` or `crs-setup.conf.example`, and `rules/*.conf`. `portcullis waf install` fetches, verifies and unpacks one.',
  },
  P1511: {
    title: 'A file of firewall rules cannot be read',
    help: 'It is missing, may not be read, or has more than 8 MB. Relative paths count from the configuration file.',
  },
  P1513: {
    title: 'The installed firewall rules are not those that were verified',
    help: 'A file was changed, is missing or was added since `portcullis waf install` checked the signature, so nobody vouches for the rules. Install them again; put your own settings and exclusions into files of your own, which `waf.include` names.',
  },
  P1514: {
    title: 'No Core Rule Set is installed',
    help: '`portcullis waf install` fetches and verifies one; `crs.path` names one that is elsewhere. Without `rules: crs` the gate runs its own rules.',
  },
  P1520: {
    title: 'A firewall rule cannot be used',
    help: 'A rule file says what the engine cannot do, or something is misspelt in it. All mistakes are told at once; a gate that runs keeps its old rules meanwhile.',
  },
  P2001: {
    title: 'An OpenAPI document, overlay or file it refers to cannot be read',
    help: 'The file is missing, is a folder, is not UTF-8 or may not be read. Paths in the configuration are relative to it; paths in a `$ref` are relative to the file that the `$ref` stands in.',
  },
  P2002: {
    title: 'An OpenAPI document is not valid YAML or JSON',
    help: 'The place is where reading failed; the cause is often a line above it: a missing space after a colon, a tab in the indentation, an unclosed quote.',
  },
  P2003: {
    title: 'A key stands twice in one map of a document',
    help: 'Which of the two counts would depend on the reader: the gate, the upstream and the writer might each take another. Remove one.',
  },
  P2004: {
    title: 'An OpenAPI document is too large, too deep or grows when it is read',
    help: 'At most 64 million characters a file, 2,000 files, 256 levels, and YAML aliases that stand for 250,000 values. Use `$ref` instead of aliases.',
  },
  P2005: {
    title: 'A file is no OpenAPI document of a supported version',
    help: 'Its first line should be `openapi: 3.1.0` or another 3.0, 3.1 or 3.2, or `swagger: "2.0"`.',
  },
  P2006: {
    title: 'A part of a document is of the wrong kind',
    help: 'A map, a list, a text or a number was expected, and another was found. YAML reads `key:` with nothing behind it as empty.',
  },
  P2007: {
    title: 'A reference leads nowhere',
    help: 'The part behind `#` is a JSON Pointer (RFC 6901): names between slashes, where `~1` stands for a slash and `~0` for a tilde within a name.',
  },
  P2008: {
    title: 'A reference is not followed',
    help: 'The gate opens no URL and no absolute path outside the folder of the document, so that a document cannot make it ask other machines or read its files. Keep a copy beside the document and refer to it by a relative path; `../shared/errors.yaml` is one.',
  },
  P2009: {
    title: 'A schema names a type that does not exist',
    help: 'The types are string, number, integer, boolean, array, object and (since 3.1) null. A name without doubt, such as `int` or `String`, is read as what it means, with a warning.',
  },
  P2010: {
    title: 'Two paths cannot be told apart',
    help: '`/orders/{id}` and `/orders/{number}` fit the same requests. Where both ask for the same rights the first is served and this is a warning; else it would be chance who gets in. Describe them as one path, or remove one with an overlay.',
  },
  P2011: {
    title: 'A path and its parameters do not agree',
    help: 'Each `{name}` of a path needs a parameter `in: path` of this name, and the other way round. Without it every value of one segment is accepted.',
  },
  P2012: {
    title: 'Two operations have the same operationId',
    help: 'The second is called by its method and path, such as `GET /orders`, in rules, metrics and logs.',
  },
  P2013: {
    title: 'What an operation asks of callers cannot be understood',
    help: '`security` is a list of maps from the names of security schemes to scopes: `[{ key: [] }]`. `[]` opens the operation to everyone, and `{}` among others makes credentials optional.',
  },
  P2014: {
    title: 'A security scheme cannot be used',
    help: 'It needs a `type` of apiKey (with `name` and `in`), http (with `scheme`), oauth2, openIdConnect or mutualTLS. An operation that asks for an unusable one is an error.',
  },
  P2015: {
    title: 'A path cannot be matched as it is written',
    help: 'A path begins with a slash and holds no query and no fragment: a fragment never leaves the client, and a query is described by parameters. Where the path without them is unique, it is served.',
  },
  P2016: {
    title: 'A keyword is read in another way, or not at all',
    help: 'What is meant seems clear, but the keyword does not say so in this version of OpenAPI. Mend it, so that other readers agree.',
  },
  P2017: {
    title: 'Where an API is mounted is in doubt',
    help: 'Paths are served below the path of the first server (or `basePath` in 2.0). Say `basePath` in the configuration of the API where that is not meant.',
  },
  P2018: {
    title: 'A parameter is described in a way that cannot be followed',
    help: 'A parameter has a `name`, a place (`in`: path, query, header, cookie, or querystring since 3.2) and a style that its place allows.',
  },
  P2020: {
    title: 'An overlay cannot be understood',
    help: 'An overlay (1.0 or 1.1) has `overlay`, `info` and a list of `actions`, each with a `target` and one of `update`, `copy` or `remove: true`.',
  },
  P2021: {
    title: 'A JSONPath cannot be understood',
    help: 'Targets are JSONPath as in RFC 9535. Names with slashes or braces stand in brackets and quotes: `$.paths["/orders/{id}"].get`.',
  },
  P2022: {
    title: 'An overlay would merge what does not fit together',
    help: 'Maps are merged with maps, lists are appended to, plain values are replaced by plain values. To replace a value by another kind, remove it in an action before.',
  },
  P2023: {
    title: 'An action of an overlay selects nothing',
    help: 'Overlay allows it, but a rule that was to protect an operation protects nothing then. Was the path renamed?',
  },
  P2024: {
    title: 'The source of a copy is not one value',
    help: '`copy` is a JSONPath that selects exactly one value of the document.',
  },
  P2031: {
    title: 'A document does not fit the published schema of its version',
    help: 'Found by `check` only. It is served all the same: what decides how a document is served is checked when it is loaded.',
  },
  P2090: {
    title: 'A schema cannot be compiled',
    help: 'It says something that cannot hold, or is larger than a validator may be. The message names the schema and the keyword.',
  },
}
