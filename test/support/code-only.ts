// A source with everything blanked that is not code: comments, and what stands inside strings, templates and
// regular expressions. Length and lines stay the same, so a position in the one is a position in the other.
// It is a scanner of a hundred lines and not a parser, because no parser of TypeScript is among the project's
// tools; the only guess it makes is whether a slash divides or begins a regular expression.

export function codeOnly(source: string): string {
  return new Scanner(source).scan()
}

// A slash after one of these divides; after anything else it begins a regular expression.
const ENDS_A_VALUE = /(?:[\w$)\]}'"`]|\+\+|--)\s*$/
const KEYWORD_BEFORE_A_VALUE = /\b(?:return|typeof|case|of|in|do|else|void|await|yield|throw|new|delete)\s*$/

class Scanner {
  readonly #source: string
  #position = 0
  #code = ''

  constructor(source: string) {
    this.#source = source
  }

  scan(): string {
    this.#scanCode()
    return this.#code
  }

  /** Until the end, or until the brace that closes a template's `${`. */
  #scanCode(): void {
    let openBraces = 0
    while (this.#position < this.#source.length) {
      const character = this.#at(0)
      if (character === '/' && this.#at(1) === '/') this.#blankUntil(/$/my)
      else if (character === '/' && this.#at(1) === '*') this.#blankUntil(/(?<=\*\/)/y, 2)
      else if (character === '/' && this.#beginsRegExp()) this.#scanRegExp()
      else if (character === "'" || character === '"') this.#scanString(character)
      else if (character === '`') this.#scanTemplate()
      else {
        if (character === '{') openBraces += 1
        if (character === '}' && openBraces-- === 0) return
        this.#keep(1)
      }
    }
  }

  #scanString(quote: string): void {
    this.#keep(1)
    while (this.#position < this.#source.length && this.#at(0) !== quote) {
      this.#blank(this.#at(0) === '\\' ? 2 : 1)
    }
    this.#keep(1)
  }

  #scanTemplate(): void {
    this.#keep(1)
    while (this.#position < this.#source.length && this.#at(0) !== '`') {
      if (this.#at(0) === '$' && this.#at(1) === '{') {
        this.#keep(2)
        this.#scanCode()
        this.#keep(1)
      } else {
        this.#blank(this.#at(0) === '\\' ? 2 : 1)
      }
    }
    this.#keep(1)
  }

  #scanRegExp(): void {
    let inClass = false
    this.#keep(1)
    while (this.#position < this.#source.length && (inClass || this.#at(0) !== '/')) {
      if (this.#at(0) === '[') inClass = true
      if (this.#at(0) === ']') inClass = false
      this.#blank(this.#at(0) === '\\' ? 2 : 1)
    }
    this.#keep(1)
  }

  #beginsRegExp(): boolean {
    const before = this.#code.slice(-40)
    return !ENDS_A_VALUE.test(before) || KEYWORD_BEFORE_A_VALUE.test(before)
  }

  #blankUntil(end: RegExp, atLeast = 0): void {
    this.#blank(atLeast)
    while (this.#position < this.#source.length) {
      end.lastIndex = this.#position
      if (end.test(this.#source)) return
      this.#blank(1)
    }
  }

  #at(offset: number): string {
    return this.#source[this.#position + offset] ?? ''
  }

  #keep(count: number): void {
    this.#code += this.#source.slice(this.#position, this.#position + count)
    this.#position += count
  }

  #blank(count: number): void {
    this.#code += this.#source.slice(this.#position, this.#position + count).replace(/[^\n]/g, ' ')
    this.#position += count
  }
}
