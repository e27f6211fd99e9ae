// Packages that only some commands need and that are large, such as whole runtimes: npm fetches each into a folder
// of its own below the user's cache, outside the project, and leaves it there for the next time. Nothing of them is
// installed, linked or run by npm: install scripts are off.
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** ms that npm may take. */
const PATIENCE = 300_000

/** Where they are kept; PETREL_CACHE is another place. */
function cacheFolder(): string {
  const { PETREL_CACHE, XDG_CACHE_HOME } = process.env
  return PETREL_CACHE ?? join(XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'petrel')
}

/** The folder of the package, fetched when it is not there yet. @throws Error with what npm said */
export async function fetchPackage(name: string, version: string): Promise<string> {
  const kept = join(cacheFolder(), `${name.replace('/', '+')}@${version}`)
  const inside = join('node_modules', name)
  if (existsSync(join(kept, inside, 'package.json'))) return join(kept, inside)
  const fresh = `${kept}.${process.pid}`
  mkdirSync(fresh, { recursive: true })
  try {
    writeFileSync(join(fresh, 'package.json'), '{ "private": true }\n')
    const flags = ['--no-audit', '--no-fund', '--ignore-scripts', '--no-package-lock', '--loglevel=error']
    await run('npm', ['install', ...flags, `${name}@${version}`], { cwd: fresh, timeout: PATIENCE })
    rmSync(kept, { recursive: true, force: true })
    renameSync(fresh, kept)
  } catch (error) {
    const { stderr = '', message } = error as Error & { readonly stderr?: string }
    const said = stderr.trim().split('\n')[0]
    throw new Error(`${name}@${version} could not be fetched: ${said || message}`, { cause: error })
  } finally {
    rmSync(fresh, { recursive: true, force: true })
  }
  return join(kept, inside)
}
