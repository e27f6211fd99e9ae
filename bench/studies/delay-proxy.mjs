// A TCP proxy that hands every byte on `delay` ms after it came, both ways: a long way to a server that is near.

import { connect, createServer } from 'node:net'
import { parseArgs } from 'node:util'

const { values } = parseArgs({ options: { to: { type: 'string' }, delay: { type: 'string' } } })

const pass = (from, to) => {
  from.on('data', (chunk) => setTimeout(() => to.write(chunk), Number(values.delay)))
  from.on('end', () => setTimeout(() => to.end(), Number(values.delay)))
  from.on('error', () => to.destroy())
}

const server = createServer({ noDelay: true, allowHalfOpen: true }, (near) => {
  const far = connect({ port: Number(values.to), host: '127.0.0.1', noDelay: true, allowHalfOpen: true })
  pass(near, far)
  pass(far, near)
})
server.listen(0, '127.0.0.1', () => console.log(JSON.stringify({ port: server.address().port })))
