import type { Bytes } from '../executor/events/event-log.js'

/** ASCII, a byte a character, in which JSON has nothing to escape. */
const PLAIN = /^[ !#-[\]-~]*$/

export function isPlain (text: string): boolean {
  return PLAIN.test(text)
}

/** A chunk of HTTP's chunked transfer coding (RFC 9112, 7.1), which goes to a socket in one piece. */
export function toHttpChunk (text: string): Bytes {
  const length = Buffer.byteLength(text)
  return length === text.length ? asciiHttpChunk(text) : Buffer.from(`${length.toString(16)}\r\n${text}\r\n`)
}

/** The same of a text that is known to be ASCII: to count its bytes costs more than all else of it. */
export function asciiHttpChunk (text: string): string {
  return `${text.length.toString(16)}\r\n${text}\r\n`
}

const FINAL_TEXT = 0x81
const LENGTH_IN_16_BITS = 126
const LENGTH_IN_64_BITS = 127

/** A message of a WebSocket as its server sends it: one unmasked frame (RFC 6455, 5.2). */
export function toTextFrame (text: string): Bytes {
  const length = Buffer.byteLength(text)
  return length === text.length ? asciiTextFrame(text) : Buffer.concat([frameHead(length), Buffer.from(text)])
}

/** The same of a text that is known to be ASCII. */
export function asciiTextFrame (text: string): Bytes {
  const { length } = text
  if (length < LENGTH_IN_16_BITS) return String.fromCharCode(FINAL_TEXT, length) + text
  if (length < 65_536) return String.fromCharCode(FINAL_TEXT, LENGTH_IN_16_BITS, length >> 8, length & 255) + text
  return Buffer.concat([frameHead(length), Buffer.from(text)])
}

function frameHead (length: number): Buffer {
  if (length < LENGTH_IN_16_BITS) return Buffer.from([FINAL_TEXT, length])
  const isLong = length >= 65_536
  const head = Buffer.from([FINAL_TEXT, isLong ? LENGTH_IN_64_BITS : LENGTH_IN_16_BITS, ...new Array(isLong ? 8 : 2).fill(0)])
  if (isLong) head.writeBigUInt64BE(BigInt(length), 2)
  else head.writeUInt16BE(length, 2)
  return head
}
