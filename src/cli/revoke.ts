import type { Command } from 'commander'
import { newCommand, run } from './command.ts'
import { revoke } from './key.ts'

/** `portcullis revoke …`: what is typed in a hurry has one word. */
export function command(): Command {
  return newCommand('revoke', 'end API keys for good; the same as `key revoke`', [
    ['portcullis revoke <id>', 'a running gate refuses the key from now on'],
  ])
    .argument('<id...>', 'from `portcullis key list`')
    .action(run(revoke))
}
