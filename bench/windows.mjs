// The two ways in which adapters keep a number of publishes outstanding. They cost next to nothing themselves: what
// is measured is the client's own completion.

/**
 * `window` outstanding, each with a continuation of its own that starts the next: `start(done, failed)` begins one.
 * `done` must not be called before `start` has returned.
 */
export const sliding = (count, window, start) =>
  new Promise((resolve, reject) => {
    let started = 0
    let completed = 0
    const done = () => {
      completed++
      if (started < count) {
        started++
        start(done, reject)
      } else if (completed === count) resolve()
    }
    while (started < Math.min(window, count)) {
      started++
      start(done, reject)
    }
  })

/** `window` at once, then a wait for the last of them: `send(n)` sends n and resolves when the last is complete. */
export const slices = async (count, window, send) => {
  for (let left = count; left > 0; left -= window) await send(Math.min(window, left))
}

/** A function that returns the topics in turn; the one topic when there is only one. */
export const rotation = (topics) => {
  if (topics.length === 1) return () => topics[0]
  let next = 0
  return () => {
    const topic = topics[next]
    next = next + 1 === topics.length ? 0 : next + 1
    return topic
  }
}
