/** What an operator may have meant by letters behind a number, in the smallest unit of its kind. */
const TIME: Record<string, number> = { ms: 1, s: 1000, sec: 1000, second: 1000, m: 60_000, min: 60_000, minute: 60_000, h: 3_600_000, hour: 3_600_000, d: 86_400_000, day: 86_400_000 }
const BYTES: Record<string, number> = { b: 1, byte: 1, k: 1024, kb: 1024, kib: 1024, m: 1024 ** 2, mb: 1024 ** 2, mib: 1024 ** 2, g: 1024 ** 3, gb: 1024 ** 3, gib: 1024 ** 3 }

interface Unit { of: RegExp, name: string, kind: Record<string, number>, size: number }

/** The units of variables, by their names. */
const UNITS: readonly Unit[] = [
  { of: /(_MS|_WINDOW)$/, name: 'milliseconds', kind: TIME, size: 1 },
  { of: /_SECONDS$/, name: 'seconds', kind: TIME, size: 1000 },
  { of: /_DAYS$/, name: 'days', kind: TIME, size: 86_400_000 },
  { of: /(_BYTES|^BODY_LIMIT)$/, name: 'bytes', kind: BYTES, size: 1 },
  { of: /_MB$/, name: 'MiB', kind: BYTES, size: 1024 ** 2 }
]

const PLAIN = /^[+-]?(\d+(\.\d*)?|\.\d+)$/
/** Digits with separators of thousands or an exponent, and maybe a unit. */
const DECORATED = /^([+-]?\d[\d_' ]*(?:[.,]\d+)*(?:e\+?\d{1,2})?) ?([a-z]{0,7})$/i

/**
 * Finds what is wrong with the text of a number: nothing but digits is taken, since what letters mean differs between programs.
 * Returns a sentence with the variable's name and, where it can be guessed, what to write; undefined if nothing is.
 * @param kind what the variable takes.
 */
export function problemOfNumber (variable: string, text: string, kind: 'integer' | 'number'): string | undefined {
  if (PLAIN.test(text)) return undefined
  // What counts things has no unit.
  const unit = UNITS.find(({ of }) => of.test(variable))
  const meant = guess(unit, text, kind)
  return `${variable} must be a plain ${kind}${unit ? ` of ${unit.name}` : ''}, ${meant === undefined ? 'in digits' : `without a unit: write ${meant} instead of ${text}`}`
}

function guess (unit: Unit | undefined, text: string, kind: 'integer' | 'number'): number | undefined {
  const [, digits, letters = ''] = DECORATED.exec(text) ?? []
  if (digits === undefined) return undefined
  const factor = letters === '' ? 1 : factorOf(unit, letters.toLowerCase())
  const value = Number(withoutSeparators(digits)) * factor
  return Number.isFinite(value) && (kind === 'number' || Number.isInteger(value)) ? value : undefined
}

function factorOf (unit: Unit | undefined, letters: string): number {
  const size = unit?.kind[letters] ?? unit?.kind[letters.replace(/s$/, '')]
  return unit && size !== undefined ? size / unit.size : NaN
}

/** Commas and points that stand before three digits each separate thousands, if there are several or it is a comma. */
function withoutSeparators (digits: string): string {
  const text = digits.replace(/[_' ]/g, '')
  return /^[+-]?\d{1,3}(,\d{3})+$|^[+-]?\d{1,3}(\.\d{3}){2,}$/.test(text) ? text.replace(/[.,]/g, '') : text.replace(',', '.')
}
