import { describe, expect, test } from 'vitest'
import { requestHeaderRules } from './headers.ts'

describe("H1: which of the caller's headers travel on", () => {
  const rules = requestHeaderRules([])

  test.each(['Accept', 'X-Request-Id', 'x_custom', 'Authorization'])('%s does', (name) => {
    expect(rules.get(name)).toEqual({ name: name.toLowerCase(), keep: true })
  })

  test.each([
    'Connection',
    'Transfer-Encoding',
    'Host',
    'X-Forwarded-For',
    'Portcullis-Subject',
    'PORTCULLIS-SCOPES',
    // What upstreams of CGI's family cannot tell from the above.
    'Portcullis_Subject',
    'portcullis_scopes',
    'X_Forwarded_For',
    'Transfer_Encoding',
  ])('%s does not', (name) => {
    expect(rules.get(name).keep).toBe(false)
  })
})
