import type { BuildOptions } from 'esbuild'

export const codeOptions: BuildOptions
