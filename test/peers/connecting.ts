// What goes wrong when a connection is lost, and before there is one: reconnecting without end, and the
// browser's bundle.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { build } from 'esbuild'
import { defect, type Defect } from './defect.ts'
import { onStage } from './stage.ts'

const SECONDS = 3
const RETRY_AFTER = 100
/** More attempts than this within the time are no back-off. */
const TOO_MANY = (SECONDS * 1_000) / RETRY_AFTER / 2

export const reconnecting: Defect = defect({
  name: 'Reconnecting',
  about:
    `For ${SECONDS} s each: a server that breaks every connection after its CONNACK, and two clients with ` +
    'one identifier that take the session from each other (DISCONNECT 0x8E). The least delay is ' +
    `${RETRY_AFTER} ms; at most ${TOO_MANY} connections are a back-off.`,
  measure: async (peer) => ({
    flapping: await onStage(peer, {}, async (stage) => {
      stage.server.broker.faults.onSend('connack').cutAfter()
      stage.create({ version: '5', clientId: 'flapping', retryAfter: RETRY_AFTER })
      await sleep(SECONDS * 1_000)
      return stage.packets('in', 'connect').length
    }),
    fighting: await onStage(peer, {}, async (stage) => {
      for (let client = 0; client < 2; client += 1) {
        stage.create({ version: '5', clientId: 'twin', retryAfter: RETRY_AFTER })
      }
      await sleep(SECONDS * 1_000)
      return stage.packets('in', 'connect').length
    }),
  }),
  describe: ({ flapping, fighting }) =>
    `${flapping} connections in ${SECONDS} s to a server that breaks them, ${fighting} of two clients with ` +
    'one identifier',
  // With less than two it has not tried again at all.
  isDefect: ({ flapping, fighting }) =>
    [flapping, fighting].some((connections) => connections < 2 || connections > TOO_MANY),
})

export const browserBundle: Defect = defect({
  name: 'Named imports in a browser bundle',
  about: "esbuild bundles `import { connect } from '…'` for the browser.",
  measure: async (peer, root) => {
    const entry = join(root, 'src/index.browser.ts')
    if (peer.name === 'Petrel' && !existsSync(entry)) return { isMeasured: false, error: undefined }
    const specifier = peer.name === 'Petrel' ? entry : 'mqtt'
    return { isMeasured: true, error: await bundleError(specifier, join(root, 'bench')) }
  },
  describe: ({ isMeasured, error }) =>
    isMeasured ? (error ?? 'it bundles') : 'not measured yet: there is no entry for browsers',
  isDefect: ({ isMeasured, error }) => (isMeasured ? error !== undefined : undefined),
})

/** What the bundler says against a named import, if anything. */
async function bundleError(specifier: string, folder: string): Promise<string | undefined> {
  try {
    await build({
      stdin: {
        contents: `import { connect } from ${JSON.stringify(specifier)}\nconnect()`,
        resolveDir: folder,
      },
      bundle: true,
      write: false,
      platform: 'browser',
      format: 'esm',
      logLevel: 'silent',
    })
    return undefined
  } catch (error) {
    const [first] = (error as { errors?: readonly { text: string }[] }).errors ?? []
    return first?.text ?? String(error)
  }
}
