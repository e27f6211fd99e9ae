// The process that W11 starts: node start-up-client.mjs CLIENT PORT VERSION. It prints how many ms the import took, when,
// on the wall clock, CONNACK was there, and the ms of CPU until then. It imports nothing else, not even its own folder's
// modules.

const [client, port, version] = process.argv.slice(2)

let imported
const timed = async (specifier) => {
  const begun = performance.now()
  const module = await import(specifier)
  imported = performance.now() - begun
  return module
}

const starts = {
  petrel: async () => {
    const { connect } = await timed('petrel')
    await connect(`mqtt://127.0.0.1:${port}`, { protocolVersion: version })
  },
  mqttjs: async () => {
    const { default: mqtt } = await timed('mqtt')
    await mqtt.connectAsync(`mqtt://127.0.0.1:${port}`, { protocolVersion: version === '5' ? 5 : 4 })
  },
  awscrt: async () => {
    const { io, mqtt, mqtt5 } = (await timed('aws-crt')).default
    if (version === '5') {
      const client = new mqtt5.Mqtt5Client({
        hostName: '127.0.0.1',
        port: Number(port),
        connectProperties: { clientId: 'bench', keepAliveIntervalSeconds: 60 },
      })
      const connected = new Promise((resolve) => client.once('connectionSuccess', resolve))
      client.start()
      await connected
      return
    }
    const connection = new mqtt.MqttClient().new_connection({
      client_id: 'bench',
      host_name: '127.0.0.1',
      port: Number(port),
      clean_session: true,
      keep_alive: 60,
      socket_options: new io.SocketOptions(),
    })
    await connection.connect()
  },
  flat: async () => {
    const { connect } = await timed('../clients/flat.mjs')
    await connect({ port, version })
  },
  raw: async () => {
    const { connect } = await timed('node:net')
    const level = version === '5' ? 5 : 4
    const rest = [0, 4, 77, 81, 84, 84, level, 2, 0, 60, ...(level === 5 ? [0] : []), 0, 1, 97]
    await new Promise((resolve) => {
      connect(Number(port), '127.0.0.1')
        .once('data', resolve)
        .write(Buffer.from([0x10, rest.length, ...rest]))
    })
  },
}

await starts[client]()
const connected = performance.timeOrigin + performance.now()
const { user, system } = process.cpuUsage()
const result = { connected, imported, cpu: (user + system) / 1e3 }
process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0))
