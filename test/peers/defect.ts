// A defect: what is done with a client, what is measured, and when that is a defect. Who the client is does
// not matter.
import type { Peer } from './peer.ts'

export interface Finding {
  /** What the client did, with the figures. */
  readonly text: string
  /** Undefined: it could not be measured. */
  readonly isDefect: boolean | undefined
  readonly figures: Readonly<Record<string, unknown>>
}

export interface Defect {
  readonly name: string
  /** What is done, and what is right. */
  readonly about: string
  run(peer: Peer, root: string): Promise<Finding>
}

/** Ties the figures of a measurement to what they say. */
export function defect<Figures extends object>(definition: {
  readonly name: string
  readonly about: string
  measure(peer: Peer, root: string): Promise<Figures>
  describe(figures: Figures): string
  isDefect(figures: Figures): boolean | undefined
}): Defect {
  const { name, about } = definition
  return {
    name,
    about,
    run: async (peer, root) => {
      const figures = await definition.measure(peer, root)
      return {
        text: definition.describe(figures),
        isDefect: definition.isDefect(figures),
        figures: Object.fromEntries(Object.entries(figures)),
      }
    },
  }
}
