// What `console.log` shows of a message on Node: what it says, not how it is kept.
import { inspect } from 'node:util'
import { expect, it } from 'vitest'
import { encodeUtf8 } from '../src/core/bytes/utf8.ts'
import { IncomingMessage } from '../src/core/packets/publish.ts'
import { ReceivedTopics } from '../src/core/packets/received-topics.ts'
import '../src/index.ts'

it('is shown as the fields that a handler reads', () => {
  const bytes = encodeUtf8('a/bhi')
  const name = new ReceivedTopics().read(bytes, 0, 3)
  const message = new IncomingMessage(name, 3, 7, undefined, bytes.buffer, 3, 5)
  expect(inspect(message).replaceAll(/\s+/g, ' ')).toBe(
    "{ topic: 'a/b', payload: Uint8Array(2) [ 104, 105 ], qos: 1, retain: true, dup: false, packetId: 7, " +
      'properties: undefined }',
  )
})
