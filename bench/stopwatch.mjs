// Time and CPU time of this process, all threads, between two moments. Both in seconds.

export const stopwatch = () => {
  const cpu = process.cpuUsage()
  const start = process.hrtime.bigint()
  return () => {
    const seconds = Number(process.hrtime.bigint() - start) / 1e9
    const used = process.cpuUsage(cpu)
    return { seconds, cpu: (used.user + used.system) / 1e6 }
  }
}
