import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject, randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, linkSync, mkdirSync, openSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { ConfigError, messageOf } from '../base/errors.ts'
import { commandKey } from './command-key.ts'

/** `secrets` of the configuration, as the settings give it. */
export interface SecretsSettings {
  /** 32 bytes as base64 or hexadecimal, a file that holds them, or a program that wraps and unwraps. */
  readonly sealWith?: string | { readonly file: string } | KeyCommand | undefined
}

/** A program that stands for a key it does not give away: a KMS, an HSM. `docs/guides/vault.md` has its protocol. */
export interface KeyCommand {
  readonly command: readonly string[]
  /** How long one answer may take, in milliseconds. */
  readonly timeout?: number
}

/** What everything in the vault is sealed with in the end. Never leaves this object. */
export interface MasterKey {
  /** Where it comes from, for messages: never the key. */
  readonly source: string
  /** It does not exist yet; the first `wrap` makes it. With a vault that is not empty this is a key that was lost. */
  readonly missing: boolean
  wrap(plain: Uint8Array): Promise<Uint8Array>
  /** Throws when it was not wrapped by this key, or by another program than this one. */
  unwrap(wrapped: Uint8Array): Promise<Uint8Array>
  close(): void
}

export interface MasterKeyOptions {
  /** Whether the store is a file on this machine. Only then may a key be made beside it. */
  readonly embeddedStore: boolean
}

const keyBytes = 32
const nonceBytes = 12
const tagBytes = 16
const fileBytesMax = 4_096
const wrapContext = Buffer.from('portcullis master key 1')

/** The master key that the configuration names; without one, the key in `<stateDir>/master.key`, which is made when needed. */
export async function masterKeyFrom(
  settings: SecretsSettings | undefined,
  stateDir: string,
  { embeddedStore }: MasterKeyOptions = { embeddedStore: true },
): Promise<MasterKey> {
  const sealWith = settings?.sealWith
  if (typeof sealWith === 'string') {
    return localKey(parseKey(sealWith, 'secrets.sealWith'), 'secrets.sealWith')
  }
  if (sealWith !== undefined && 'command' in sealWith) return commandKey(sealWith)
  if (sealWith !== undefined) return fileKey(sealWith.file)
  if (!embeddedStore) {
    throw new ConfigError('P1050', 'a store that several machines share needs a master key of your choice', {
      hint: 'openssl rand -base64 32 > master.key && chmod 600 master.key, then `secrets: { sealWith: { file: ./master.key } }` on every machine',
    })
  }
  return ownKey(join(stateDir, 'master.key'))
}

/** A key that is written out, such as in a variable of the environment; `source` names it in messages. */
export function masterKeyOfText(text: string, source: string): MasterKey {
  return localKey(parseKey(text, source), source)
}

/** A key that ends with the process: for rehearsals and tests, with a store that ends with it, too. */
export function passingKey(): MasterKey {
  return localKey(randomBytes(keyBytes), 'a key of this process')
}

/** 32 random bytes as the text of a key file. */
export function newMasterKeyText(): string {
  return randomBytes(keyBytes).toString('base64')
}

function fileKey(file: string): MasterKey {
  return localKey(readKeyFile(file), file)
}

/** The key that this program makes itself, once, for the embedded store. */
function ownKey(file: string): MasterKey {
  let opened = statOf(file) === undefined ? undefined : fileKey(file)
  const key = () => {
    opened ??= fileKey(makeKeyFile(file))
    return opened
  }
  return {
    source: file,
    get missing() {
      return opened === undefined && statOf(file) === undefined
    },
    wrap: async (plain) => key().wrap(plain),
    async unwrap(wrapped) {
      if (opened === undefined && statOf(file) === undefined) throw new Error(`there is no ${file}`)
      return key().unwrap(wrapped)
    },
    close: () => opened?.close(),
  }
}

/** Whole or not there at all, whoever else makes it at the same time, and whatever ends the process meanwhile. */
function makeKeyFile(file: string): string {
  const own = `${file}.${process.pid}.${randomBytes(6).toString('hex')}`
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  const descriptor = openSync(own, 'wx', 0o600)
  try {
    writeSync(descriptor, `${newMasterKeyText()}\n`)
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
  try {
    linkSync(own, file)
    const folder = openSync(dirname(file), 'r')
    fsyncSync(folder)
    closeSync(folder)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    rmSync(own, { force: true })
  }
  return file
}

function statOf(file: string) {
  return statSync(file, { throwIfNoEntry: false })
}

function readKeyFile(file: string): Buffer {
  refuseReadable(file)
  const text = readFileSync(file)
  if (text.length > fileBytesMax) throw new ConfigError('P1051', `${file} is no key: it is larger than 4 KB`)
  try {
    return parseKey(text.toString('latin1'), file)
  } finally {
    text.fill(0)
  }
}

/** Refuses a key file that others than its owner and its owner's group may read, or that they may change. */
export function refuseReadable(file: string): void {
  let mode: number
  try {
    mode = statSync(file).mode
  } catch (error) {
    throw new ConfigError('P1051', `the master key cannot be read: ${messageOf(error)}`, {
      hint: 'restore it, or make one with `openssl rand -base64 32`',
      cause: error,
    })
  }
  // The group may read: Kubernetes hands secrets to a group. It may not write.
  if (process.platform !== 'win32' && (mode & 0o027) !== 0) {
    throw new ConfigError('P1051', `${file} may be read or changed by others (mode ${(mode & 0o777).toString(8)})`, {
      hint: `chmod 600 ${file}`,
    })
  }
}

/** Exactly 32 bytes, in base64 (either alphabet) or hexadecimal. */
function parseKey(text: string, source: string): Buffer {
  const trimmed = text.trim()
  const key = /^[0-9a-f]{64}$/i.test(trimmed)
    ? Buffer.from(trimmed, 'hex')
    : /^[\w+/-]{43}=?$/.test(trimmed)
      ? Buffer.from(trimmed, 'base64')
      : undefined
  if (key?.length !== keyBytes) {
    throw new ConfigError('P1051', `${source} holds no master key: 32 bytes in base64 or hexadecimal are expected`, {
      hint: 'make one with `openssl rand -base64 32`',
    })
  }
  return key
}

/** A key in this process' memory. The bytes handed in are zeroed. */
function localKey(bytes: Buffer, source: string): MasterKey {
  let key: KeyObject | undefined = createSecretKey(bytes)
  bytes.fill(0)
  const use = () => {
    if (key === undefined) throw new Error('the master key is closed')
    return key
  }
  return {
    source,
    missing: false,
    async wrap(plain) {
      const nonce = randomBytes(nonceBytes)
      const cipher = createCipheriv('aes-256-gcm', use(), nonce).setAAD(wrapContext)
      return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()])
    },
    async unwrap(wrapped) {
      if (wrapped.length < nonceBytes + tagBytes) throw new Error('what was wrapped is too short')
      const decipher = createDecipheriv('aes-256-gcm', use(), wrapped.subarray(0, nonceBytes), {
        authTagLength: tagBytes,
      })
      decipher.setAAD(wrapContext).setAuthTag(wrapped.subarray(-tagBytes))
      const plain = decipher.update(wrapped.subarray(nonceBytes, -tagBytes))
      decipher.final()
      return plain
    },
    close() {
      key = undefined
    },
  }
}
