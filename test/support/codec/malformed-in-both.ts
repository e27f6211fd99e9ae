// What 3.1.1 and 5 both forbid, with the bytes of each.

import { PROTOCOL_ERROR, type RowOfBoth, UNSUPPORTED_VERSION } from './malformed-row.ts'

export const BOTH_VERSIONS: readonly RowOfBoth[] = [
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
