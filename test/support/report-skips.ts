// The last lines of a test run say in words what was skipped for want of a program, because "42 skipped" among
// green figures is easily read as "all is well". Tests skipped for another reason, a forgotten `.skip` or a title
// without its `[needs …]`, are counted too; those that a name filter left out are not.
import type { Reporter, TestModule, Vitest } from 'vitest/node'
import { describeSkipped, requirementOf, type RequirementName } from './requirements.ts'

export default class SkipReporter implements Reporter {
  #filter: RegExp | undefined

  onInit(vitest: Vitest): void {
    this.#filter = vitest.config.testNamePattern
  }

  onTestRunEnd(modules: readonly TestModule[]): void {
    const missing = new Map<RequirementName, number>()
    let unexplained = 0
    for (const title of this.#skippedTitles(modules)) {
      const name = requirementOf(title)
      if (name === undefined) unexplained += 1
      else missing.set(name, (missing.get(name) ?? 0) + 1)
    }
    for (const [name, count] of missing) console.log(describeSkipped(name, count))
    if (unexplained > 0) console.log(`Skipped: ${unexplained} whose titles do not say what they need.`)
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
