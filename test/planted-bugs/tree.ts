// A copy of the sources in a temporary directory, in which bugs are planted: the sources themselves are never
// touched, so that an interrupted run harms nobody.
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { transform } from 'esbuild'
import type { Change, PlantedBug } from './bugs.ts'

/** What the tests need, node_modules aside. */
const COPIED = /^(?:src|test|package\.json|vitest\.config\.ts|tsconfig.*\.json)$/

export class Tree {
  readonly root: string
  /** The texts of the files that have a bug now. */
  readonly #originals = new Map<string, string>()

  /** @param source the project */
  constructor(source: string) {
    this.root = mkdtempSync(join(tmpdir(), 'petrel-planted-'))
    for (const name of readdirSync(source)) {
      if (COPIED.test(name)) cpSync(join(source, name), join(this.root, name), { recursive: true })
    }
    // One link for each package: what tools keep in node_modules stays in the copy.
    const modules = join(this.root, 'node_modules')
    mkdirSync(modules)
    for (const name of readdirSync(join(source, 'node_modules'))) {
      if (!name.startsWith('.')) symlinkSync(join(source, 'node_modules', name), join(modules, name))
    }
  }

  /** Plants one bug. @throws Error when a text to replace is not there exactly once */
  plant(bug: PlantedBug): void {
    for (const [file, text] of planted(this.root, bug)) {
      this.#originals.set(file, readFileSync(join(this.root, file), 'utf8'))
      writeFileSync(join(this.root, file), text)
    }
  }

  /** Takes it out again. */
  restore(): void {
    for (const [file, text] of this.#originals) writeFileSync(join(this.root, file), text)
    this.#originals.clear()
  }

  remove(): void {
    rmSync(this.root, { recursive: true, force: true })
  }
}

/** What is wrong with the bug as it stands in the table; undefined: it can be planted, and the result is TypeScript. */
export async function faultOf(root: string, bug: PlantedBug): Promise<string | undefined> {
  try {
    for (const test of bug.tests) readFileSync(join(root, test))
    for (const [file, text] of planted(root, bug)) {
      await transform(text, { loader: 'ts', sourcefile: file, logLevel: 'silent' })
    }
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

/** The files with the bug in them. */
function planted(root: string, bug: PlantedBug): ReadonlyMap<string, string> {
  const texts = new Map<string, string>()
  for (const change of [bug, ...(bug.also ?? [])]) {
    const text = texts.get(change.file) ?? readFileSync(join(root, change.file), 'utf8')
    texts.set(change.file, replaced(text, change))
  }
  return texts
}

function replaced(source: string, { file, text, replacement }: Change): string {
  const parts = source.split(text)
  if (parts.length !== 2) {
    throw new Error(`${file}: expected this text exactly once, found it ${parts.length - 1} times:\n${text}`)
  }
  if (text === replacement) throw new Error(`${file}: the replacement is what it replaces:\n${text}`)
  return parts.join(replacement)
}
