// What is measured. A workload of the roles `publish` and `receive` is an entry here: client.mjs knows how to run it and
// measure.mjs how to check it. What is of another kind (latency, idle connections, start-up …) is in studies/.
//
// `modes` are Petrel's ways of doing it: the first has the workload's name as its key, the others follow a dot (W1 is
// send(), W1.publish, W1.publishAll). All other clients have one way. `near`: raw Node and raw C should be within 30 %
// of each other; where they are not, the run is void. `quick`: part of a quick run. `prelude`: so many messages of QoS 0
// and of QoS 1 are published on the connection before anything is received, by the JavaScript clients: code that has seen
// one kind of work only is compiled for that, and few programs are so.

const small = { payload: 64, topics: 1, quick: true }
const large = { payload: 16_384, topics: 1, quick: true, near: true }

const W1 = {
  ...small,
  title: 'publish QoS 0, 64 bytes',
  role: 'publish',
  qos: 0,
  modes: ['send', 'publish', 'publishAll'],
}
const W4 = {
  ...small,
  title: 'receive QoS 0, 64 bytes',
  role: 'receive',
  qos: 0,
  modes: ['kept', 'borrowed'],
  near: true,
}

export const workloads = {
  W1,
  W1x100: { ...W1, title: `${W1.title}, 100 topics in rotation`, topics: 100, quick: false },
  W1x2000: { ...W1, title: `${W1.title}, 2,000 topics in rotation`, topics: 2000, quick: false },
  W2: {
    ...small,
    title: 'publish QoS 1, 64 bytes',
    role: 'publish',
    qos: 1,
    window: 65_519,
    modes: ['publish', 'publishAll'],
  },
  W2b: {
    ...small,
    title: 'publish QoS 1, 64 bytes, window 100',
    role: 'publish',
    qos: 1,
    window: 100,
    fixedWindow: true,
    modes: ['publishAll', 'publish'],
  },
  W3: {
    ...small,
    title: 'publish QoS 2, 64 bytes',
    role: 'publish',
    qos: 2,
    window: 65_519,
    modes: ['publish', 'publishAll'],
  },
  W4,
  W4mixed: {
    ...W4,
    title: `${W4.title}, behind publishing`,
    prelude: 20_000,
    quick: false,
    near: false,
  },
  W4x100: { ...W4, title: `${W4.title}, 100 topics in rotation`, topics: 100, quick: false },
  W4x2000: { ...W4, title: `${W4.title}, 2,000 topics in rotation`, topics: 2000, quick: false },
  W5: { ...small, title: 'receive QoS 1, 64 bytes', role: 'receive', qos: 1, modes: ['kept', 'borrowed'] },
  W5b: { ...small, title: 'receive QoS 2, 64 bytes', role: 'receive', qos: 2, modes: ['kept', 'borrowed'] },
  W6: { ...large, title: 'receive QoS 0, 16 KiB', role: 'receive', qos: 0, modes: ['kept', 'borrowed'] },
  W7: {
    ...large,
    title: 'publish QoS 0, 16 KiB',
    role: 'publish',
    qos: 0,
    modes: ['send', 'publish', 'publishAll'],
  },
}

/** W1.publish and the like; the first mode has the workload's own name. */
export const keyOf = (id, workload, mode) =>
  mode === undefined || mode === workload.modes[0] ? id : `${id}.${mode}`
