import { expect, test } from 'vitest'
import { ConfigError, ConfigErrors } from '../base/errors.ts'
import { redactError } from './redact.ts'

const redact = (text: string) => text.replaceAll('hunter22', '${PASSWORD}')
const place = { file: 'portcullis.yaml', line: 1, column: 2 }

test('redactError takes the values of variables out of whatever was thrown, and keeps its kind and place', () => {
  const one = redactError(new ConfigError('P1001', 'no hunter22', { place, hint: 'say hunter22' }), redact)
  expect(one).toMatchObject({ code: 'P1001', message: 'no ${PASSWORD}', hint: 'say ${PASSWORD}', place })
  const many = redactError(new ConfigErrors([new ConfigError('P1002', 'hunter22')]), redact) as ConfigErrors
  expect(many).toBeInstanceOf(ConfigErrors)
  expect(many.message + many.errors[0]!.message).not.toContain('hunter22')
  const plain = redactError(new TypeError('connect hunter22'), redact) as Error
  expect([plain.name, plain.message]).toEqual(['TypeError', 'connect ${PASSWORD}'])
  expect(plain.stack).not.toContain('hunter22')
})

test('redactError leaves alone what says nothing secret', () => {
  const error = new Error('plain')
  expect(redactError(error, redact)).toBe(error)
  expect(redactError('text', redact)).toBe('text')
})
