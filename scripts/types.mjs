// Type-checks every part of the project as the platform that it may know: see the comment in each tsconfig.
// Two at a time: each tsc uses several threads. A project without a single file yet is skipped, and says so.
import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('..', import.meta.url))
const tsc = fileURLToPath(new URL('../node_modules/typescript/bin/tsc', import.meta.url))
const NO_INPUTS = 'error TS18003'

const projects = [
  'src/core/tsconfig.json',
  'src/client/tsconfig.json',
  'tsconfig.json',
  'tsconfig.browser.json',
  'test/browser/tsconfig.json',
]

function check(project) {
  return new Promise((resolve) => {
    execFile(process.execPath, [tsc, '-p', project], { cwd: root }, (error, stdout, stderr) => {
      const output = `${stdout}${stderr}`.trim()
      if (error && output.includes(NO_INPUTS)) resolve({ project, verdict: 'skipped: no files yet' })
      else if (error) resolve({ project, verdict: 'failed', output: output || error.message })
      else resolve({ project, verdict: 'ok' })
    })
  })
}

async function checkNext() {
  for (let project = projects.shift(); project !== undefined; project = projects.shift()) {
    const { verdict, output } = await check(project)
    console.log(`${project}: ${verdict}`)
    if (output === undefined) continue
    console.error(output)
    process.exitCode = 1
  }
}

await Promise.all([checkNext(), checkNext()])
