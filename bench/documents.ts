/*
 * Documents of any size, for what grows with them. Each path has a GET with a parameter and a POST with a body of its
 * own schema, so that nothing is shared that would not be shared in life.
 */

const text = (maxLength: number) => ({ type: 'string', maxLength })

function recordSchema(n: number): object {
  return {
    type: 'object',
    required: ['customer', 'lines'],
    properties: {
      customer: text(40),
      note: text(200),
      currency: { type: 'string', enum: ['EUR', 'USD', `X${n}`] },
      lines: {
        type: 'array',
        maxItems: 100,
        items: {
          type: 'object',
          required: ['sku', 'quantity'],
          properties: {
            sku: { type: 'string', pattern: '^[a-z0-9-]{1,40}$' },
            quantity: { type: 'integer', minimum: 1, maximum: 1000 + n },
            note: text(100),
          },
        },
      },
    },
  }
}

/** Half of `operations` paths with two operations each; `security` stands at every operation. */
export function documentWith(operations: number, security: readonly object[] = []): object {
  const paths: Record<string, object> = {}
  const schemas: Record<string, object> = {
    Answer: {
      type: 'object',
      required: ['id'],
      properties: { id: { type: 'integer' }, item: text(100), quantity: { type: 'integer' }, note: text(500) },
    },
  }
  const json = (name: string) => ({ 'application/json': { schema: { $ref: `#/components/schemas/${name}` } } })
  const responses = { 200: { description: 'One.', content: json('Answer') } }
  for (let n = 0; n < operations / 2; n++) {
    schemas[`Record${n}`] = recordSchema(n)
    paths[n % 2 === 0 ? `/things-${n}/{id}` : `/area-${n % 10}/things-${n}/{id}/parts`] = {
      get: {
        operationId: `getThing${n}`,
        security,
        parameters: [
          { name: 'id', in: 'path', required: true, schema: { type: 'integer' } },
          { name: 'page', in: 'query', schema: { type: 'integer', minimum: 1 } },
        ],
        responses,
      },
      post: {
        operationId: `putThing${n}`,
        security,
        parameters: [{ name: 'id', in: 'path', required: true, schema: { type: 'integer' } }],
        requestBody: { required: true, content: json(`Record${n}`) },
        responses,
      },
    }
  }
  return {
    openapi: '3.1.0',
    info: { title: `${operations} operations`, version: '1' },
    components: { securitySchemes: { key: { type: 'apiKey', in: 'header', name: 'X-API-Key' } }, schemas },
    paths,
  }
}

/** A path that a request may ask for, of the `n`th path of such a document. */
export function pathAt(n: number): string {
  return n % 2 === 0 ? `/things-${n}/7` : `/area-${n % 10}/things-${n}/7/parts`
}

/** A body that the POST of each of these paths takes. */
export const recordBody = JSON.stringify({
  customer: 'c-1029384756',
  note: 'Leave it at the gate, please.',
  currency: 'EUR',
  lines: Array.from({ length: 11 }, (_, i) => ({
    sku: `iron-gate-${String(i).padStart(4, '0')}`,
    quantity: i + 1,
    note: 'painted black, lockable',
  })),
})
