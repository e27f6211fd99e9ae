import fc from 'fast-check'
import { expect, it } from 'vitest'
import { Fifo } from './fifo.ts'

it('gives what it got in the same order, and tells how many and which is first', () => {
  const steps = fc.array(fc.oneof(fc.constant('push'), fc.constant('shift'), fc.constant('shift twice')), {
    maxLength: 1_000,
  })
  fc.assert(
    fc.property(steps, fc.nat(300), (list, before) => {
      const fifo = new Fifo<number>()
      const model: number[] = []
      let next = 0
      const push = (): void => {
        fifo.push(next)
        model.push(next++)
      }
      for (let count = 0; count < before; count += 1) push()
      for (const step of list) {
        if (step === 'push') push()
        else
          for (let count = step === 'shift' ? 1 : 2; count > 0; count -= 1)
            expect(fifo.shift()).toBe(model.shift())
        expect([fifo.length, fifo.first]).toEqual([model.length, model[0]])
      }
      fifo.filter((item) => item % 3 > 0)
      expect(fifo.drain()).toEqual(model.filter((item) => item % 3 > 0))
      expect([fifo.length, fifo.first, fifo.shift()]).toEqual([0, undefined, undefined])
    }),
  )
})

it('keeps items that are undefined', () => {
  const fifo = new Fifo<number | undefined>()
  fifo.push(undefined)
  fifo.push(1)
  expect([fifo.length, fifo.shift(), fifo.length, fifo.shift(), fifo.length]).toEqual([2, undefined, 1, 1, 0])
})
