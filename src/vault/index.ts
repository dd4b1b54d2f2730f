export {
  type FollowedSecrets,
  type KeyInfo,
  type KeyRing,
  type KeyRingOptions,
  openKeyRing,
  type PurposeInfo,
  type Sealer,
} from './key-ring.ts'
export {
  type KeyCommand,
  type MasterKey,
  masterKeyFrom,
  masterKeyOfText,
  passingKey,
  refuseReadable,
  type SecretsSettings,
} from './master-key.ts'
export { type Resealed, resealVault } from './reseal.ts'
export { hasVault } from './roots.ts'
export { SealBroken } from './sealing.ts'
