export { hasVault, type KeyRing, type KeyRingOptions, openKeyRing, SealBroken } from './key-ring.ts'
export { type KeyCommand, type MasterKey, masterKeyFrom, passingKey, type SecretsSettings } from './master-key.ts'
