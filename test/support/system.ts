// What tests of files, processes and sockets need of the system below them; see requirements.ts.
import { spawnSync } from 'node:child_process'
import { networkInterfaces } from 'node:os'
import { requirement } from './requirements.ts'

/** For `/proc`. */
export const isLinux: boolean = requirement('linux', process.platform === 'linux')

/** For rights of files, and for signals. */
export const isUnix: boolean = requirement('unix', process.platform !== 'win32')

export const hasIPv6: boolean = requirement(
  'ipv6',
  Object.values(networkInterfaces()).some((all) => all?.some(({ address }) => address === '::1')),
)

/** Whether a process may have a file system of its own: root alone may, and in few containers. */
export function mayMount(): boolean {
  const isRoot = process.getuid?.() === 0
  const attempt = ['-m', 'mount', '-t', 'tmpfs', '-o', 'size=64k', 'none', '/mnt']
  return requirement('mounts', isRoot && spawnSync('unshare', attempt).status === 0)
}
