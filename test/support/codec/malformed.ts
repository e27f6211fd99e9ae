// Bytes that no peer may send, typed by hand from the statements that they break. `BOTH_VERSIONS` rows have one
// column of hex for 3.1.1 and one for 5; the others stand for one version. What needs more than the bytes of one
// packet to be wrong (an alias above the maximum, a second CONNACK) is not here: that is the connection's.

import type { ProtocolVersion } from '../../../src/core/packets/types.ts'
import { hex } from './hex.ts'
import type { Sender } from './specification.ts'

export interface MalformedInput {
  readonly title: string
  readonly version: ProtocolVersion
  readonly sender: Sender
  readonly bytes: Uint8Array
  readonly reasonCode: number
}

/** 5: 2.4. Bytes that cannot be read; bytes that can be, and say what they may not. */
const MALFORMED = 0x81
const PROTOCOL_ERROR = 0x82
const UNSUPPORTED_VERSION = 0x84

type Row = readonly [title: string, sender: Sender, bytes: string, reasonCode?: number | undefined]
type RowOfBoth = readonly [
  title: string,
  sender: Sender,
  bytes311: string,
  bytes5: string,
  reasonCode?: number,
]

const BOTH_VERSIONS: readonly RowOfBoth[] = [
  // Strings, in each place where both versions have one.
  [
    'a topic with a surrogate [3.1.1 MQTT-1.5.3-1] [5 MQTT-1.5.4-1] [3.1.1 MQTT-3.3.2-1] [5 MQTT-3.3.2-1]',
    'server',
    '30 05 0003 eda080',
    '30 06 0003 eda080 00',
  ],
  [
    'a topic with a pair of surrogates in CESU-8 [3.1.1 MQTT-1.5.3-1] [5 MQTT-1.5.4-1]',
    'server',
    '30 08 0006 eda0bd edb880',
    '30 09 0006 eda0bd edb880 00',
  ],
  [
    'a topic with an overlong form [3.1.1 MQTT-1.5.3-1] [5 MQTT-1.5.4-1]',
    'server',
    '30 04 0002 c080',
    '30 05 0002 c080 00',
  ],
  [
    'a topic that ends within a character [3.1.1 MQTT-1.5.3-1] [5 MQTT-1.5.4-1]',
    'server',
    '30 05 0003 "a" e282',
    '30 06 0003 "a" e282 00',
  ],
  [
    'a topic with U+0000 [3.1.1 MQTT-1.5.3-2] [5 MQTT-1.5.4-2] [3.1.1 MQTT-4.7.3-2] [5 MQTT-4.7.3-2]',
    'server',
    '30 04 0002 "a" 00',
    '30 05 0002 "a" 00 00',
  ],
  [
    'a client identifier with a surrogate [3.1.1 MQTT-3.1.3-4] [5 MQTT-3.1.3-4]',
    'client',
    '10 0f 0004 "MQTT" 04 02 003c 0003 eda080',
    '10 10 0004 "MQTT" 05 02 003c 00 0003 eda080',
  ],
  [
    'a client identifier with U+0000 [3.1.1 MQTT-1.5.3-2] [5 MQTT-1.5.4-2]',
    'client',
    '10 0d 0004 "MQTT" 04 02 003c 0001 00',
    '10 0e 0004 "MQTT" 05 02 003c 00 0001 00',
  ],
  [
    'a will topic that is not UTF-8 [3.1.1 MQTT-3.1.3-10] [5 MQTT-3.1.3-11]',
    'client',
    '10 11 0004 "MQTT" 04 06 003c 0000 0001 ff 0000',
    '10 13 0004 "MQTT" 05 06 003c 00 0000 00 0001 ff 0000',
  ],
  [
    'a user name that is not UTF-8 [3.1.1 MQTT-3.1.3-11] [5 MQTT-3.1.3-12]',
    'client',
    '10 0f 0004 "MQTT" 04 82 003c 0000 0001 80',
    '10 10 0004 "MQTT" 05 82 003c 00 0000 0001 80',
  ],
  [
    'a filter of a SUBSCRIBE that is not UTF-8 [3.1.1 MQTT-3.8.3-1] [5 MQTT-3.8.3-1]',
    'client',
    '82 07 0001 0002 c3 28 00',
    '82 08 0001 00 0002 c3 28 00',
  ],
  [
    'a filter of an UNSUBSCRIBE that is not UTF-8 [3.1.1 MQTT-3.10.3-1] [5 MQTT-3.10.3-1]',
    'client',
    'a2 06 0001 0002 c3 28',
    'a2 07 0001 00 0002 c3 28',
  ],

  // The fixed header.
  [
    'a Remaining Length of five bytes (3.1.1: 2.2.3, 5: 2.1.4)',
    'server',
    'd0 80 80 80 80 01',
    'd0 80 80 80 80 01',
  ],
  [
    'a CONNACK with the flags 0001 [3.1.1 MQTT-2.2.2-1] [3.1.1 MQTT-2.2.2-2] [5 MQTT-2.1.3-1]',
    'server',
    '21 02 00 00',
    '21 03 00 00 00',
  ],
  [
    'a PUBACK with the flags 0001 [3.1.1 MQTT-2.2.2-2] [5 MQTT-2.1.3-1]',
    'server',
    '41 02 0001',
    '41 02 0001',
  ],
  [
    'a PUBREC with the flags 0010 [3.1.1 MQTT-2.2.2-2] [5 MQTT-2.1.3-1]',
    'server',
    '52 02 0001',
    '52 02 0001',
  ],
  [
    'a PUBREL with the flags 0000 [3.1.1 MQTT-3.6.1-1] [5 MQTT-3.6.1-1]',
    'server',
    '60 02 0001',
    '60 02 0001',
  ],
  [
    'a PUBCOMP with the flags 0001 [3.1.1 MQTT-2.2.2-2] [5 MQTT-2.1.3-1]',
    'server',
    '71 02 0001',
    '71 02 0001',
  ],
  [
    'a SUBACK with the flags 0010 [3.1.1 MQTT-2.2.2-2] [5 MQTT-2.1.3-1]',
    'server',
    '92 03 0001 00',
    '92 04 0001 00 00',
  ],
  [
    'an UNSUBACK with the flags 0001 [3.1.1 MQTT-2.2.2-2] [5 MQTT-2.1.3-1]',
    'server',
    'b1 02 0001',
    'b1 04 0001 00 00',
  ],
  ['a PINGRESP with the flags 0001 [3.1.1 MQTT-2.2.2-2] [5 MQTT-2.1.3-1]', 'server', 'd1 00', 'd1 00'],
  [
    'a SUBSCRIBE with the flags 0000 [3.1.1 MQTT-3.8.1-1] [5 MQTT-3.8.1-1]',
    'client',
    '80 06 0001 0001 "a" 00',
    '80 07 0001 00 0001 "a" 00',
  ],
  [
    'an UNSUBSCRIBE with the flags 0000 [3.1.1 MQTT-3.10.1-1] [5 MQTT-3.10.1-1]',
    'client',
    'a0 05 0001 0001 "a"',
    'a0 06 0001 00 0001 "a"',
  ],
  [
    'a DISCONNECT of a client with the flags 0001 [3.1.1 MQTT-3.14.1-1] [5 MQTT-3.14.1-1]',
    'client',
    'e1 00',
    'e1 00',
  ],
  ['the reserved packet type 0 (3.1.1: 2.2.1, 5: 2.1.2)', 'server', '00 00', '00 00'],
  [
    'a CONNECT from the server (3.1.1: 2.2.1, 5: 2.1.2) [3.1.1 MQTT-4.8.0-1]',
    'server',
    '10 0c 0004 "MQTT" 04 02 003c 0000',
    '10 0d 0004 "MQTT" 05 02 003c 00 0000',
    PROTOCOL_ERROR,
  ],
  [
    'a SUBSCRIBE from the server (3.1.1: 2.2.1, 5: 2.1.2)',
    'server',
    '82 06 0001 0001 "a" 00',
    '82 07 0001 00 0001 "a" 00',
    PROTOCOL_ERROR,
  ],
  [
    'an UNSUBSCRIBE from the server (3.1.1: 2.2.1, 5: 2.1.2)',
    'server',
    'a2 05 0001 0001 "a"',
    'a2 06 0001 00 0001 "a"',
    PROTOCOL_ERROR,
  ],
  ['a PINGREQ from the server (3.1.1: 2.2.1, 5: 2.1.2)', 'server', 'c0 00', 'c0 00', PROTOCOL_ERROR],

  // PUBLISH.
  [
    'a PUBLISH with QoS 3 [3.1.1 MQTT-3.3.1-4] [5 MQTT-3.3.1-4]',
    'server',
    '36 05 0001 "a" 0001',
    '36 06 0001 "a" 0001 00',
  ],
  [
    'a PUBLISH with QoS 3, DUP and RETAIN [3.1.1 MQTT-3.3.1-4] [5 MQTT-3.3.1-4]',
    'server',
    '3f 05 0001 "a" 0001',
    '3f 06 0001 "a" 0001 00',
  ],
  [
    'a PUBLISH with QoS 0 and DUP 1 [3.1.1 MQTT-3.3.1-2] [5 MQTT-3.3.1-2] [3.1.1 MQTT-4.3.1-1] [5 MQTT-4.3.1-1]',
    'server',
    '38 03 0001 "a"',
    '38 04 0001 "a" 00',
  ],
  ['an empty PUBLISH [3.1.1 MQTT-3.3.2-1] [5 MQTT-3.3.2-1]', 'server', '30 00', '30 00'],
  [
    'a PUBLISH that ends within the length of its topic [3.1.1 MQTT-4.8.0-1]',
    'server',
    '30 01 00',
    '30 01 00',
  ],
  [
    'a PUBLISH whose topic is longer than the packet [3.1.1 MQTT-4.8.0-1]',
    'server',
    '30 05 0004 "abc"',
    '30 05 0004 "abc"',
  ],
  ['a PUBLISH whose topic claims 65,535 bytes', 'server', '30 03 ffff "a"', '30 03 ffff "a"'],
  [
    'a PUBLISH with QoS 1 and no packet identifier [3.1.1 MQTT-2.3.1-1] [5 MQTT-2.2.1-4]',
    'server',
    '32 03 0001 "a"',
    '32 03 0001 "a"',
  ],
  [
    'a PUBLISH with QoS 2 that ends within its packet identifier [3.1.1 MQTT-2.3.1-1] [5 MQTT-2.2.1-4]',
    'server',
    '34 04 0001 "a" 00',
    '34 04 0001 "a" 00',
  ],
  [
    'a PUBLISH with QoS 1 and the packet identifier 0 [3.1.1 MQTT-2.3.1-1] [3.1.1 MQTT-2.3.1-4] [5 MQTT-2.2.1-4]',
    'server',
    '32 05 0001 "a" 0000',
    '32 06 0001 "a" 0000 00',
  ],
  [
    'a PUBLISH of a client with QoS 2 and the packet identifier 0 [3.1.1 MQTT-2.3.1-1] [5 MQTT-2.2.1-3]',
    'client',
    '34 05 0001 "a" 0000',
    '34 06 0001 "a" 0000 00',
  ],
  [
    'a PUBLISH to a/# [3.1.1 MQTT-3.3.2-2] [5 MQTT-3.3.2-2] [3.1.1 MQTT-4.7.1-1] [5 MQTT-4.7.0-1]',
    'server',
    '30 05 0003 "a/#"',
    '30 06 0003 "a/#" 00',
    PROTOCOL_ERROR,
  ],
  [
    'a PUBLISH to + [3.1.1 MQTT-3.3.2-2] [5 MQTT-3.3.2-2]',
    'server',
    '30 03 0001 "+"',
    '30 04 0001 "+" 00',
    PROTOCOL_ERROR,
  ],
  [
    'a PUBLISH to a long topic with a wildcard at its end [3.1.1 MQTT-3.3.2-2] [5 MQTT-3.3.2-2]',
    'server',
    `30 af02 012d ${'61'.repeat(300)} 2b`,
    `30 b002 012d ${'61'.repeat(300)} 2b 00`,
    PROTOCOL_ERROR,
  ],

  // Acknowledgements.
  ...(['40', '50', '62', '70'] as const).flatMap((header): readonly RowOfBoth[] => [
    [
      `an acknowledgement of length 0: ${header} [3.1.1 MQTT-2.3.1-6] [5 MQTT-2.2.1-5]`,
      'server',
      `${header} 00`,
      `${header} 00`,
    ],
    [
      `an acknowledgement of length 1: ${header} [3.1.1 MQTT-2.3.1-6] [5 MQTT-2.2.1-5]`,
      'server',
      `${header} 01 00`,
      `${header} 01 00`,
    ],
    [
      `an acknowledgement for the packet identifier 0: ${header} [3.1.1 MQTT-2.3.1-6] [5 MQTT-2.2.1-5]`,
      'server',
      `${header} 02 0000`,
      `${header} 02 0000`,
    ],
  ]),

  // CONNACK.
  ['a CONNACK of length 0', 'server', '20 00', '20 00'],
  ['a CONNACK of length 1', 'server', '20 01 00', '20 01 00'],
  [
    'a CONNACK with the connect acknowledge flags 2 [3.1.1 MQTT-2.2.2-2] [5 MQTT-3.2.2-1]',
    'server',
    '20 02 02 00',
    '20 03 02 00 00',
  ],
  [
    'a CONNACK with the connect acknowledge flags 0x81 [3.1.1 MQTT-2.2.2-2] [5 MQTT-3.2.2-1]',
    'server',
    '20 02 81 00',
    '20 03 81 00 00',
  ],
  [
    'a CONNACK that refuses and has Session Present 1 [3.1.1 MQTT-3.2.2-4] [5 MQTT-3.2.2-6]',
    'server',
    '20 02 01 05',
    '20 03 01 87 00',
    PROTOCOL_ERROR,
  ],

  // SUBACK and UNSUBACK.
  [
    'a SUBACK for the packet identifier 0 [3.1.1 MQTT-2.3.1-7] [5 MQTT-2.2.1-6]',
    'server',
    '90 03 0000 00',
    '90 04 0000 00 00',
  ],
  ['a SUBACK without a code [3.1.1 MQTT-3.8.4-5] [5 MQTT-3.8.4-6]', 'server', '90 02 0001', '90 03 0001 00'],
  ['a SUBACK of length 1', 'server', '90 01 00', '90 01 00'],
  [
    'a SUBACK with the code 3 [3.1.1 MQTT-3.9.3-2] [5 MQTT-3.9.3-2]',
    'server',
    '90 03 0001 03',
    '90 04 0001 00 03',
    PROTOCOL_ERROR,
  ],
  [
    'a SUBACK with the code 0x81 behind good ones [3.1.1 MQTT-3.9.3-2] [5 MQTT-3.9.3-2]',
    'server',
    '90 05 0001 00 01 81',
    '90 06 0001 00 00 01 81',
    PROTOCOL_ERROR,
  ],
  [
    'an UNSUBACK for the packet identifier 0 [3.1.1 MQTT-2.3.1-7] [5 MQTT-2.2.1-6]',
    'server',
    'b0 02 0000',
    'b0 04 0000 00 00',
  ],
  ['an UNSUBACK of length 1', 'server', 'b0 01 00', 'b0 01 00'],

  // Packets without a body.
  ['a PINGRESP of length 1 (3.13)', 'server', 'd0 01 00', 'd0 01 00'],
  ['a PINGREQ of length 1 (3.12)', 'client', 'c0 01 00', 'c0 01 00'],

  // SUBSCRIBE and UNSUBSCRIBE.
  [
    'a SUBSCRIBE with the packet identifier 0 [3.1.1 MQTT-2.3.1-1] [5 MQTT-2.2.1-3]',
    'client',
    '82 06 0000 0001 "a" 00',
    '82 07 0000 00 0001 "a" 00',
  ],
  [
    'a SUBSCRIBE without a filter [3.1.1 MQTT-3.8.3-3] [5 MQTT-3.8.3-2]',
    'client',
    '82 02 0001',
    '82 03 0001 00',
    PROTOCOL_ERROR,
  ],
  ['a SUBSCRIBE whose filter has no options', 'client', '82 05 0001 0001 "a"', '82 06 0001 00 0001 "a"'],
  [
    'a SUBSCRIBE with QoS 3 [3.1.1 MQTT-3-8.3-4] (5: 3.8.3.1)',
    'client',
    '82 06 0001 0001 "a" 03',
    '82 07 0001 00 0001 "a" 03',
  ],
  [
    'a SUBSCRIBE with a reserved option bit [3.1.1 MQTT-3-8.3-4] [5 MQTT-3.8.3-5]',
    'client',
    '82 06 0001 0001 "a" 80',
    '82 07 0001 00 0001 "a" 80',
  ],
  [
    'a SUBSCRIBE with another reserved option bit [3.1.1 MQTT-3-8.3-4] [5 MQTT-3.8.3-5]',
    'client',
    '82 06 0001 0001 "a" 40',
    '82 07 0001 00 0001 "a" 40',
  ],
  [
    'an UNSUBSCRIBE with the packet identifier 0 [3.1.1 MQTT-2.3.1-1] [5 MQTT-2.2.1-3]',
    'client',
    'a2 05 0000 0001 "a"',
    'a2 06 0000 00 0001 "a"',
  ],
  [
    'an UNSUBSCRIBE without a filter [3.1.1 MQTT-3.10.3-2] [5 MQTT-3.10.3-2]',
    'client',
    'a2 02 0001',
    'a2 03 0001 00',
    PROTOCOL_ERROR,
  ],
  [
    'an UNSUBSCRIBE whose filter is longer than the packet',
    'client',
    'a2 05 0001 0002 "a"',
    'a2 06 0001 00 0002 "a"',
  ],

  // CONNECT.
  [
    'a CONNECT of another protocol [3.1.1 MQTT-3.1.2-1] [5 MQTT-3.1.2-1]',
    'client',
    '10 0c 0004 "HTTP" 04 02 003c 0000',
    '10 0d 0004 "HTTP" 05 02 003c 00 0000',
    UNSUPPORTED_VERSION,
  ],
  [
    'a CONNECT of MQTT 3.1 [3.1.1 MQTT-3.1.2-1] [5 MQTT-3.1.2-2]',
    'client',
    '10 0e 0006 "MQIsdp" 03 02 003c 0000',
    '10 0e 0006 "MQIsdp" 03 02 003c 0000',
    UNSUPPORTED_VERSION,
  ],
  [
    'a CONNECT of a version to come [3.1.1 MQTT-3.1.2-2] [5 MQTT-3.1.2-2]',
    'client',
    '10 0d 0004 "MQTT" 06 02 003c 00 0000',
    '10 0d 0004 "MQTT" 06 02 003c 00 0000',
    UNSUPPORTED_VERSION,
  ],
  [
    'a CONNECT with the reserved flag [3.1.1 MQTT-3.1.2-3] [5 MQTT-3.1.2-3]',
    'client',
    '10 0c 0004 "MQTT" 04 03 003c 0000',
    '10 0d 0004 "MQTT" 05 03 003c 00 0000',
  ],
  [
    'a CONNECT with a will of QoS 3 [3.1.1 MQTT-3.1.2-14] [5 MQTT-3.1.2-12]',
    'client',
    '10 11 0004 "MQTT" 04 1e 003c 0000 0001 "w" 0000',
    '10 13 0004 "MQTT" 05 1e 003c 00 0000 00 0001 "w" 0000',
  ],
  [
    'a CONNECT without a will, with a will QoS [3.1.1 MQTT-3.1.2-11] [3.1.1 MQTT-3.1.2-13] [5 MQTT-3.1.2-11]',
    'client',
    '10 0c 0004 "MQTT" 04 0a 003c 0000',
    '10 0d 0004 "MQTT" 05 0a 003c 00 0000',
  ],
  [
    'a CONNECT without a will, with will retain [3.1.1 MQTT-3.1.2-15] [5 MQTT-3.1.2-13]',
    'client',
    '10 0c 0004 "MQTT" 04 22 003c 0000',
    '10 0d 0004 "MQTT" 05 22 003c 00 0000',
  ],
  [
    'a CONNECT without its will [3.1.1 MQTT-3.1.2-9] [5 MQTT-3.1.2-9]',
    'client',
    '10 0c 0004 "MQTT" 04 06 003c 0000',
    '10 0d 0004 "MQTT" 05 06 003c 00 0000',
  ],
  [
    'a CONNECT without its will payload [3.1.1 MQTT-3.1.2-9] [5 MQTT-3.1.2-9]',
    'client',
    '10 0f 0004 "MQTT" 04 06 003c 0000 0001 "w"',
    '10 11 0004 "MQTT" 05 06 003c 00 0000 00 0001 "w"',
  ],
  [
    'a CONNECT without its user name [3.1.1 MQTT-3.1.2-19] [5 MQTT-3.1.2-17]',
    'client',
    '10 0c 0004 "MQTT" 04 82 003c 0000',
    '10 0d 0004 "MQTT" 05 82 003c 00 0000',
  ],
  [
    'a CONNECT with a user name that no flag announces [3.1.1 MQTT-3.1.2-18] [5 MQTT-3.1.2-16]',
    'client',
    '10 0f 0004 "MQTT" 04 02 003c 0000 0001 "u"',
    '10 10 0004 "MQTT" 05 02 003c 00 0000 0001 "u"',
  ],
  [
    'a CONNECT without its password [3.1.1 MQTT-3.1.2-21] [5 MQTT-3.1.2-19]',
    'client',
    '10 0f 0004 "MQTT" 04 c2 003c 0000 0001 "u"',
    '10 10 0004 "MQTT" 05 c2 003c 00 0000 0001 "u"',
  ],
  [
    'a CONNECT with a password that no flag announces [3.1.1 MQTT-3.1.2-20] [5 MQTT-3.1.2-18]',
    'client',
    '10 12 0004 "MQTT" 04 82 003c 0000 0001 "u" 0001 "p"',
    '10 13 0004 "MQTT" 05 82 003c 00 0000 0001 "u" 0001 "p"',
  ],
  [
    'a CONNECT without a client identifier [3.1.1 MQTT-3.1.3-3] [5 MQTT-3.1.3-3]',
    'client',
    '10 0a 0004 "MQTT" 04 02 003c',
    '10 0b 0004 "MQTT" 05 02 003c 00',
  ],
  [
    'a CONNECT that ends within its Keep Alive [3.1.1 MQTT-3.1.4-1] [5 MQTT-3.1.4-1]',
    'client',
    '10 09 0004 "MQTT" 04 02 00',
    '10 09 0004 "MQTT" 05 02 00',
  ],
]

const ONLY_311: readonly Row[] = [
  ['a PUBLISH with an empty topic [3.1.1 MQTT-4.7.3-1]', 'server', '30 02 0000'],
  ['a DISCONNECT from the server (2.2.1)', 'server', 'e0 00', PROTOCOL_ERROR],
  ['the packet type 15 from the server (2.2.1)', 'server', 'f0 00', PROTOCOL_ERROR],
  ['the packet type 15 from the client (2.2.1)', 'client', 'f0 00', PROTOCOL_ERROR],
  ['a DISCONNECT of length 1 (3.14)', 'client', 'e0 01 00'],
  ['a CONNACK of length 3 (3.2.1)', 'server', '20 03 00 00 00'],
  ['a CONNACK with the return code 6 (3.2.2.3)', 'server', '20 02 00 06'],
  ['a CONNACK with the return code 255 (3.2.2.3)', 'server', '20 02 00 ff'],
  ['a PUBACK of length 3 (3.4.1)', 'server', '40 03 0001 00'],
  ['a PUBREC of length 3 (3.5.1)', 'server', '50 03 0001 00'],
  ['a PUBREL of length 3 (3.6.1)', 'server', '62 03 0001 00'],
  ['a PUBCOMP of length 3 (3.7.1)', 'server', '70 03 0001 00'],
  ['an UNSUBACK of length 3 (3.11.1)', 'server', 'b0 03 0001 00'],
  ['a SUBACK with the code 0xFF [3.1.1 MQTT-3.9.3-2]', 'server', '90 03 0001 ff', PROTOCOL_ERROR],
  ['a SUBSCRIBE with an option of version 5 [3.1.1 MQTT-3-8.3-4]', 'client', '82 06 0001 0001 "a" 04'],
  [
    'a CONNECT with a password and no user name [3.1.1 MQTT-3.1.2-22]',
    'client',
    '10 0f 0004 "MQTT" 04 42 003c 0000 0001 "p"',
  ],
]

/** A PUBLISH with QoS 0 to "a" with these properties, less than 124 bytes of them. */
function publishWith(properties: string): string {
  const size = hex(properties).length
  const byte = (value: number): string => value.toString(16).padStart(2, '0')
  return `30 ${byte(4 + size)} 0001 "a" ${byte(size)} ${properties}`
}

const ONLY_5: readonly Row[] = [
  // Strings in properties.
  ['a Content Type that is not UTF-8 [5 MQTT-3.3.2-19]', 'server', publishWith('03 0001 80')],
  ['a Response Topic that is not UTF-8 [5 MQTT-3.3.2-13]', 'server', publishWith('08 0001 c0')],
  [
    'a Response Topic with a wildcard [5 MQTT-3.3.2-14]',
    'server',
    publishWith('08 0003 "a/#"'),
    PROTOCOL_ERROR,
  ],
  ['a Response Topic with U+0000 [5 MQTT-1.5.4-2]', 'server', publishWith('08 0001 00')],
  ['an empty Response Topic [5 MQTT-4.7.3-1]', 'server', publishWith('08 0000'), PROTOCOL_ERROR],
  [
    'a User Property with a surrogate in its name [5 MQTT-1.5.7-1]',
    'server',
    publishWith('26 0003 eda080 0001 "v"'),
  ],
  [
    'a User Property with a surrogate in its value [5 MQTT-1.5.7-1]',
    'server',
    publishWith('26 0001 "k" 0003 eda080'),
  ],
  ['a User Property with U+0000 in its value [5 MQTT-1.5.7-1]', 'server', publishWith('26 0001 "k" 0001 00')],
  ['a User Property without a value [5 MQTT-1.5.7-1]', 'server', publishWith('26 0001 "k"')],
  [
    'a Reason String of a PUBACK that ends within a character [5 MQTT-1.5.4-1]',
    'server',
    '40 09 0001 97 05 1f 0002 e282',
  ],
  ['a Reason String of a CONNACK with U+0000 [5 MQTT-1.5.4-2]', 'server', '20 07 00 87 04 1f 0001 00'],
  ['a Server Reference that is not UTF-8 [5 MQTT-1.5.4-1]', 'server', 'e0 06 9c 04 1c 0001 ff'],
  ['an Authentication Method that is not UTF-8 [5 MQTT-1.5.4-1]', 'server', 'f0 06 18 04 15 0001 ff'],
  ['an Assigned Client Identifier that is not UTF-8 [5 MQTT-1.5.4-1]', 'server', '20 07 00 00 04 12 0001 ff'],

  // Variable byte integers.
  ['a PINGRESP whose Remaining Length is longer than needed [5 MQTT-1.5.5-1]', 'server', 'd0 80 00'],
  ['a Property Length that is longer than needed [5 MQTT-1.5.5-1]', 'server', '30 05 0001 "a" 80 00'],
  ['a Property Length of five bytes (1.5.5)', 'server', '30 08 0001 "a" 80 80 80 80 01'],
  [
    'a Subscription Identifier that is longer than needed [5 MQTT-1.5.5-1]',
    'server',
    publishWith('0b 81 00'),
  ],
  ['a Subscription Identifier of five bytes (1.5.5)', 'server', publishWith('0b 80 80 80 80 01')],
  ['a Subscription Identifier that does not end', 'server', publishWith('0b 80')],
  [
    'a property identifier of two bytes that is longer than needed [5 MQTT-1.5.5-1]',
    'server',
    publishWith('81 00 01'),
  ],

  // Properties, 2.2.2.
  ['a PUBLISH without a Property Length [5 MQTT-2.2.2-1]', 'server', '30 03 0001 "a"'],
  ['a CONNACK without a Property Length [5 MQTT-2.2.2-1]', 'server', '20 02 00 00'],
  ['a SUBACK without a Property Length [5 MQTT-2.2.2-1]', 'server', '90 02 0001'],
  ['an AUTH with a reason code and no Property Length [5 MQTT-2.2.2-1]', 'server', 'f0 01 18'],
  ['a Property Length beyond the packet (2.2.2.1)', 'server', '30 06 0001 "a" 03 01 01'],
  ['a Property Length of 268,435,455 (2.2.2.1)', 'server', '30 07 0001 "a" ff ff ff 7f'],
  ['the properties of a PUBACK beyond the packet (2.2.2.1)', 'server', '40 06 0001 00 08 1f 00'],
  [
    'a string beyond its properties, though not beyond the packet (2.2.2)',
    'server',
    '30 0b 0001 "a" 04 03 0002 "x" "yzw"',
  ],
  ['a four byte integer beyond its properties', 'server', '30 09 0001 "a" 03 02 00000001'],
  ['a property without its value', 'server', publishWith('01')],
  ['binary data beyond their properties', 'server', publishWith('09 0003 0102')],
  ['the unknown property 0x00 (2.2.2.2)', 'server', publishWith('00 00')],
  ['the unknown property 0x04 (2.2.2.2)', 'server', publishWith('04 00')],
  ['the unknown property 0x2B (2.2.2.2)', 'server', publishWith('2b 00')],
  ['the unknown property 0x7F (2.2.2.2)', 'server', publishWith('7f 00')],
  ['the unknown property 0x80 in two bytes (2.2.2.2)', 'server', publishWith('80 01 00')],
  ['a property of CONNACK in a PUBLISH (2.2.2.2)', 'server', publishWith('24 01')],
  ['a Topic Alias in a CONNACK (2.2.2.2)', 'server', '20 06 00 00 03 23 0001'],
  [
    'a Will Delay Interval among the properties of a CONNECT (2.2.2.2)',
    'client',
    '10 12 0004 "MQTT" 05 02 003c 05 18 00000001 0000',
  ],
  ['a Content Type twice (3.3.2.3.9)', 'server', publishWith('03 0001 "a" 03 0001 "a"'), PROTOCOL_ERROR],
  ['a Topic Alias twice (3.3.2.3.4)', 'server', publishWith('23 0001 23 0001'), PROTOCOL_ERROR],
  ['a Receive Maximum twice (3.2.2.3.3)', 'server', '20 09 00 00 06 21 0001 21 0001', PROTOCOL_ERROR],
  [
    'a Retain Available that is twice false (3.2.2.3.5)',
    'server',
    '20 07 00 00 04 25 00 25 00',
    PROTOCOL_ERROR,
  ],
  [
    'two Subscription Identifiers in a SUBSCRIBE (3.8.2.1.2)',
    'client',
    '82 0b 0001 04 0b 01 0b 02 0001 "a" 00',
    PROTOCOL_ERROR,
  ],
  [
    'a Receive Maximum of 0 in a CONNACK (3.2.2.3.3) [5 MQTT-4.9.0-1]',
    'server',
    '20 06 00 00 03 21 0000',
    PROTOCOL_ERROR,
  ],
  [
    'a Receive Maximum of 0 in a CONNECT (3.1.2.11.3)',
    'client',
    '10 10 0004 "MQTT" 05 02 003c 03 21 0000 0000',
    PROTOCOL_ERROR,
  ],
  [
    'a Maximum Packet Size of 0 in a CONNACK (3.2.2.3.6)',
    'server',
    '20 08 00 00 05 27 00000000',
    PROTOCOL_ERROR,
  ],
  [
    'a Maximum Packet Size of 0 in a CONNECT (3.1.2.11.4)',
    'client',
    '10 12 0004 "MQTT" 05 02 003c 05 27 00000000 0000',
    PROTOCOL_ERROR,
  ],
  ['a Maximum QoS of 2 (3.2.2.3.4) [5 MQTT-3.2.2-9]', 'server', '20 05 00 00 02 24 02', PROTOCOL_ERROR],
  ['a Retain Available of 2 (3.2.2.3.5)', 'server', '20 05 00 00 02 25 02', PROTOCOL_ERROR],
  ['a Shared Subscription Available of 255 (3.2.2.3.13)', 'server', '20 05 00 00 02 2a ff', PROTOCOL_ERROR],
  [
    'a Request Problem Information of 2 (3.1.2.11.7)',
    'client',
    '10 0f 0004 "MQTT" 05 02 003c 02 17 02 0000',
    PROTOCOL_ERROR,
  ],
  [
    'a Request Response Information of 2 (3.1.2.11.6)',
    'client',
    '10 0f 0004 "MQTT" 05 02 003c 02 19 02 0000',
    PROTOCOL_ERROR,
  ],
  ['a Payload Format Indicator of 2 (3.3.2.3.2)', 'server', publishWith('01 02'), PROTOCOL_ERROR],
  ['a Subscription Identifier of 0 (3.3.2.3.8)', 'server', publishWith('0b 00'), PROTOCOL_ERROR],
  [
    'a Subscription Identifier of 0 in a SUBSCRIBE (3.8.2.1.2)',
    'client',
    '82 09 0001 02 0b 00 0001 "a" 00',
    PROTOCOL_ERROR,
  ],
  [
    'Authentication Data without a method (3.1.2.11.10)',
    'client',
    '10 11 0004 "MQTT" 05 02 003c 04 16 0001 01 0000',
    PROTOCOL_ERROR,
  ],

  // Packets.
  [
    'a PUBLISH with neither a topic nor a Topic Alias [5 MQTT-4.7.3-1] (3.3.2.1)',
    'server',
    '30 03 0000 00',
    PROTOCOL_ERROR,
  ],
  ['an AUTH with the flags 0001 [5 MQTT-3.15.1-1]', 'server', 'f1 00'],
  ['a DISCONNECT of the server with the flags 0001 [5 MQTT-3.14.1-1]', 'server', 'e1 00'],
  ['a CONNACK from the client (2.1.2)', 'client', '20 03 00 00 00', PROTOCOL_ERROR],
  ['a SUBACK from the client (2.1.2)', 'client', '90 04 0001 00 00', PROTOCOL_ERROR],
  ['a PINGRESP from the client (2.1.2)', 'client', 'd0 00', PROTOCOL_ERROR],
  ['a CONNACK with the reason code 0x01 [5 MQTT-3.2.2-8]', 'server', '20 03 00 01 00', PROTOCOL_ERROR],
  ['a CONNACK with the reason code 0x7F [5 MQTT-3.2.2-8]', 'server', '20 03 00 7f 00', PROTOCOL_ERROR],
  ['a CONNACK with a reason code of DISCONNECT [5 MQTT-3.2.2-8]', 'server', '20 03 00 8e 00', PROTOCOL_ERROR],
  ['a CONNACK with more behind its properties', 'server', '20 04 00 00 00 00'],
  ['a PUBACK with the reason code 0x01 [5 MQTT-3.4.2-1]', 'server', '40 03 0001 01', PROTOCOL_ERROR],
  ['a PUBACK with a reason code of PUBREL [5 MQTT-3.4.2-1]', 'server', '40 04 0001 92 00', PROTOCOL_ERROR],
  ['a PUBREC with the reason code 0x11 [5 MQTT-3.5.2-1]', 'server', '50 03 0001 11', PROTOCOL_ERROR],
  ['a PUBREL with the reason code 0x10 [5 MQTT-3.6.2-1]', 'server', '62 03 0001 10', PROTOCOL_ERROR],
  ['a PUBCOMP with the reason code 0x80 [5 MQTT-3.7.2-1]', 'server', '70 03 0001 80', PROTOCOL_ERROR],
  ['a PUBACK with more behind its properties', 'server', '40 05 0001 00 00 00'],
  ['a SUBACK with the reason code 0x7F [5 MQTT-3.9.3-2]', 'server', '90 04 0001 00 7f', PROTOCOL_ERROR],
  ['a SUBACK with a reason code of UNSUBACK [5 MQTT-3.9.3-2]', 'server', '90 04 0001 00 11', PROTOCOL_ERROR],
  ['an UNSUBACK with the reason code 0x01 [5 MQTT-3.11.3-2]', 'server', 'b0 04 0001 00 01', PROTOCOL_ERROR],
  ['an UNSUBACK without a reason code [5 MQTT-3.11.3-1]', 'server', 'b0 03 0001 00'],
  ['an UNSUBACK as in 3.1.1', 'server', 'b0 02 0001'],
  ['a DISCONNECT with the reason code 0x01 [5 MQTT-3.14.2-1]', 'server', 'e0 01 01', PROTOCOL_ERROR],
  ['a DISCONNECT with a reason code of CONNACK [5 MQTT-3.14.2-1]', 'server', 'e0 02 84 00', PROTOCOL_ERROR],
  ['a DISCONNECT with more behind its properties', 'server', 'e0 03 8b 00 00'],
  ['an AUTH with the reason code 0x01 [5 MQTT-3.15.2-1]', 'server', 'f0 02 01 00', PROTOCOL_ERROR],
  ['an AUTH with more behind its properties', 'server', 'f0 03 18 00 00'],
  ['a SUBSCRIBE with the Retain Handling 3 (3.8.3.1)', 'client', '82 07 0001 00 0001 "a" 30', PROTOCOL_ERROR],
  [
    'a CONNECT without the Property Length of its will [5 MQTT-3.1.2-9]',
    'client',
    '10 12 0004 "MQTT" 05 06 003c 00 0000 0001 "w" 0000',
  ],
]

function input(
  [title, sender, bytes, reasonCode = MALFORMED]: Row,
  version: ProtocolVersion,
): MalformedInput {
  return { title, version, sender, bytes: hex(bytes), reasonCode }
}

export const MALFORMED_INPUTS: readonly MalformedInput[] = [
  ...BOTH_VERSIONS.flatMap(([title, sender, bytes311, bytes5, reasonCode]) => [
    input([title, sender, bytes311, reasonCode], '3.1.1'),
    input([title, sender, bytes5, reasonCode], '5'),
  ]),
  ...ONLY_311.map((row) => input(row, '3.1.1')),
  ...ONLY_5.map((row) => input(row, '5')),
]
