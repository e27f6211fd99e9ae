// Finds a program on this machine. Debian installs servers in /usr/sbin, which is not on the PATH of everybody;
// PETREL_ONLY_PATH=1 looks through the PATH alone, so that a test run without a program can be had anywhere.
import { accessSync, constants, statSync } from 'node:fs'
import { delimiter, join } from 'node:path'

const BESIDE_THE_PATH = ['/usr/sbin', '/usr/local/sbin']

export function findExecutable(name: string): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter).filter((folder) => folder !== '')
  if (process.env.PETREL_ONLY_PATH !== '1') folders.push(...BESIDE_THE_PATH)
  return folders.map((folder) => join(folder, name)).find(isExecutable)
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}
