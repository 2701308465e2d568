/** Text that every store and protocol takes as it is: NUL and halves of surrogate pairs become U+FFFD. */
export function toStorable (text: string): string {
  const wellFormed = text.isWellFormed() ? text : text.toWellFormed()
  return wellFormed.includes('\0') ? wellFormed.replaceAll('\0', '\ufffd') : wellFormed
}
