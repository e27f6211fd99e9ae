// What a run says of skipped tests, and when it may not have any.
import { afterEach, describe, expect, it, vi } from 'vitest'
import { required, requirement, skippedLines } from './requirements.ts'

afterEach(() => vi.unstubAllEnvs())

describe('a requirement', () => {
  it('that is missing is a failure where PETREL_REQUIRE names it', () => {
    vi.stubEnv('PETREL_REQUIRE', 'chromium, mosquitto')
    expect(requirement('mosquitto', true)).toBe(true)
    expect(() => requirement('mosquitto', false)).toThrow('apt-get install mosquitto')
    expect(requirement('mounts', false)).toBe(false)
  })

  it('is none where PETREL_REQUIRE is not set', () => {
    vi.stubEnv('PETREL_REQUIRE', undefined)
    expect(required()).toEqual([])
    expect(requirement('mosquitto', false)).toBe(false)
  })
})

describe('what was skipped', () => {
  it('is counted by what its titles need', () => {
    const titles = ['a > b [needs mounts]', 'c [needs chromium] > d', 'e [needs chromium] > f']
    expect(skippedLines(titles)).toEqual({
      lines: [
        'Skipped: 1 test that needs mounts, which are forbidden by the machine, or to all but root.',
        'Skipped: 2 tests that need chromium, which was not found on the PATH. ' +
          'Install it (Debian: apt-get install chromium) and run again.',
      ],
      unexplained: 0,
    })
  })

  it('without a word, or with one that nobody knows, is counted by itself', () => {
    expect(skippedLines(['a', 'b [needs luck]'])).toEqual({
      lines: ['Skipped: 2 whose titles do not say what they need.'],
      unexplained: 2,
    })
  })
})
