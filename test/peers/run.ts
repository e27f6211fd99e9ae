// `npm run defects`: what users of MQTT.js run into, measured with it and with Petrel, as a table. With
// `-- --write` it makes docs/comparison.md, with `-- --json` it prints the figures. Exits with 1 when Petrel
// shows a defect, with 2 when MQTT.js is not installed.
import { writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { DEFECTS } from './defects.ts'
import { findMqttJs } from './mqttjs.ts'
import { findPetrel } from './petrel.ts'
import { throwHere } from './subscribing.ts'
import { type Circumstances, pageOf, type Row, tableOf } from './table.ts'

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: { json: { type: 'boolean', default: false }, write: { type: 'boolean', default: false } },
  })
  const root = join(dirname(process.argv[1] ?? ''), '../..')
  const petrel = findPetrel(root)
  const mqttJs = findMqttJs(root)
  if (mqttJs === undefined) {
    console.error('defects: MQTT.js is not installed here; npm ci --prefix bench installs it')
    return 2
  }
  const rows: Row[] = []
  for (const defect of DEFECTS) {
    if (!values.json) console.error(`… ${defect.name}`)
    rows.push({ defect, mqttJs: await defect.run(mqttJs, root), petrel: await defect.run(petrel, root) })
  }
  const circumstances: Circumstances = {
    mqttJs: mqttJs.version,
    petrel: petrel.version,
    node: process.version,
    date: new Date().toISOString().slice(0, 10),
  }
  if (values.write) writeFileSync(join(root, 'docs/comparison.md'), pageOf(rows, circumstances))
  const json = rows.map(({ defect: { name, about }, ...findings }) => ({ name, about, ...findings }))
  console.log(
    values.json ? JSON.stringify({ ...circumstances, defects: json }) : `\n${tableOf(rows, circumstances)}`,
  )
  return rows.some((row) => row.petrel.isDefect === true) ? 1 : 0
}

// The process of a handler that throws is this program, too.
if (!(await throwHere())) process.exit(await main())
