// Two projects. `unit` is pure and takes seconds: it is part of `npm run check`. `integration` talks to real
// brokers, sockets and other programs, and needs the time that those need.
import { configDefaults, defineConfig, type ViteUserConfig } from 'vitest/config'

const unit = ['src/**/*.test.ts', 'test/architecture.test.ts', 'test/package*.test.ts']

const config: ViteUserConfig = defineConfig({
  test: {
    reporters: ['default', './test/support/report-skips.ts'],
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
