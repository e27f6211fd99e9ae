// A plugin of esbuild, which makes one chunk for each set of entries that share something: six files for what
// `import 'petrel'` needs at once. A file costs half a millisecond, however short it is. So every entry, also one that is
// loaded later, is made to import all that they share; then that is one chunk. No code runs twice, and a bundler drops from
// it what an application does not use (decision 13 says what that costs the entry of the core).
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'

/** The sources, besides its own, that the output `start` loads at once; by esbuild's metafile. */
export function sharedSources(outputs, start) {
  const files = new Set([start])
  for (const file of files) {
    for (const { path, kind, external } of outputs[file].imports)
      if (kind === 'import-statement' && external !== true) files.add(path)
  }
  files.delete(start)
  return [...files].flatMap((file) => Object.keys(outputs[file].inputs))
}

/** @param shared the sources that become one chunk @returns what a build needs for it */
export const oneChunk = (shared) => ({
  plugins: [
    {
      name: 'one-chunk',
      setup({ onResolve, onLoad }) {
        onResolve({ filter: /\.ts$/ }, ({ path, kind, resolveDir }) =>
          kind === 'entry-point' || kind === 'dynamic-import'
            ? { path: resolve(resolveDir, path), pluginData: 'entry' }
            : undefined,
        )
        onLoad({ filter: /\.ts$/ }, ({ path, pluginData }) => {
          if (pluginData !== 'entry') return undefined
          // Behind the entry's own imports, so that the order in which the files run stays what it was.
          const imports = shared.map((source) => `import ${JSON.stringify(resolve(source))}`)
          return { contents: [readFileSync(path, 'utf8'), ...imports].join('\n'), loader: 'ts' }
        })
      },
    },
  ],
  // Of files without side effects such an import is left out, and said so; which entries reach them is counted before.
  logOverride: { 'ignored-bare-import': 'silent' },
})
