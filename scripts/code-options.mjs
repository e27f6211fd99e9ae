// How esbuild writes the package's code: scripts/build.mjs with it, and the test that looks at functions as they are built.

/** @type {import('esbuild').BuildOptions} */
export const codeOptions = {
  chunkNames: 'chunks/[name]-[hash]',
  bundle: true,
  splitting: true,
  format: 'esm',
  target: 'es2022',
  // Names stay, so that stack traces can be read; comments and white space go, which halves the time to import.
  minifyWhitespace: true,
  minifySyntax: true,
  lineLimit: 120,
  legalComments: 'none',
  platform: 'neutral',
  packages: 'external',
  external: ['node:*'],
}
