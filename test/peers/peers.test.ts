// The page of `npm run defects`; the measurements need MQTT.js and are made by the command itself.
import { describe, expect, it } from 'vitest'
import { DEFECTS } from './defects.ts'
import { defect, type Finding } from './defect.ts'
import type { Peer } from './peer.ts'
import { pageOf, type Row, tableOf } from './table.ts'

const CIRCUMSTANCES = { mqttJs: '5.16.0', petrel: '0.1.0', node: 'v20.19.0', date: '2026-01-31' }

function row(petrel: Finding): Row {
  const mqttJs = { isDefect: true, text: '1 | 2', figures: {} }
  return { defect: { name: 'Acknowledgements', about: 'They come.' }, mqttJs, petrel }
}

describe('the table', () => {
  it.each([
    [true, '✗'],
    [false, '✓'],
    [undefined, '–'],
  ])('marks a finding whose isDefect is %s by %s', (isDefect, mark) => {
    const [head, , line] = tableOf([row({ isDefect, text: 'none', figures: {} })], CIRCUMSTANCES).split('\n')
    expect(head).toBe('| what | MQTT.js 5.16.0 | Petrel 0.1.0 |')
    expect(line).toBe(`| Acknowledgements | ✗ 1 \\| 2 | ${mark} none |`)
  })

  it('stands on a page that says what was done, by which command, and when', () => {
    const page = pageOf([row({ isDefect: false, text: 'none', figures: {} })], CIRCUMSTANCES)
    expect(page).toContain('- **Acknowledgements.** They come.')
    expect(page).toContain('`npm ci --prefix bench && npm run defects -- --write`')
    expect(page).toContain('2026-01-31, Node v20.19.0')
  })
})

describe('a defect', () => {
  const peer: Peer = {
    name: 'a client',
    version: '1.0.0',
    create: () => {
      throw new Error('nothing is connected here')
    },
  }

  it('is judged by its figures', async () => {
    const late = defect({
      name: 'late',
      about: '',
      measure: ({ version }) => Promise.resolve({ version, after: 5 }),
      describe: ({ after }) => `after ${after} ms`,
      isDefect: ({ after }) => after > 4,
    })
    expect(await late.run(peer, '')).toEqual({
      text: 'after 5 ms',
      isDefect: true,
      figures: { version: '1.0.0', after: 5 },
    })
  })

  it('has a name of its own', () => {
    expect(new Set(DEFECTS.map(({ name }) => name)).size).toBe(DEFECTS.length)
  })
})
