import { z } from '../config/language.ts'
import type { Operation } from '../openapi/operation.ts'

/** Says whether a rule is meant for an operation. */
export type Selector = (operation: Operation) => boolean

const forms = 'op:createOrder, tag:orders, method:POST, path:/orders/*, or GET /orders/{id}'

/** Which operations a rule is meant for: one selector or several, any of which is enough. */
export const selectorShape = (description: string) => {
  const one = z.string().superRefine((text, context) => {
    if (parseOne(text) === undefined) context.addIssue({ code: 'custom', message: `expected ${forms}` })
  })
  return z.union([one, z.array(one).min(1).max(1_000)]).describe(`${description} ${forms}.`)
}

/** Compiles what `selectorShape` has read. Without a text every operation is meant. */
export function parseSelector(text: string | readonly string[] | undefined): Selector {
  if (text === undefined) return () => true
  const any = (typeof text === 'string' ? [text] : text).map((one) => parseOne(one) ?? (() => false))
  return (operation) => any.some((selects) => selects(operation))
}

function parseOne(text: string): Selector | undefined {
  const match = /^(op|tag|method|path):(.+)$/.exec(text)
  if (match === null) {
    const route = /^([A-Z]+) (\/.*)$/.exec(text)
    if (route === null) return undefined
    return ({ method, path }) => method === route[1] && path === route[2]
  }
  const value = match[2]!
  switch (match[1]) {
    case 'op':
      return ({ id }) => id === value
    case 'tag':
      return ({ tags }) => tags.includes(value)
    case 'method':
      return ({ method }) => method === value.toUpperCase()
    default: {
      if (!value.startsWith('/')) return undefined
      if (!value.endsWith('*')) return ({ path }) => path === value
      const beginning = value.slice(0, -1)
      return ({ path }) => path.startsWith(beginning)
    }
  }
}
