// All packets typed by hand, of both versions.

import type { Fixture } from './fixture.ts'
import { FIXTURES_311 } from './fixtures-3.1.1.ts'
import { FIXTURES_5 } from './fixtures-5.ts'

export const FIXTURES: readonly Fixture[] = [...FIXTURES_311, ...FIXTURES_5]
