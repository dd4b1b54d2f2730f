/*
 * The document of the API that `waf-requests.ts` asks, as its authors would write it: what is free text stays free text.
 * The firewall's spec-aware rows are measured with it.
 */

const line = {
  type: 'object',
  properties: {
    sku: { type: 'string', pattern: '^[a-z0-9-]{1,40}$' },
    quantity: { type: 'integer', minimum: 1 },
    n: { type: 'integer', minimum: 1 },
    cents: { type: 'integer', minimum: 0 },
    city: { type: 'string', maxLength: 60 },
    note: { type: 'string', maxLength: 200 },
  },
}

const order = {
  type: 'object',
  properties: {
    id: { type: 'string', pattern: '^c-[0-9]{10}$' },
    note: { type: 'string', maxLength: 1_000 },
    text: { type: 'string', maxLength: 20_000 },
    express: { type: 'boolean' },
    currency: { type: 'string', enum: ['EUR', 'USD'] },
    lines: { type: 'array', maxItems: 200, items: line },
  },
}

const query = (name: string, schema: object) => ({ name, in: 'query', schema })
const responses = { 200: { description: 'Done.', content: { 'application/json': { schema: { type: 'object' } } } } }

export const wafDocument = {
  openapi: '3.1.0',
  info: { title: 'Orders', version: '1' },
  security: [],
  paths: {
    '/v1/orders/{id}': {
      get: {
        operationId: 'getOrder',
        parameters: [
          { name: 'id', in: 'path', required: true, schema: { type: 'integer' } },
          query('page', { type: 'integer', minimum: 1 }),
          query('sort', { type: 'string', enum: ['created_at', 'cents'] }),
          query('status', { type: 'string', enum: ['open', 'sent'] }),
          { name: 'X-Request-Id', in: 'header', schema: { type: 'string', format: 'uuid' } },
        ],
        responses,
      },
    },
    '/v1/orders': {
      post: {
        operationId: 'createOrder',
        parameters: [{ name: 'X-Request-Id', in: 'header', schema: { type: 'string', format: 'uuid' } }],
        requestBody: { required: true, content: { 'application/json': { schema: order } } },
        responses,
      },
    },
  },
}
