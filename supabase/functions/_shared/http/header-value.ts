/** Whether a text can be sent in a header: one line of ASCII. Libraries put one that cannot into their errors, in clear. */
export function isHeaderValue (text: string): boolean {
  return !/[^ -~]/.test(text)
}

/** Whether a text can be the name of a header. */
export function isHeaderName (text: string): boolean {
  return /^[!#$%&'*+.^`|~\w-]+$/.test(text)
}
