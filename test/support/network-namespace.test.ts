// Namespaces beside each other, and which errors are the machine's.
import { describe, expect, it } from 'vitest'
import { describeNetworkNamespace, isForbidden, NetworkNamespace } from './network-namespace.ts'

await describeNetworkNamespace('a network namespace', (network) => {
  it('takes another number when its own is taken', async () => {
    const { near, number } = network()
    const other = await NetworkNamespace.open(number)
    expect(other.near).not.toBe(near)
    const again = await NetworkNamespace.open(number)
    expect(new Set([near, other.near, again.near]).size).toBe(3)
    await Promise.all([other.close(), again.close()])
  })
})

describe('an error of a namespace', () => {
  it.each([
    'unshare: unshare failed: Operation not permitted',
    'ip link add petrel1n type veth: RTNETLINK answers: Operation not permitted',
    'ip link add petrel1n type veth: RTNETLINK answers: Operation not supported',
    "EROFS: read-only file system, open '/proc/sys/net/ipv4/ip_forward'",
  ])("is the machine's: %s", (message) => {
    expect(isForbidden(new Error(message))).toBe(true)
  })

  it.each([
    'RTNETLINK answers: File exists',
    'Error: ipv4: Address already assigned.',
    'Cannot find device "petrel1n"',
    'spawn unshare ENOENT',
  ])('is ours: %s', (message) => {
    expect(isForbidden(new Error(message))).toBe(false)
  })
})
