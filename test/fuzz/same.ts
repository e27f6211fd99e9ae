// Whether two values are the same all the way down: for plain objects, arrays and bytes, and fast.

export function same(one: unknown, other: unknown): boolean {
  if (Object.is(one, other)) return true
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) return false
  if (one instanceof Uint8Array || other instanceof Uint8Array) {
    return one instanceof Uint8Array && other instanceof Uint8Array && sameBytes(one, other)
  }
  if (Array.isArray(one) !== Array.isArray(other)) return false
  const names = Object.keys(one)
  if (names.length !== Object.keys(other).length) return false
  for (const name of names) {
    if (!Object.hasOwn(other, name)) return false
    if (!same((one as Fields)[name], (other as Fields)[name])) return false
  }
  return true
}

interface Fields {
  readonly [name: string]: unknown
}

function sameBytes(one: Uint8Array, other: Uint8Array): boolean {
  if (one.length !== other.length) return false
  for (let index = 0; index < one.length; index++) {
    if (one[index] !== other[index]) return false
  }
  return true
}
