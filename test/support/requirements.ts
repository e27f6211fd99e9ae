// What some tests need of a machine beyond Node: a broker, a browser, a network of their own. A test whose requirement
// is missing is skipped, and the run's last lines say which tests and what to install (report-skips.ts):
//
//   const mosquitto = findExecutable('mosquitto')
//   describe.skipIf(!requirement('mosquitto', mosquitto !== undefined))('a broker [needs mosquitto]', …)
//
// Tests and reporter live in different processes, and the title is what both see: hence `[needs …]` in it.
// PETREL_REQUIRE=mosquitto,chromium turns what is missing into a failure, so that CI cannot pass by skipping; so is, then,
// a test that was skipped and does not say what it needs. What a machine forbids, or is not, cannot be installed: it has
// a name of its own, which nobody need require.
export interface Requirement {
  /** Completes "tests that need it, which …". */
  readonly missing: string
  /** Completes "Install it … and run again."; undefined when there is nothing to install. */
  readonly install: string | undefined
}

export type RequirementName =
  | 'mosquitto'
  | 'nats-server'
  | 'chromium'
  | 'iproute2'
  | 'network-namespaces'
  | 'mounts'
  | 'ipv6'
  | 'linux'
  | 'unix'

export const REQUIREMENTS: Readonly<Record<RequirementName, Requirement>> = {
  mosquitto: { missing: 'was not found on the PATH', install: 'Debian: apt-get install mosquitto' },
  'nats-server': { missing: 'was not found on the PATH', install: 'Debian: apt-get install nats-server' },
  chromium: { missing: 'was not found on the PATH', install: 'Debian: apt-get install chromium' },
  iproute2: {
    missing: 'was not found on the PATH, or the tests do not run as root, which it needs',
    install: 'Debian: apt-get install iproute2, and run the tests as root',
  },
  'network-namespaces': { missing: 'are forbidden by the machine', install: undefined },
  mounts: { missing: 'are forbidden by the machine, or to all but root', install: undefined },
  ipv6: { missing: 'the machine does not have: it has no address ::1', install: undefined },
  linux: { missing: 'this system is not', install: undefined },
  unix: { missing: 'this system is not', install: undefined },
}

/** The names in PETREL_REQUIRE. */
export function required(): readonly string[] {
  const names = (process.env.PETREL_REQUIRE ?? '').split(',').map((entry) => entry.trim())
  return names.filter((name) => name !== '')
}

export function requirement(name: RequirementName, found: boolean): boolean {
  if (!found && required().includes(name)) {
    const { missing, install } = REQUIREMENTS[name]
    const advice = install === undefined ? '' : ` Install it (${install}).`
    throw new Error(`PETREL_REQUIRE asks for ${name}, which ${missing}.${advice}`)
  }
  return found
}

/** The requirement that a test's full title names, if any. */
export function requirementOf(title: string): RequirementName | undefined {
  const name = /\[needs ([\w-]+)\]/.exec(title)?.[1]
  return name !== undefined && isRequirementName(name) ? name : undefined
}

/** What the end of a run says of the tests that were skipped, by their full titles. */
export function skippedLines(titles: Iterable<string>): {
  readonly lines: readonly string[]
  /** How many do not say what they need. */
  readonly unexplained: number
} {
  const missing = new Map<RequirementName, number>()
  let unexplained = 0
  for (const title of titles) {
    const name = requirementOf(title)
    if (name === undefined) unexplained += 1
    else missing.set(name, (missing.get(name) ?? 0) + 1)
  }
  const lines = [...missing].map(([name, count]) => describeSkipped(name, count))
  if (unexplained > 0) lines.push(`Skipped: ${unexplained} whose titles do not say what they need.`)
  return { lines, unexplained }
}

/** One sentence for the end of a run. */
function describeSkipped(name: RequirementName, count: number): string {
  const tests = count === 1 ? '1 test that needs' : `${count} tests that need`
  const { missing, install } = REQUIREMENTS[name]
  const advice = install === undefined ? '' : ` Install it (${install}) and run again.`
  return `Skipped: ${tests} ${name}, which ${missing}.${advice}`
}

function isRequirementName(name: string): name is RequirementName {
  return Object.hasOwn(REQUIREMENTS, name)
}
