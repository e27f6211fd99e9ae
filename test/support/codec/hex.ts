// Bytes as people type them: `10 0c 0004 "MQTT" 04 02 003c 0000`, hex digits in pairs and ASCII text in quotes.

export function hex(text: string): Uint8Array {
  const bytes: number[] = []
  for (const word of text.match(/"[^"]*"|\S+/g) ?? []) {
    if (word.startsWith('"')) for (const character of word.slice(1, -1)) bytes.push(ascii(character))
    else for (const pair of pairsOf(word)) bytes.push(Number.parseInt(pair, 16))
  }
  return Uint8Array.from(bytes)
}

export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ')
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

/** A text in UTF-8 behind its two-byte length, by the platform's encoder. */
export function utf8String(text: string): Uint8Array {
  const bytes = new TextEncoder().encode(text)
  return concat(Uint8Array.of(bytes.length >>> 8, bytes.length & 0xff), bytes)
}

function ascii(character: string): number {
  const code = character.charCodeAt(0)
  if (code > 0x7e) throw new Error(`${JSON.stringify(character)} is not ASCII: write its bytes`)
  return code
}

function pairsOf(word: string): readonly string[] {
  if (!/^(?:[0-9a-f]{2})+$/.test(word)) throw new Error(`"${word}" is not hex`)
  return word.match(/../g) ?? []
}
