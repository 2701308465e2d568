/** What separates the parts of a URL, and has to be written otherwise in a user or a password. */
const SEPARATORS = /[#/?]/

/**
 * Finds what is wrong with the URL of a database or of Redis. Returns a sentence with its name and what to write, and
 * nothing of the password; undefined if nothing is.
 * @param name of the variable or option.
 * @param schemes without `://`.
 */
export function problemOfConnectionUrl (name: string, text: string, schemes: readonly string[]): string | undefined {
  const beginnings = schemes.map(scheme => `${scheme}://`)
  if (!beginnings.some(beginning => text.toLowerCase().startsWith(beginning))) return `${name} must be a URL that begins with ${beginnings.join(' or ')}`
  if (/\[your[-_ ]?password\]/i.test(text)) return `${name} has [YOUR-PASSWORD] in it: write the password of the database there, without brackets`
  const separator = literalSeparator(text)
  if (separator) return `${name} has a literal ${separator} in its user or password: write it as ${encodeURIComponent(separator)}`
  if (!URL.canParse(text)) return `${name} is no URL: in a password, characters such as @ / # ? % are written as %40 %2F %23 %3F %25`
  return hasLiteralPercent(new URL(text)) ? `${name} has a literal % in its user or password: write it as %25` : undefined
}

/** The same for a PostgreSQL database. */
export function problemOfDatabaseUrl (name: string, text: string): string | undefined {
  return problemOfConnectionUrl(name, text, ['postgres', 'postgresql'])
}

/** A separator before the host: the URL may be one all the same, of another host. */
function literalSeparator (text: string): string | undefined {
  const rest = text.replace(/^[^:]+:\/\/[^/?#]*/, '')
  const beforeHost = rest.slice(0, Math.max(0, rest.lastIndexOf('@')))
  // An option may have an @ in its value.
  if (beforeHost !== '' && !beforeHost.includes('=')) return SEPARATORS.exec(beforeHost)?.[0]
  return rest.includes('#') ? '#' : undefined
}

function hasLiteralPercent ({ username, password }: URL): boolean {
  try {
    decodeURIComponent(username + password)
    return false
  } catch {
    return true
  }
}
