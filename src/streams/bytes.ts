import type { Bytes } from '../executor/event-log.js'

/** What a JSON string holds as it is: no quote, no escape, no control character. */
// eslint-disable-next-line no-control-regex
const PLAIN = /^[^"\\\u0000-\u001f]*$/

/** @param text well-formed. */
export function isPlain (text: string): boolean {
  return PLAIN.test(text)
}

/** A text as it goes to a socket: of ASCII it is its own bytes. */
export function toBytes (text: string): Bytes {
  return Buffer.byteLength(text) === text.length ? text : Buffer.from(text)
}
