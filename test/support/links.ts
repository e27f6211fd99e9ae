// The links between the documents: what they lead to must be there, the heading behind a # as well.
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

/** The relative links in a document that lead nowhere. @param path of the document, which need not be there */
export function findBrokenLinks(path: string, text: string): readonly string[] {
  return linksIn(text).filter((link) => {
    const [target = '', heading] = link.split('#')
    if (target === '') return !headingsIn(text).includes(heading ?? '')
    return !leadsSomewhere(join(dirname(path), target), heading)
  })
}

/** Those that stay within the repository. */
export function linksIn(text: string): readonly string[] {
  const links = [...withoutCode(text).matchAll(/\]\(([^()\s]+)\)/g)].map(([, link = '']) => link)
  return links.filter((link) => !/^[a-z]+:/.test(link))
}

function leadsSomewhere(path: string, heading: string | undefined): boolean {
  if (!existsSync(path)) return false
  return heading === undefined || headingsIn(readFileSync(path, 'utf8')).includes(heading)
}

/** As GitHub names them. */
export function headingsIn(text: string): readonly string[] {
  return [...withoutCode(text, /^```.*?^```$/gms).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

function withoutCode(text: string, code: RegExp = /^```.*?^```$|`[^`\n]*`/gms): string {
  return text.replaceAll(code, '')
}
