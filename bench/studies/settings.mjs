// What a process of a study was started with: --name value.

const NUMBERS = ['port', 'seconds', 'count', 'qos', 'payload', 'window']

const pairs = process.argv
  .slice(2)
  .join('\n')
  .matchAll(/^--(.*)\n(.*)$/gm)

export const settings = Object.fromEntries(
  Array.from(pairs, ([, name, value]) => [name, NUMBERS.includes(name) ? Number(value) : value]),
)
