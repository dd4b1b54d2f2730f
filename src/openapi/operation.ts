import type { ConfigError, Place } from '../base/errors.ts'

/** A JSON Schema as it stands in the document, after the upgrade to OpenAPI 3.1 terms. */
export type Schema = boolean | { readonly [keyword: string]: unknown }

/**
 * A schema together with where it stands, so that references resolve and errors can name the place.
 * `uri` is the document's own absolute URI with a JSON Pointer fragment.
 */
export interface SchemaRef {
  readonly uri: string
  readonly schema: Schema
}

/** One operation of an API, or one of the two an API has for what its document does not list. */
export interface Operation {
  readonly kind: 'listed' | 'unlisted-path' | 'unlisted-method'
  /** The API's name in the configuration. */
  readonly api: string
  /** The version's name in the configuration, where there are several. */
  readonly version: string | undefined
  /** `operationId`, else `GET /orders/{id}`. Unique within the API; label of metrics and log. */
  readonly id: string
  /** Upper case; `*` for an unlisted path or method. */
  readonly method: string
  /** The path template with the server's base path: `/v1/orders/{id}`. */
  readonly path: string
  readonly tags: readonly string[]
  readonly summary: string | undefined
  readonly deprecated: boolean
  /** Path-level and operation-level parameters merged; references resolved. */
  readonly parameters: readonly Parameter[]
  readonly requestBody: RequestBody | undefined
  /** By `200`, `2XX`, `default`. */
  readonly responses: Readonly<Record<string, ResponseSpec>>
  /**
   * What the document asks of callers: any one of these, each with all of its schemes. `[]` says open to everyone, `undefined` says that
   * the document is silent, at the operation and at the top.
   */
  readonly security: readonly SecurityRequirement[] | undefined
  /** Methods that the path does list; for 405's `Allow`. */
  readonly allow: readonly string[]
  /** What `x-portcullis` says at the document, the path and the operation, merged in this order. */
  readonly policy: Readonly<Record<string, unknown>>
  /** Where the operation stands in the document. */
  readonly place: Place | undefined
  /** The document it stands in; for validators. */
  readonly document: ApiDocument
}

export interface Parameter {
  readonly name: string
  readonly in: 'path' | 'query' | 'querystring' | 'header' | 'cookie'
  readonly required: boolean
  readonly deprecated: boolean
  readonly style: 'simple' | 'label' | 'matrix' | 'form' | 'spaceDelimited' | 'pipeDelimited' | 'deepObject' | 'cookie'
  readonly explode: boolean
  readonly allowReserved: boolean
  readonly allowEmptyValue: boolean
  readonly schema: SchemaRef | undefined
  /** A parameter may be serialised as a media type instead of by style. */
  readonly content: MediaType | undefined
}

export interface RequestBody {
  readonly required: boolean
  readonly content: readonly MediaType[]
}

export interface ResponseSpec {
  readonly description: string
  readonly headers: Readonly<Record<string, Parameter>>
  readonly content: readonly MediaType[]
}

export interface MediaType {
  /** As written, lower case: `application/json`, `image/*`, any. */
  readonly type: string
  readonly schema: SchemaRef | undefined
  /** OpenAPI 3.2: the schema of each item of a streamed sequence. */
  readonly itemSchema: SchemaRef | undefined
  /** For forms and multipart: per property. */
  readonly encoding: Readonly<Record<string, Encoding>>
}

export interface Encoding {
  readonly contentType: string | undefined
  readonly style: Parameter['style'] | undefined
  readonly explode: boolean | undefined
  readonly allowReserved: boolean
  readonly headers: Readonly<Record<string, Parameter>>
}

/** Scheme names of one alternative with the scopes or roles asked of each. */
export type SecurityRequirement = ReadonlyMap<string, readonly string[]>

/** A security scheme of the document. */
export interface SecurityScheme {
  readonly name: string
  readonly type: 'apiKey' | 'http' | 'oauth2' | 'openIdConnect' | 'mutualTLS'
  /** For `apiKey`: where and under which name. */
  readonly in: 'header' | 'query' | 'cookie' | undefined
  readonly parameterName: string | undefined
  /** For `http`: `basic`, `bearer`, … in lower case. */
  readonly httpScheme: string | undefined
}

/** An OpenAPI document, loaded, upgraded, its overlays applied. */
export interface ApiDocument {
  readonly title: string
  readonly version: string
  /** The version it was written in: `2.0`, `3.0.3`, `3.1.0`, `3.2.0`. */
  readonly openapi: string
  /** The paths of the first server's URL or of `basePath`: where operations are mounted. No trailing slash. */
  readonly basePath: string
  readonly operations: readonly Operation[]
  readonly securitySchemes: ReadonlyMap<string, SecurityScheme>
  /** The files it was read from, for watching. */
  readonly files: readonly string[]
  /** What is odd in the document but clear enough to serve it. `check` prints them. */
  readonly warnings: readonly ConfigError[]
  /** Compiles a schema on first use and caches it. Throws `ConfigError` at the schema's place. */
  readonly validator: (schema: SchemaRef, direction: 'request' | 'response', options?: ValidateOptions) => Validate
  /** What `x-portcullis` says at schemas. */
  readonly marks?: DocumentMarks
}

export interface DocumentMarks {
  /** Whether any schema may be marked at all. */
  readonly any: boolean
  /** Worked out as it is asked for. */
  readonly of: (schema: SchemaRef) => SchemaMarks
}

/** How strictly a value is compared with its schema, and how much is told of what does not fit. */
export interface ValidateOptions {
  /** Whether properties that no schema lists are refused where the document does not speak of others. Default: refuse. */
  readonly unknown?: 'refuse' | 'allow'
  /** Errors told at most. Default: 50. */
  readonly errorsMax?: number
}

/** Says everything that is wrong with a value; the empty list means valid. */
export interface Validate {
  (value: unknown): readonly SchemaError[]
  /** What the schema says of its values' form; for reading text, such as a query, as values. */
  readonly outline?: SchemaOutline
  /** How far the schema binds its values; told on first use. */
  readonly form?: ValueForm
}

/** What `x-portcullis` says at the schemas of one place of a value, and of the places below it. */
export interface SchemaMarks {
  /** At this place, with where each was written. */
  readonly marks: readonly { readonly value: Readonly<Record<string, unknown>>; readonly at: string }[]
  readonly property: (name: string) => SchemaMarks | undefined
  /** Every item of a list alike. */
  readonly items: SchemaMarks | undefined
  /** All that can be reached from here: names of properties, and marks with the name of the property they stand at. */
  readonly reach: {
    readonly names: ReadonlySet<string>
    readonly marked: readonly {
      readonly name: string
      readonly value: Readonly<Record<string, unknown>>
      readonly at: string
      readonly node: SchemaMarks
    }[]
  }
}

/** What can be told of a schema's values without having one, alternatives taken together. */
export interface SchemaOutline {
  /** Empty: any. */
  readonly types: ReadonlySet<string>
  readonly properties: ReadonlyMap<string, SchemaRef>
  readonly items: SchemaRef | undefined
  /** Whether an object may have properties that are not listed. */
  readonly open: boolean
  readonly formats: ReadonlySet<string>
}

/** What a schema asks of a text beside its being one. */
export type TextFact =
  | { readonly kind: 'values'; readonly values: ReadonlySet<string> }
  | { readonly kind: 'format'; readonly format: string }
  | { readonly kind: 'pattern'; readonly source: string }
  | { readonly kind: 'length'; readonly max: number }

/**
 * How far a schema binds the values of one place: what is told here holds for every value that fits it. Where alternatives
 * make it hard to tell, less is told.
 */
export interface ValueForm {
  /** What a text may be: any one of these, each with facts that hold together. None: no text fits. One without facts: any does. */
  readonly texts: readonly (readonly TextFact[])[]
  /** Whether a number, a truth value or null fits. */
  readonly hasLiterals: boolean
  /** Whether a list fits. */
  readonly hasLists: boolean
  /** Properties that every alternative lists. */
  readonly properties: ReadonlyMap<string, ValueForm>
  readonly items: ValueForm | undefined
}

export interface SchemaError {
  /** JSON Pointer to the value that does not fit. */
  readonly pointer: string
  readonly keyword: string
  /** What was expected, and what kind of thing was found. Never the value. */
  readonly detail: string
}
