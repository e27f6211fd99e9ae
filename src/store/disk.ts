/**
 * All that the file store wants of a disk, and of the process that it runs in: small enough that a simulated
 * disk (`petrel/testing`) can fail, tear, forget and crash at every one of these steps.
 *
 * What a step promises when it resolves is what POSIX promises and no more: a write is seen by every process and
 * survives this one, but not a loss of power; content survives that after `datasync` of the file; names (a new
 * file, a rename, an unlink) after `syncDirectory`. A step that rejects may have happened, or half of it. Errors
 * carry the system's `code` (`'ENOSPC'`, `'ENOENT'`, …).
 */

export interface Disk {
  /** Creates a folder and its missing parents. Harmless when it exists; all of it survives a loss of power. */
  mkdir(path: string): Promise<void>
  /** The names in a folder. */
  list(path: string): Promise<readonly string[]>
  read(path: string): Promise<Uint8Array>
  /** Opens to write: what is there (`'existing'`), or a file without content whether or not there was one. */
  open(path: string, mode: 'existing' | 'empty'): Promise<DiskFile>
  /** Takes the place of what has the new name, in one step. */
  rename(from: string, to: string): Promise<void>
  unlink(path: string): Promise<void>
  syncDirectory(path: string): Promise<void>

  /** Who asks, with a new `token` each time. */
  owner(): Promise<DiskOwner>
  /** Whether that very process still lives; a later one with the same number is another. */
  isAlive(owner: DiskOwner): Promise<boolean>
  pause(milliseconds: number): Promise<void>
}

export interface DiskFile {
  /** Writes all of the bytes. */
  write(bytes: Uint8Array, position: number): Promise<void>
  datasync(): Promise<void>
  truncate(length: number): Promise<void>
  close(): Promise<void>
}

/** A process as a lock names it. All strings are made of `[0-9a-z.]` alone. */
export interface DiskOwner {
  readonly pid: number
  /** When the process began, in whatever unit the system has: two processes of one number differ in it. */
  readonly start: string
  /** Where the number means something: the boot of the machine and the PID namespace. */
  readonly place: string
  /** Tells the locks of one process apart. */
  readonly token: string
}

/** The system's code of an error, if it has one. */
export function codeOf(error: unknown): string | undefined {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  return typeof code === 'string' ? code : undefined
}
