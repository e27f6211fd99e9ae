// The programs of this machine, their versions, and how Debian installs those that are missing.
import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { findExecutable } from '../support/find.ts'
import type { Package } from './broker.ts'

export function findProgram(name: string): string | undefined {
  if (name.startsWith('/')) return existsSync(name) ? name : undefined
  return findExecutable(name)
}

/** @throws Error */
export function requireProgram(name: string): string {
  const path = findProgram(name)
  if (path === undefined) throw new Error(`${name} was not found`)
  return path
}

/** The packages that are missing, each once. */
export function missingPackages(packages: readonly Package[]): readonly string[] {
  return [
    ...new Set(packages.filter(({ program }) => findProgram(program) === undefined).map(({ name }) => name)),
  ]
}

/** As Debian counts, without what it has added; `?` where there is no dpkg. */
export function versionOf(name: string): string {
  const { stdout, status } = spawnSync('dpkg-query', ['-W', '-f', '${Version}', name], { encoding: 'utf8' })
  if (status !== 0) return '?'
  return stdout.replace(/^\d+:/, '').replace(/[+-].*$/, '')
}

/** What says to Debian's packages that no service may be started. */
const POLICY = '/usr/sbin/policy-rc.d'

/**
 * Installs packages so that nothing starts by itself, and ends the epmd that Erlang's leave behind.
 *
 * @throws Error when apt-get fails, or there are no rights
 */
export function install(names: readonly string[]): void {
  const isRoot = process.getuid?.() === 0
  if (!isRoot && findExecutable('sudo') === undefined) {
    throw new Error(`expected root or sudo, to run apt-get install ${names.join(' ')}`)
  }
  const run = (program: string, ...args: readonly string[]): void => {
    const [first, ...rest] = isRoot ? [program, ...args] : ['sudo', '-E', program, ...args]
    execFileSync(first ?? program, rest, {
      // Standard output is for the findings.
      stdio: ['ignore', 2, 2],
      env: { ...process.env, DEBIAN_FRONTEND: 'noninteractive' },
    })
  }
  const epmds = new Set(epmdIds())
  const isOurs = !existsSync(POLICY)
  if (isOurs) writePolicy(run)
  else if (!readFileSync(POLICY, 'utf8').includes('exit 101')) {
    throw new Error(`expected ${POLICY} to say exit 101, so that no service starts by itself`)
  }
  try {
    run('apt-get', '-o', 'DPkg::Lock::Timeout=300', 'update', '-q')
    run(
      'apt-get',
      '-o',
      'DPkg::Lock::Timeout=300',
      'install',
      '-y',
      '-q',
      '--no-install-recommends',
      ...names,
    )
  } finally {
    if (isOurs) run('rm', '-f', POLICY)
    for (const id of epmdIds()) if (!epmds.has(id)) run('kill', String(id))
  }
}

function writePolicy(run: (program: string, ...args: readonly string[]) => void): void {
  const path = `/tmp/petrel-policy-${process.pid}`
  writeFileSync(path, '#!/bin/sh\nexit 101\n')
  chmodSync(path, 0o755)
  run('cp', path, POLICY)
  rmSync(path)
}

/** Processes that are epmd. */
function epmdIds(): readonly number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .filter((entry) => {
      try {
        return readFileSync(`/proc/${entry}/comm`, 'utf8').trim() === 'epmd'
      } catch {
        return false // It has ended in the meantime.
      }
    })
    .map(Number)
}
