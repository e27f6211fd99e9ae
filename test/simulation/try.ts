import { simulate } from '../../src/testing/simulation.ts'
const from = Number(process.argv[2] ?? 0),
  to = Number(process.argv[3] ?? 5)
let bad = 0
for (let s = from; s < to; s++) {
  const t = performance.now()
  const r = await simulate(s)
  if (r.violations.length > 0) {
    bad++
    console.log(
      s,
      r.version,
      r.operations,
      r.digest,
      JSON.stringify(r.totals),
      Math.round(performance.now() - t),
    )
    for (const v of r.violations.slice(0, 6)) console.log('   ', v)
  } else if (to - from < 10)
    console.log(
      s,
      r.version,
      r.operations,
      r.digest,
      JSON.stringify(r.totals),
      Math.round(performance.now() - t),
    )
}
console.log(to - from, 'seeds', bad, 'bad')
