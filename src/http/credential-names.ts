/**
 * Names of parameters that stand for credentials, whoever invented them, in the form of `plainName`. Not here: `code` and
 * `state`, which OAuth itself puts into a query (RFC 6749, 4.1.2).
 */
export const credentialNames: ReadonlySet<string> = new Set([
  'accesskey',
  'accesstoken',
  'apikey',
  'apisecret',
  'apitoken',
  'appkey',
  'appsecret',
  'auth',
  'authkey',
  'authorization',
  'authtoken',
  'awsaccesskeyid',
  'awssecretaccesskey',
  'bearer',
  'bearertoken',
  'clientassertion',
  'clientsecret',
  'credential',
  'credentials',
  'idtoken',
  'jsessionid',
  'jwt',
  'key',
  'masterkey',
  'otp',
  'passphrase',
  'passwd',
  'password',
  'phpsessid',
  'privatekey',
  'pwd',
  'refreshtoken',
  'secret',
  'secretkey',
  'session',
  'sessionid',
  'sessiontoken',
  'sid',
  'sig',
  'signature',
  'subscriptionkey',
  'token',
  'usertoken',
  'xaccesstoken',
  'xamzcredential',
  'xamzsecuritytoken',
  'xamzsignature',
  'xapikey',
  'xauthtoken',
])

/**
 * A name in lower case and without `-`, `_` and `.`, so that `api_key`, `api-key` and `apiKey` are one. Longer ones are
 * compared by their beginning only: none in the list is that long.
 */
export function plainName(name: string): string {
  return name.slice(0, 300).toLowerCase().replace(/[-_.]/g, '')
}
