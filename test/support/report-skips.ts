// The last lines of a test run say in words what was skipped for want of a program, because "42 skipped" among
// green figures is easily read as "all is well". Tests skipped for another reason, a forgotten `.skip` or a title
// without its `[needs …]`, are counted too, and fail the run where PETREL_REQUIRE is set; those that a name filter left
// out are not.
import type { Reporter, TestModule, Vitest } from 'vitest/node'
import { required, skippedLines } from './requirements.ts'

export default class SkipReporter implements Reporter {
  #filter: RegExp | undefined

  onInit(vitest: Vitest): void {
    this.#filter = vitest.config.testNamePattern
  }

  onTestRunEnd(modules: readonly TestModule[]): void {
    const { lines, unexplained } = skippedLines(this.#skippedTitles(modules))
    for (const line of lines) console.log(line)
    if (unexplained > 0 && required().length > 0) process.exitCode = 1
  }

  *#skippedTitles(modules: readonly TestModule[]): Generator<string> {
    for (const module of modules) {
      for (const test of module.children.allTests('skipped')) {
        const title = test.fullName
        const wanted = this.#filter === undefined || this.#filter.test(title.replaceAll(' > ', ' '))
        if (wanted && test.options.mode !== 'todo') yield title
      }
    }
  }
}
