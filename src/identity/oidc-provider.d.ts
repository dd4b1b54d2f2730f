declare module 'oidc-provider/lib/helpers/grants.js' {
  import type { KoaContextWithOIDC, Provider } from 'oidc-provider'

  interface DpopProof {
    readonly thumbprint: string
    readonly jti: string
    readonly iat: number
  }

  export function validateDpop(provider: Provider, context: KoaContextWithOIDC): Promise<DpopProof | undefined>
  export function checkDpopReplay(
    provider: Provider,
    context: KoaContextWithOIDC,
    proof: DpopProof,
    client: string,
  ): Promise<void>
  export function checkDpopRequired(provider: Provider, context: KoaContextWithOIDC, proof: DpopProof | undefined): void
  export function checkMtlsCert(provider: Provider, context: KoaContextWithOIDC): string | undefined
}
