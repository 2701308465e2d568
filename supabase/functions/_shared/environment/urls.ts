/**
 * Finds what is wrong with the address of a server that is reached by HTTP. Returns a sentence with the variable's name and
 * what to write; undefined if nothing is.
 */
export function problemOfHttpUrl (variable: string, text: string): string | undefined {
  if (/^https?:\/\//i.test(text) && URL.canParse(text)) return undefined
  const must = `${variable} must be a URL that begins with http:// or https://`
  return isHost(text) ? `${must}: write ${schemeFor(text)}://${text}` : must
}

/** Whether a text is a host with or without a port: its last label is short, so that it is no token, and may be repeated. */
function isHost (text: string): boolean {
  return /^(localhost|([a-z\d-]{1,63}\.)+[a-z]{2,10}|(\d{1,3}\.){3}\d{1,3})(:\d{1,5})?\/?$/i.test(text)
}

function schemeFor (host: string): 'http' | 'https' {
  return /^(localhost|127\.|10\.|192\.168\.|[^/:]+\.internal)/i.test(host) ? 'http' : 'https'
}
