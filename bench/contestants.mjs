// Who is measured. `windows` are the three numbers of outstanding messages that each peer is tried with, the best of
// which is printed; the first is the one known to be good, and the only one of a quick run. `rates` are first guesses
// in messages a second, from which the length of a first run is chosen; later runs follow the rates measured.
//
// `hasModes`: it does a workload in each of its modes, as Petrel does.
//
// Both windows and rates are by class of work: p0 p1 p2 publish with QoS 0, 1, 2; r0 r1 r2 receive; P and R the same with
// 16 KiB.
// With r1 and r2 the window is the peer's: how many messages it sends before it waits for acknowledgements.

const acknowledged = [16_384, 1000, 100]
const anyVersion = () => true

export const contestants = {
  petrel: {
    label: 'Petrel',
    family: 'petrel',
    speaks: anyVersion,
    windows: {
      p0: [1000],
      p1: [2_000, 1_000, 65_519],
      p2: [2_000, 1_000, 65_519],
      r1: [16_384],
      r2: [16_384],
    },
    rates: { p0: 1e6, p1: 3e5, p2: 3e5, r0: 4e6, r1: 4e6, r2: 1.5e6, P: 5e4, R: 1.5e5 },
    hasModes: true,
  },
  mqttjs: {
    label: 'MQTT.js',
    family: 'js',
    speaks: anyVersion,
    windows: {
      p0: [30, 10, 100],
      p1: [20_000, 1000, 100],
      p2: [300, 100, 1000],
      P: [100, 10, 30],
      r1: acknowledged,
      r2: acknowledged,
    },
    rates: { p0: 3e5, p1: 6e4, p2: 3e4, r0: 4e5, r1: 6e4, r2: 3e4, P: 1e5, R: 8e4 },
  },
  u8mqtt: {
    label: 'u8-mqtt',
    family: 'js',
    // No QoS 2; and after large messages the last one of a burst never comes out of its decoder.
    speaks: ({ role, qos, payload }) => qos < 2 && (role === 'publish' || payload < 4096),
    windows: { p0: [100, 30, 1000], p1: [100, 30, 1000], P: [100, 10, 30], r1: acknowledged },
    rates: { p0: 6e4, p1: 3e4, r0: 3e4, r1: 2e4, P: 3e4 },
  },
  pahojs: {
    label: 'paho-mqtt',
    family: 'js',
    speaks: ({ version }) => version === '3.1.1',
    windows: {
      p0: [100, 30, 300],
      p1: [100, 20, 1000],
      p2: [100, 20, 1000],
      P: [100, 10, 30],
      r1: acknowledged,
      r2: acknowledged,
    },
    rates: { p0: 4e4, p1: 2e4, p2: 1e4, r0: 1e5, r1: 4e4, r2: 2e4, P: 3e4, R: 2e4 },
  },
  awscrt: {
    label: 'aws-crt',
    family: 'js',
    speaks: ({ version, qos }) => version === '3.1.1' || qos < 2,
    windows: {
      p0: [100, 30, 1000],
      p1: [100, 1000, 5000],
      p2: [100, 1000, 5000],
      P: [100, 10, 30],
      r1: acknowledged,
      r2: acknowledged,
    },
    rates: { p0: 6e4, p1: 5e4, p2: 3e4, r0: 2e5, r1: 9e4, r2: 5e4, P: 3e4, R: 4e4 },
  },
  mosquitto: {
    label: 'libmosquitto',
    family: 'c',
    speaks: anyVersion,
    windows: {
      p0: [1000, 100, 10_000],
      p1: [100, 20, 1000],
      p2: [100, 20, 1000],
      P: [100, 10, 1000],
      r1: acknowledged,
      r2: acknowledged,
    },
    rates: { p0: 2e5, p1: 9e4, p2: 4e4, r0: 1.1e5, r1: 7e4, r2: 4e4, P: 8e4, R: 5e4 },
  },
  paho: {
    label: 'Paho C',
    family: 'c',
    speaks: anyVersion,
    windows: {
      p0: [100],
      p1: [100, 20, 1000],
      p2: [100, 20, 1000],
      P: [100],
      r1: acknowledged,
      r2: acknowledged,
    },
    rates: { p0: 1.6e5, p1: 3.5e4, p2: 2e4, r0: 8e4, r1: 4.5e4, r2: 2e4, P: 8e4, R: 4e4 },
  },
  bare: {
    label: 'bare loop',
    family: 'bare',
    speaks: ({ topics }) => topics === 1,
    windows: { p1: [2_000, 1_000], p2: [2_000, 1_000], r1: [16_384], r2: [16_384] },
    rates: { p0: 8e6, p1: 2e6, p2: 2e6, r0: 6e6, r1: 6e6, r2: 2e6, P: 2e5, R: 2e5 },
    hasModes: true,
  },
  flat: {
    label: 'flat loop',
    family: 'bare',
    speaks: ({ topics, version, payload }) => topics === 1 && version === '3.1.1' && payload < 4_096,
    windows: { p1: [2_000, 1_000], p2: [2_000, 1_000], r1: [16_384], r2: [16_384] },
    rates: { p0: 8e6, p1: 2e6, p2: 2e6, r0: 6e6, r1: 6e6, r2: 2e6 },
    hasModes: true,
  },
  raw: {
    label: 'raw net.Socket',
    family: 'limit',
    speaks: ({ prelude }) => !prelude,
    windows: { r1: [16_384, 1000, 60_000], r2: [16_384, 1000, 60_000] },
    fullWindow: true,
    rates: { p0: 5e7, p1: 2e7, p2: 1e7, r0: 5e7, r1: 3e7, r2: 2e7, P: 3e5, R: 3e5 },
  },
  'raw-c': {
    label: 'raw C',
    family: 'limit-c',
    speaks: ({ prelude }) => !prelude,
    windows: { r1: [16_384, 1000, 60_000], r2: [16_384, 1000, 60_000] },
    fullWindow: true,
    rates: { p0: 6e7, p1: 4e7, p2: 3e7, r0: 5e7, r1: 3e7, r2: 2e7, P: 4e5, R: 3e5 },
  },
}

/** The class of a workload's work, which windows and rates are listed by. */
export const classOf = ({ role, qos, payload }) =>
  payload > 4096 ? (role === 'publish' ? 'P' : 'R') : `${role === 'publish' ? 'p' : 'r'}${qos}`

/**
 * The windows to try. The raw clients (`fullWindow`) publish with the window that the workload names; a
 * workload whose window is the point of it (`fixedWindow`) has it for everybody; QoS 0 is not received in a window.
 */
export const windowsOf = (contestant, workload) => {
  const list = contestant.windows[classOf(workload)] ?? [1000]
  if (workload.role === 'receive') return workload.qos === 0 ? [1000] : list
  if (workload.fixedWindow) return [workload.window]
  if (contestant.fullWindow) return workload.window ? [workload.window] : list.slice(0, 1)
  return list
}
