/** `petrel/testing`: a broker to test programs against, in memory or on a port, with a fault script. */

export { Broker } from './broker/broker.ts'
export type { BrokerConnection } from './broker/broker-connection.ts'
export type { Complaint } from './broker/complaints.ts'
export type * from './broker/options.ts'
export { MemoryNetwork } from './broker-memory.ts'
export { createBroker } from './broker-server.ts'
export { Link } from './link.ts'
export { VirtualRuntime, type VirtualRuntimeOptions } from './virtual-runtime.ts'
export { VirtualWorld, type VirtualWorldOptions } from './virtual-world.ts'
export { type FaultTotals, simulate, type SimulationResult, type SimulationScenario } from './simulation.ts'
