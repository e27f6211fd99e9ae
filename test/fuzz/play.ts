// Plays seeds: the part of a worker, and of the test that is always run.

import { converseWithClient } from './client-conversation.ts'
import type { ConversationResult } from './conversation-result.ts'
import { converseWithCore } from './core-conversation.ts'
import { checkInput, type InputResult, inputOf, LONGEST_INPUT } from './decoding.ts'

/** Every tenth conversation is a whole client's; it costs ten times as much. */
const CLIENT_EVERY = 10

/** What takes too long is tried again: the machine may be busy, and slow is only what is slow each time. */
export function playInput(seed: number, longest: number = LONGEST_INPUT): InputResult {
  const input = inputOf(seed)
  let result = checkInput(input)
  for (let again = 0; again < 5 && result.took > longest; again++) result = checkInput(input)
  if (result.took <= longest) return result
  return { ...result, failures: [...result.failures, `took ${Math.round(result.took)} ms`] }
}

export function playConversation(seed: number): ConversationResult | Promise<ConversationResult> {
  return seed % CLIENT_EVERY === 0 ? converseWithClient(seed) : converseWithCore(seed)
}
