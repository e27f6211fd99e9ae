// One authority for all brokers of a run, and a certificate for loopback in the files that they want to have it in.
import { Authority } from '../support/certificates.ts'
import { writeLines } from './processes.ts'

const authority = new Authority('Brokers of a test')

/** As PEM. */
export const ca: string = authority.cert

export interface CertificateFiles {
  readonly ca: string
  readonly cert: string
  readonly key: string
  /** Certificate, key and authority in one. */
  readonly all: string
}

export function writeCertificates(folder: string): CertificateFiles {
  const { cert, key } = authority.issue({ names: ['localhost', '127.0.0.1'] })
  return {
    ca: writeLines(folder, 'ca.pem', [ca]),
    cert: writeLines(folder, 'cert.pem', [cert]),
    key: writeLines(folder, 'key.pem', [key]),
    all: writeLines(folder, 'all.pem', [cert, key, ca]),
  }
}
