// Makes everything that a run needs and does not come with the repository: the peers from npm, the C programs, and
// Petrel as its users have it, built, packed and unpacked into node_modules. What is missing is said, not fatal, except
// the C compiler: the other side of every run is a C program.

import { spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = fileURLToPath(new URL('.', import.meta.url))
const root = fileURLToPath(new URL('..', import.meta.url))
const installed = `${here}node_modules/petrel`

const programs = [
  { output: 'peer', source: 'peer/peer.c', libraries: [] },
  { output: 'raw', source: 'clients/raw.c', libraries: [] },
  {
    output: 'mosquitto',
    source: 'clients/mosquitto.c',
    libraries: ['-lmosquitto'],
    debian: 'libmosquitto-dev',
  },
  { output: 'paho', source: 'clients/paho.c', libraries: ['-lpaho-mqtt3c'], debian: 'libpaho-mqtt-dev' },
]

const lastLines = (text, count = 4) => text.trim().split('\n').slice(-count).join('\n    ')

/** The lines of a compiler's output that say what is wrong; its last ones when none does. */
const errorLines = (text) => {
  const lines = text.split('\n').filter((line) => /\berror\b/i.test(line))
  return lines.length > 0 ? lines.slice(0, 5).join('\n    ') : lastLines(text, 5)
}

const run = (command, parameters, cwd) => {
  const { status, stdout, stderr, error } = spawnSync(command, parameters, { cwd, encoding: 'utf8' })
  return { ok: status === 0, output: error ? error.message : `${stdout}${stderr}` }
}

export const installPeers = () => {
  const installed = `${here}node_modules/.package-lock.json`
  if (existsSync(installed) && statSync(installed).mtimeMs >= statSync(`${here}package-lock.json`).mtimeMs)
    return
  console.log('installing the npm peers (npm ci in bench/)')
  const { ok, output } = run('npm', ['ci'], here)
  if (!ok) throw new Error(`npm ci failed in bench/:\n    ${lastLines(output, 10)}`)
}

const changed = (source, output) => {
  if (!existsSync(output)) return true
  const newest = Math.max(statSync(source).mtimeMs, statSync(`${here}clients/common.h`).mtimeMs)
  return newest > statSync(output).mtimeMs
}

/** Returns what could not be compiled, with the reason, by the names of contestants.mjs. */
export const compile = () => {
  mkdirSync(`${here}build`, { recursive: true })
  const missing = {}
  for (const { output, source, libraries, debian } of programs) {
    const target = `${here}build/${output}`
    if (!changed(here + source, target)) continue
    const { ok, output: said } = run('cc', [
      '-O2',
      '-march=native',
      '-o',
      target,
      here + source,
      ...libraries,
      '-lpthread',
    ])
    if (ok) continue
    rmSync(target, { force: true })
    if (!debian)
      throw new Error(
        `cc ${source} failed (a C compiler is needed, e.g. Debian's gcc):\n    ${lastLines(said)}`,
      )
    missing[output] = `not compiled: is Debian's ${debian} there?`
  }
  return missing
}

/** Packs Petrel into a folder of its own and puts that in place of the one installed before; why not, or undefined. */
const packAndUnpack = (folder) => {
  const packed = run('npm', ['pack', '--ignore-scripts', '--pack-destination', folder], root)
  const tarball = readdirSync(folder).find((name) => name.endsWith('.tgz'))
  if (!packed.ok || !tarball) return `npm pack failed:\n    ${lastLines(packed.output)}`
  const unpacked = run('tar', ['-xzf', `${folder}/${tarball}`, '-C', folder])
  if (!unpacked.ok) return `the tarball could not be unpacked: ${lastLines(unpacked.output)}`
  if (!existsSync(`${folder}/package/dist/index.js`)) return 'the package has no dist/index.js yet'
  const { dependencies = {} } = JSON.parse(readFileSync(`${folder}/package/package.json`, 'utf8'))
  for (const name of Object.keys(dependencies)) {
    cpSync(`${root}node_modules/${name}`, `${folder}/package/node_modules/${name}`, { recursive: true })
  }
  rmSync(installed, { recursive: true, force: true })
  renameSync(`${folder}/package`, installed)
  return undefined
}

/** Builds and installs Petrel; why not, or undefined. Its dependency comes from the repository's own node_modules. */
export const installPetrel = ({ build }) => {
  if (!build)
    return existsSync(`${installed}/package.json`) ? undefined : 'not installed, and --no-build was given'
  const built = run('npm', ['run', 'build'], root)
  if (!built.ok) return `npm run build failed:\n    ${errorLines(built.output)}`
  const folder = mkdtempSync(`${here}build/petrel-`)
  try {
    return packAndUnpack(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** What a system call costs on this machine, in ns: the figures of all clients that write each message hang on it. */
export const systemCallPrice = () => {
  const { ok, output } = run(`${here}build/peer`, ['price'])
  return ok ? JSON.parse(output).systemCall : undefined
}

/** The path of a program; undefined when it is not there. Debian has servers where PATH may not lead. */
export const findProgram = (name) =>
  [...(process.env.PATH ?? '').split(delimiter), '/usr/local/sbin', '/usr/sbin']
    .map((directory) => join(directory, name))
    .find((path) => existsSync(path))

/** Whether a JavaScript client can be loaded at all; the reason when not. */
export const loads = (id, node) => {
  const { ok, output } = run(node, [
    '-e',
    `import(${JSON.stringify(`${here}clients/${id}.mjs`)})` +
      '.then(() => process.exit(0), (error) => { console.error(error.message); process.exit(1) })',
  ])
  return ok ? undefined : `does not load: ${lastLines(output, 1)}`
}
