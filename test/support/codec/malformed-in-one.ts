// What only 3.1.1 or only 5 can have wrong.

import { hex } from './hex.ts'
import { PROTOCOL_ERROR, type Row } from './malformed-row.ts'

export const ONLY_311: readonly Row[] = [
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

export const ONLY_5: readonly Row[] = [
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
