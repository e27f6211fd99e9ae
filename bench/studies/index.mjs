// What is measured and is not messages per second through the peer: a file each. Every round of every client of a study is
// one call of its `measure`, interleaved with all others. A study is
//
//   id, title
//   quick            true when it is part of a quick run
//   needs            programs, e.g. mosquitto, without which it is left out
//   clients          who takes part, by the names of contestants.mjs; `raw` is the limit
//   once             those of them that are measured in the first round only, because they take too long
//   cases            { name: heading }: everything is measured in each of them; left out when there is one only
//   columns          { figure: heading }, in the order of the table
//   better           { figure: 'less' | 'more' }: the figures that ratios are made of. A ratio is always Petrel's figure
//                    divided by the other's; its key is W8.cpu, or W10.qos0.cpu with a case
//   measure(run)     one round; resolves with the figures; what it throws is the round's error. `run` is
//
//     client, case, version, node, seconds    as asked for
//     programs                                the paths of `needs`
//     startClient(parameters, settings)       Node on the client's core: startClient([script], { port })
//     startPeer(command, parameters, settings)   any program on the peer's core
//
// `settings` become --name value. What is started is ended after the round; measure.mjs says what can be asked of it.

import { allocations } from './allocations.mjs'
import { draining } from './draining.mjs'
import { fileStore } from './file-store.mjs'
import { idle } from './idle.mjs'
import { listeners } from './listeners.mjs'
import { matching } from './matching.mjs'
import { pingPong } from './ping-pong.mjs'
import { startUp } from './start-up.mjs'
import { throughBroker } from './through-broker.mjs'

const list = [pingPong, idle, throughBroker, startUp, matching, draining, fileStore, listeners, allocations]

export const studies = Object.fromEntries(list.map((study) => [study.id, study]))
