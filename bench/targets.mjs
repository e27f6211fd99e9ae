// What Petrel is to reach beside the others: ratios of the medians of one run, by the keys of report.mjs. `least` where
// more is better, `most` where less is. A target without a mode after its workload means the first of its modes.

import { keyOf, workloads } from './workloads.mjs'

/** Whom a ratio compares with, by its name in the results. */
export const others = {
  mqtt: 'MQTT.js',
  bestJs: 'best JavaScript peer',
  bestC: 'best of libmosquitto, Paho C',
  limit: 'raw socket',
  packet: 'mqtt-packet',
}

const each = (what, key, bounds, direction) =>
  Object.entries(bounds).map(([other, bound]) => ({ what, key, other, [direction]: bound }))

/** Messages, or bytes, per second. */
const workload = (id, mode, bounds) => each(`${id} ${mode}`, keyOf(id, workloads[id], mode), bounds, 'least')

const atLeast = (what, key, bounds) => each(what, key, bounds, 'least')
const atMost = (what, key, bounds) => each(what, key, bounds, 'most')

export const targets = [
  workload('W1', 'send', { mqtt: 20, bestC: 40, limit: 0.12 }),
  workload('W1', 'publish', { mqtt: 10, bestC: 20, limit: 0.06 }),
  workload('W1', 'publishAll', { mqtt: 20, bestC: 40, limit: 0.12 }),
  workload('W2', 'publish', { mqtt: 17, bestC: 22, limit: 0.05 }),
  workload('W2', 'publishAll', { mqtt: 40, bestC: 50, limit: 0.13 }),
  workload('W2b', 'publishAll', { bestJs: 15, bestC: 12, limit: 0.6 }),
  workload('W3', 'publish', { mqtt: 30, bestC: 35 }),
  workload('W3', 'publishAll', { mqtt: 60, bestC: 70 }),
  workload('W4', 'kept', { mqtt: 11, bestC: 14, limit: 0.17 }),
  workload('W4', 'borrowed', { mqtt: 20, bestC: 26, limit: 0.3 }),
  workload('W5', 'kept', { mqtt: 45, bestC: 38, limit: 0.14 }),
  workload('W5', 'borrowed', { mqtt: 80, bestC: 70, limit: 0.28 }),
  workload('W5b', 'kept', { mqtt: 40, bestC: 40 }),
  workload('W6', 'kept', { mqtt: 1.2, bestC: 1.6 }),
  workload('W6', 'borrowed', { mqtt: 1.4, bestC: 1.9, limit: 0.9 }),
  workload('W7', 'send', { mqtt: 1.9, bestC: 2, limit: 0.85 }),
  atMost('W8 p99', 'W8.p99', { mqtt: 1 }),
  atMost('W8 CPU time of a round', 'W8.cpu', { mqtt: 0.6 }),
  atMost('W9 memory of a connection', 'W9.resident', { mqtt: 0.4, limit: 1.35 }),
  atMost('W10 CPU time of a message, QoS 0', 'W10.qos0.cpu', { mqtt: 0.75 }),
  atMost('W10 CPU time of a message, QoS 1', 'W10.qos1.cpu', { mqtt: 0.75 }),
  atMost('W11 time to CONNACK', 'W11.start', { mqtt: 0.35 }),
  atMost('W11 import', 'W11.import', { mqtt: 0.2 }),
  atLeast('W13 messages per second', 'W13.rate', { mqtt: 20 }),
  atLeast('codec, the least of its rows', 'codec', { packet: 8 }),
].flat()

/** { ratio, met }; undefined where the run has nothing to compare with. */
export const reached = ({ key, other, least, most }, ratios) => {
  const ratio = ratios[key]?.[other] ?? undefined
  return ratio === undefined
    ? undefined
    : { ratio, met: ratio >= (least ?? 0) && ratio <= (most ?? Infinity) }
}
