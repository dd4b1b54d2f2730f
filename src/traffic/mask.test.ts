import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  isHarmless,
  masked,
  matchedData,
  matchedVariable,
  pathMask,
  scrub,
  scrubAddress,
  valueCharsMax,
} from './mask.ts'

const jwt = 'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJlLXRoYXQtbG9va3MtcmFuZG9t'

describe('O2: what may stand in a path or a listed query value', () => {
  test.each([
    '42',
    '123456789012',
    // 13 digits, but the check digit of a card does not fit: a time in milliseconds.
    '1763817600001',
    'orders',
    'summer-2026-collection',
    'ORD-2026-00017',
    'v2beta1',
    '2026-11-22',
    '3f2504e0-4f89-41d3-9a0c-0305e82c3301',
    '01ARZ3NDEKTSV4RRFFQ69G5FAV',
    'ord_01ARZ3NDEKTSV4RRFFQ69G5FAV',
    '507f1f77bcf86cd799439011',
    'index.html',
  ])('shows %s', (value) => {
    expect(isHarmless(value)).toBe(true)
  })

  test.each([
    jwt,
    'pk_live_51HxQ2eZv',
    'sk_test_abcdef',
    'ghp_16C7e42F292c6912E7710c838347Ae178B4a',
    'AKIAIOSFODNN7EXAMPLE',
    'alice@example.com',
    'alice%40example.com',
    '4111111111111111',
    '4111-1111-1111-1111',
    '7f3a9c1e5b2d',
    'dGhpcyBpcyBhIHNlY3JldCB0aGF0IGlz',
    'd41d8cd98f00b204e9800998ecf8427e',
    'secret-abc',
    'password123',
    'x'.repeat(65),
    'token=abc',
  ])('masks %s', (value) => {
    expect(isHarmless(value)).toBe(false)
  })
})

describe('O2: what may stand in a listed header', () => {
  test.each([
    'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36',
    'curl/8.11.1',
    'application/vnd.shop.v2+json; charset=utf-8',
    'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8',
    '1024',
    'python-requests/2.32.3',
    '3f2504e0-4f89-41d3-9a0c-0305e82c3301',
  ])('leaves %s as it is', (value) => {
    expect(scrub(value)).toBe(value)
  })

  test.each([
    [`agent ${jwt} x`, jwt],
    ['Bearer abcdef123456', 'abcdef123456'],
    ['Basic YWxpY2U6aHVudGVyMg==', 'YWxpY2U6aHVudGVyMg'],
    ['my key is pk_live_51HxQ2eZv ok', 'pk_live_51HxQ2eZv'],
    ['password=hunter2', 'hunter2'],
    ['api_key: 12345', '12345'],
    ['contact alice@example.com', 'alice@example.com'],
    ['card 4111 1111 1111 1111', '4111 1111'],
    ['https://alice:hunter2@example.com/', 'hunter2'],
    ['Tool/1.0 Zm9vYmFyYmF6cXV4MTIzNDU2', 'Zm9vYmFyYmF6cXV4MTIzNDU2'],
    ['-----BEGIN PRIVATE KEY-----\nMIIE', 'MIIE'],
  ])('masks the secret in %j', (value, secret) => {
    expect(scrub(value)).not.toContain(secret)
    expect(scrub(value)).toContain(masked)
  })

  test('cuts what is too long, and overlooks no secret that lies across the cut', () => {
    const value = `${'a '.repeat(valueCharsMax / 2 - 5)}${jwt}`
    expect(scrub(value).length).toBeLessThanOrEqual(valueCharsMax + 1)
    expect(scrub(value)).not.toContain('eyJ')
  })

  test.each([
    ['https://shop.example.com/orders?token=abc#frag', `https://shop.example.com/orders?${masked}`],
    ['/callback?code=4%2F0Ab', `/callback?${masked}`],
    ['/reset/7f3a9c1e5b2d', `/reset/${masked}`],
    ['<https://a.example/x?y=1>; rel="next"', `<https://a.example/x?${masked}>; rel="next"`],
  ])('drops query and fragment of the address %s', (value, shown) => {
    expect(scrubAddress(value)).toBe(shown)
  })

  test('takes no longer for a value made to be slow', () => {
    for (const piece of ['a', 'a@', 'secret', 'eyJaaaaa.', '4 ', '-', '//', 'bearer ', 'a.', '@a.', 'token=']) {
      const value = piece.repeat(20_000)
      const from = performance.now()
      scrub(value)
      scrubAddress(value)
      expect(performance.now() - from, piece).toBeLessThan(100)
    }
  })

  test('never throws, and never shows a key that it knows the form of', () => {
    const text = fc.string({ unit: 'grapheme', maxLength: 80 })
    fc.assert(
      fc.property(text, text, (before, after) => {
        const shown = scrub(`${before} sk_live_Canary7Value9 ${after}`)
        expect(shown).not.toContain('Canary7Value9')
      }),
    )
  })
})

describe('O2: paths', () => {
  const mask = pathMask('/v1/orders/{id}/lines/{line}')
  const reset = pathMask('/reset-password/{token}')

  test('shows the words of the template and harmless values', () => {
    expect(mask('/v1/orders/42/lines/7')).toBe('/v1/orders/42/lines/7')
  })

  test('masks a value that looks like a secret, and only it', () => {
    expect(mask(`/v1/orders/${jwt}/lines/7`)).toBe(`/v1/orders/${masked}/lines/7`)
  })

  test('masks every value of a parameter whose name says what it holds', () => {
    expect(reset('/reset-password/42')).toBe(`/reset-password/${masked}`)
  })

  test('shows a literal of the template even when it would look like a secret elsewhere', () => {
    expect(pathMask('/oauth/client-secret')('/oauth/client-secret')).toBe('/oauth/client-secret')
  })

  test('masks secrets in a path that no template describes', () => {
    expect(pathMask('/*')('/wp-admin/pk_live_51HxQ2eZv/x')).toBe(`/wp-admin/${masked}/x`)
  })

  test('cuts a path of endless segments', () => {
    expect(pathMask('/*')('/a'.repeat(8_000)).length).toBeLessThan(valueCharsMax + 10)
  })
})

describe('O2: what fitted a rule', () => {
  test.each([
    ['ARGS:q', "1' OR '1'='1"],
    ['ARGS:json.order.note', '<script>alert(1)</script>'],
    ['REQUEST_URI', '../../../../etc/passwd'],
    ['REQUEST_HEADERS:User-Agent', 'sqlmap/1.7'],
  ])('shows the attack in %s', (variable, data) => {
    expect(matchedData(variable, data)).toBe(data)
  })

  test.each([
    'REQUEST_COOKIES:theme',
    'REQUEST_HEADERS:Authorization',
    'REQUEST_HEADERS:Cookie',
    'REQUEST_HEADERS:X-Api-Key',
    'RESPONSE_HEADERS:Set-Cookie',
    'ARGS:password',
    'ARGS:json.user.newPassword',
    'ARGS:access_token',
    'ARGS:json.contact.email',
  ])('shows nothing of %s', (variable) => {
    expect(matchedData(variable, "' OR 1=1")).toBeUndefined()
  })

  test('masks a secret that stands beside the attack, and cuts', () => {
    expect(matchedData('REQUEST_BODY', "password=hunter2&q=' or 1=1")).not.toContain('hunter2')
    expect(matchedData('ARGS:q', 'a '.repeat(500))).toHaveLength(101)
  })

  test.each([
    ['ARGS:json.items.0.note', 'ARGS:json.items.0.note'],
    ['ARGS_NAMES:sort-by', 'ARGS_NAMES:sort-by'],
    ['ARGS:new_password', 'ARGS:new_password'],
    [`ARGS:${jwt}`, `ARGS:${masked}.${masked}.${masked}`],
    ["ARGS_NAMES:x' OR 1=1", `ARGS_NAMES:${masked}`],
    ['ARGS:a.pk_live_51HxQ2eZv.b', `ARGS:a.${masked}.b`],
    ['REQUEST_LINE', 'REQUEST_LINE'],
  ])('the name of %s is shown as %s', (variable, shown) => {
    expect(matchedVariable(variable)).toBe(shown)
  })
})
