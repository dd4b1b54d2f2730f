/** What a rule is shown. A text alone stands once as a value of the query and once as a string in JSON. */
export type Shown =
  | string
  | {
      readonly query?: string
      /** A string in a JSON body. */
      readonly json?: string
      /** A JSON body as it is. */
      readonly body?: string
      readonly form?: string
      readonly xml?: string
      /** The header lines of a part that is a field. */
      readonly part?: string
      /** The target of the request as it is. */
      readonly uri?: string
      readonly headers?: Readonly<Record<string, string>>
      readonly response?: string
    }

/** By rule: what it must find, and what must pass all rules of its level. */
export type Cases = Readonly<Record<number, { readonly finds: readonly Shown[]; readonly passes: readonly Shown[] }>>
