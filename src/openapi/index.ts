export { type LoadOptions, loadDocument, policyPlace, unlistedOperations } from './document.ts'
export { lintDocument } from './lint.ts'
export type {
  ApiDocument,
  Encoding,
  MediaType,
  Operation,
  Parameter,
  RequestBody,
  ResponseSpec,
  Schema,
  SchemaError,
  SchemaRef,
  SecurityRequirement,
  SecurityScheme,
  Validate,
  ValidateOptions,
} from './operation.ts'
export { schemaProblems } from './schema-problems.ts'
export { parseSelector, type Selector } from './select.ts'
