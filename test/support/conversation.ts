/** `conversation(title, body)` for vitest. */

import { test } from 'vitest'
import { type Converse, createConversation } from '../../src/testing/conversation.ts'

export const conversation: Converse = createConversation(test)
