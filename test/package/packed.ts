// The package as npm would publish it. It is built in a copy of the sources, so that nobody's dist/ is in the way, by
// the project's own script, packed by npm, and unpacked into projects that know nothing but the package.
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** What the build and npm need. */
const COPIED = ['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md', 'scripts', 'src']
const CONFIGURATIONS = ['base', 'browser', 'build', undefined].map((part) =>
  part === undefined ? 'tsconfig.json' : `tsconfig.${part}.json`,
)

/** What npm says of a package that it has packed. */
interface NpmPacked {
  readonly filename: string
  readonly size: number
  readonly unpackedSize: number
  readonly files: readonly { readonly path: string; readonly size: number }[]
}

export class Packed {
  readonly tarball: string
  /** Paths in the package. */
  readonly files: readonly string[]
  /** Bytes. */
  readonly size: number
  readonly unpackedSize: number
  readonly #root: string
  readonly #folder: string

  private constructor(root: string, folder: string, { filename, files, size, unpackedSize }: NpmPacked) {
    this.#root = root
    this.#folder = folder
    this.tarball = join(folder, filename)
    this.files = files.map(({ path }) => path)
    this.size = size
    this.unpackedSize = unpackedSize
  }

  /** Builds and packs. @param root the project's folder */
  static make(root: string): Packed {
    const folder = mkdtempSync(join(tmpdir(), 'petrel-packed-'))
    const tree = join(folder, 'tree')
    try {
      for (const name of [...COPIED, ...CONFIGURATIONS]) {
        cpSync(join(root, name), join(tree, name), { recursive: true })
      }
      symlinkSync(join(root, 'node_modules'), join(tree, 'node_modules'))
      execFileSync(process.execPath, ['scripts/build.mjs'], {
        cwd: tree,
        stdio: ['ignore', 'ignore', 'inherit'],
      })
      const args = ['pack', '--json', '--ignore-scripts', '--pack-destination', folder]
      const [packed] = Object.values(
        JSON.parse(
          execFileSync('npm', args, { cwd: tree, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }),
        ),
      ) as NpmPacked[]
      if (packed === undefined) throw new Error('npm pack said nothing')
      return new Packed(root, folder, packed)
    } catch (error) {
      rmSync(folder, { recursive: true, force: true })
      throw error
    }
  }

  /** An empty project with the package in it, as npm installs it, but without asking the registry. */
  project(name: string): Project {
    const project = new Project(join(this.#folder, name))
    const modules = join(project.folder, 'node_modules')
    mkdirSync(join(modules, 'petrel'), { recursive: true })
    execFileSync('tar', ['-xzf', this.tarball, '-C', join(modules, 'petrel'), '--strip-components=1'])
    for (const dependency of Object.keys(dependenciesOf(join(modules, 'petrel')))) {
      cpSync(join(this.#root, 'node_modules', dependency), join(modules, dependency), { recursive: true })
    }
    return project
  }

  /** An empty project. */
  emptyProject(name: string): Project {
    return new Project(join(this.#folder, name))
  }

  remove(): void {
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

/** A folder with a package.json, for somebody who uses the package. */
export class Project {
  readonly folder: string

  constructor(folder: string) {
    this.folder = folder
    mkdirSync(folder, { recursive: true })
    this.write('package.json', JSON.stringify({ private: true, type: 'module' }))
  }

  /** Returns the file's path. */
  write(name: string, text: string): string {
    const path = join(this.folder, name)
    writeFileSync(path, text)
    return path
  }

  /** Runs a program of the project and returns what it prints. @throws Error when it fails, or takes too long */
  run(command: string, args: readonly string[], timeout = 60_000): string {
    const stdio: ['ignore', 'pipe', 'pipe'] = ['ignore', 'pipe', 'pipe']
    return execFileSync(command, args, { cwd: this.folder, encoding: 'utf8', timeout, stdio })
  }
}

function dependenciesOf(folder: string): Readonly<Record<string, string>> {
  const { dependencies = {} } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
    readonly dependencies?: Readonly<Record<string, string>>
  }
  return dependencies
}
