import { ConfigError } from '../base/errors.ts'
import type { ApiDocument, MediaType, Parameter, SchemaRef } from './operation.ts'

/**
 * Compiles every schema that an operation's requests or answers are judged by, and tells what cannot be compiled. A
 * gate compiles each on first use; this is for those who want to know beforehand.
 */
export function schemaProblems(document: ApiDocument): ConfigError[] {
  const problems = new Map<string, ConfigError>()
  const compile = (schema: SchemaRef | undefined, direction: 'request' | 'response') => {
    if (schema === undefined) return
    try {
      document.validator(schema, direction)(undefined)
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      const { file, line, column } = error.place ?? { file: schema.uri, line: 0, column: 0 }
      problems.set(`${file}:${line}:${column} ${error.message}`, error)
    }
  }
  const compileContent = (content: readonly MediaType[], direction: 'request' | 'response') => {
    for (const { schema, itemSchema, encoding } of content) {
      compile(schema, direction)
      compile(itemSchema, direction)
      for (const { headers } of Object.values(encoding)) compileParameters(Object.values(headers), direction)
    }
  }
  const compileParameters = (parameters: readonly Parameter[], direction: 'request' | 'response') => {
    for (const { schema, content } of parameters) {
      compile(schema, direction)
      if (content !== undefined) compileContent([content], direction)
    }
  }
  for (const { parameters, requestBody, responses } of document.operations) {
    compileParameters(parameters, 'request')
    compileContent(requestBody?.content ?? [], 'request')
    for (const { headers, content } of Object.values(responses)) {
      compileParameters(Object.values(headers), 'response')
      compileContent(content, 'response')
    }
  }
  return [...problems.values()]
}
