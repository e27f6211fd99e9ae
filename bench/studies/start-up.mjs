// W11: what a program pays before its first message: the import, the time from the start of its process to CONNACK, and
// the disk. Each round starts STARTS processes for each client and takes their medians; the raw client is Node, a socket
// and the same two packets, which is as fast as a process can be; the flat loop is one file of this folder. The installed size is that of the package and all that
// it depends on, as files and not as blocks of a disk.

import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const here = fileURLToPath(new URL('.', import.meta.url))
const packages = { petrel: 'petrel', mqttjs: 'mqtt', awscrt: 'aws-crt' }
const STARTS = 5

/** Where Node finds a package that is imported in `directory`. */
const folderOf = (name, directory) => {
  const folder = join(directory, 'node_modules', name)
  if (existsSync(folder)) return folder
  const parent = dirname(directory)
  if (parent === directory) throw new Error(`the package ${name} is not installed`)
  return folderOf(name, parent)
}

/** Adds the folders of a package and of what it depends on. */
const collect = (folder, folders = new Set()) => {
  if (folders.has(folder)) return folders
  folders.add(folder)
  const { dependencies = {} } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  for (const name of Object.keys(dependencies)) collect(folderOf(name, folder), folders)
  return folders
}

/** Bytes of the files of one package, without the packages that lie in it. */
const bytesOf = (folder) =>
  readdirSync(folder, { withFileTypes: true })
    .filter(({ name }) => name !== 'node_modules')
    .reduce((sum, entry) => {
      const path = join(folder, entry.name)
      return sum + (entry.isDirectory() ? bytesOf(path) : statSync(path).size)
    }, 0)

const megabytes = (name) =>
  [...collect(folderOf(name, here))].reduce((sum, folder) => sum + bytesOf(folder), 0) / 1e6

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1]

/** The wall clock, as the processes have it. */
const now = () => performance.timeOrigin + performance.now()

export const startUp = {
  id: 'W11',
  title: 'start of a process: import, time to the first CONNACK, installed size',
  needs: [],
  clients: ['mqttjs', 'awscrt', 'petrel', 'flat', 'raw'],
  columns: { start: 'ms to CONNACK', cpu: 'CPU ms until then', import: 'ms of import', size: 'MB installed' },
  better: { start: 'less', import: 'less', size: 'less' },
  async measure({ client, version, startClient, startPeer }) {
    const starts = []
    for (let i = 0; i < STARTS; i++) {
      const peer = startPeer(`${here}../build/peer`, ['sink'])
      const { port } = await peer.line()
      const begun = now()
      const process = startClient([`${here}start-up-client.mjs`, client, port, version])
      const { connected, imported, cpu } = await process.result()
      starts.push({ start: connected - begun, cpu, import: imported })
    }
    const medianOf = (figure) => median(starts.map((one) => one[figure]))
    const common = { start: medianOf('start'), cpu: medianOf('cpu') }
    if (client === 'raw') return common
    if (client === 'flat') return { ...common, import: medianOf('import') }
    return { ...common, import: medianOf('import'), size: megabytes(packages[client]) }
  },
}
