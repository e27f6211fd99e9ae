// Two projects. `unit` is pure and takes seconds: it is part of `npm run check`. `integration` talks to real
// brokers, sockets and other programs, and needs the time that those need.
import { availableParallelism } from 'node:os'
import { configDefaults, defineConfig, type ViteUserConfig } from 'vitest/config'

const unit = ['src/**/*.test.ts', 'test/architecture.test.ts', 'test/package*.test.ts', 'test/guides.test.ts']

const config: ViteUserConfig = defineConfig({
  test: {
    reporters: ['default', './test/support/report-skips.ts'],
    // Many tests wait more than they compute: two at a time, also where there are only two cores.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    projects: [
      { test: { name: 'unit', include: unit, testTimeout: 20_000 } },
      {
        test: {
          name: 'integration',
          include: ['test/**/*.test.ts'],
          exclude: [...configDefaults.exclude, ...unit],
          testTimeout: 60_000,
          hookTimeout: 60_000,
        },
      },
    ],
  },
})

export default config
