/** NIST SP 800-63B-4, 3.1.1.2: the floor where a second factor stands beside the password. */
export const passwordMin = 8
/** NIST SP 800-63B-4, 3.1.1.2: where the password is the only factor. */
export const lonePasswordMin = 15
/** Long enough for any sentence; what is longer would only cost time to read. */
export const passwordMax = 1_024

/**
 * Passwords of eight and more characters that every guesser tries first, in small letters. Kept short: it catches the
 * careless; a list of all that ever leaked is a service of its own. Shorter ones fail by their length.
 */
const common: ReadonlySet<string> = new Set(
  `password password1 password12 password123 password1234 passw0rd p@ssw0rd p@ssword p@55w0rd passwort passwort1 motdepasse
  contraseña changeme changeme1 changeme123 letmein1 letmein123 letmeinnow welcome1 welcome12 welcome123 willkommen qwertyui
  qwertyuiop qwerty12 qwerty123 qwerty1234 qwertz123 qwertzui qwertzuiop azertyui azertyuiop asdfghjk asdfghjkl asdfasdf zxcvbnm1
  1q2w3e4r 1q2w3e4r5t 1qaz2wsx 1qazxsw2 q1w2e3r4 q1w2e3r4t5 qazwsxedc zaq12wsx iloveyou iloveyou1 iloveyou2 sunshine sunshine1
  princess princess1 football football1 baseball basketball superman superman1 batman123 starwars starwars1 pokemon123 dragon123
  monkey123 shadow123 master123 michael1 jennifer jessica1 charlie1 computer computer1 internet internet1 samsung1 whatever
  trustno1 freedom1 hunter22 hello123 hellohello abcd1234 abc12345 abc123456 a1b2c3d4 aa123456 qwer1234 asdf1234 test1234 testtest
  testtest1 admin123 admin1234 administrator root1234 rootroot default1 default123 secret123 secretsecret mysecret supersecret
  topsecret guestguest user1234 username temp1234 temporary summer2024 summer2025 summer2026 winter2024 winter2025 winter2026
  spring2025 spring2026 autumn2025 autumn2026 monday123 january1 december1 michelle midnight babygirl butterfly chocolate
  cheesecake liverpool manchester barcelona corvette mercedes ferrari1 mustang1 maverick firebird redskins steelers cowboys1
  jordan23 yankees1 rangers1 elephant einstein galaxy123 minecraft fortnite nintendo playstation google123 facebook facebook1
  linkedin linkedin1 microsoft windows10 passphrase correcthorsebatterystaple openopen opensesame swordfish abracadabra
  nothing1 something access14 password! password1! password123! welcome1! welcome123! changeme! p@ssw0rd1 p@ssw0rd123`.split(
    /\s+/,
  ),
)

const rows = ['abcdefghijklmnopqrstuvwxyz', '01234567890', 'qwertyuiopasdfghjklzxcvbnm', 'qwertzuiopasdfghjklyxcvbnm']

/**
 * What is wrong with a new password, in a sentence for the one who chose it; `undefined` when it will do. Length and what
 * guessers try first, and no rules of composition: they make people predictable (NIST SP 800-63B-4, 3.1.1.2).
 */
export function passwordFault(
  password: string,
  { name, lengthMin = passwordMin, words = [] }: PasswordContext,
): string | undefined {
  const length = Array.from(password).length
  if (length < lengthMin || password.length > passwordMax) {
    return `a password has ${lengthMin} to ${passwordMax} characters`
  }
  const small = password.toLowerCase()
  if (common.has(small)) return 'this password is one of the first that guessers try'
  if (isMonotonous(small)) return 'this password is one character, or one row of them, over and over'
  // What is left beside the names must carry a password by itself.
  for (const word of [name, ...words].map((text) => text.toLowerCase()).filter((text) => text.length >= 3)) {
    if (small.includes(word) && Array.from(small.replaceAll(word, '')).length < passwordMin / 2) {
      return 'this password is little more than the name of the user or of the service'
    }
  }
  return undefined
}

export interface PasswordContext {
  readonly name: string
  readonly lengthMin?: number
  /** Names that an attacker would try: the service, the company. */
  readonly words?: readonly string[]
}

/** `aaaaaaaa`, `abababab`, `12345678`, `hgfedcba`, `qwertyuiop`. */
function isMonotonous(text: string): boolean {
  for (let period = 1; period <= 3; period++) {
    if (
      text.length > period &&
      text ===
        text
          .slice(0, period)
          .repeat(Math.ceil(text.length / period))
          .slice(0, text.length)
    )
      return true
  }
  const reversed = Array.from(text).reverse().join('')
  return rows.some((row) => `${row}${row}`.includes(text) || `${row}${row}`.includes(reversed))
}
