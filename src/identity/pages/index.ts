export { createPages, type Pages } from './page.ts'
export { authenticationClaims, peopleConfiguration } from './provider.ts'
export { type InteractionRoutes, interactionRoutes } from './routes.ts'
