import type { Bytes } from '../executor/events/event-log.js'

/** Printable ASCII without the two characters that JSON escapes: one byte per character in every encoding. */
const PLAIN = /^[ !#-[\]-~]*$/

/** Whether a text is its own JSON content and its own Latin-1, UTF-8 and ASCII encoding. */
export function isPlain (text: string): boolean {
  return PLAIN.test(text)
}

/** Encodes a chunk of HTTP's chunked transfer coding (RFC 9112, section 7.1) as one block for the socket. */
export function toHttpChunk (text: string): Bytes {
  const length = Buffer.byteLength(text)
  return length === text.length ? asciiHttpChunk(text) : Buffer.from(`${length.toString(16)}\r\n${text}\r\n`)
}

/** Like `toHttpChunk`, for a text known to be ASCII: counting its bytes would be the dearest part. */
export function asciiHttpChunk (text: string): string {
  return `${text.length.toString(16)}\r\n${text}\r\n`
}

/** First byte of a frame: FIN, opcode 1 (text). */
const FINAL_TEXT = 0x81
const LENGTH_IN_16_BITS = 126
const LENGTH_IN_64_BITS = 127

/** Encodes a WebSocket text message as a server sends it: one unmasked frame (RFC 6455, section 5.2). */
export function toTextFrame (text: string): Bytes {
  const length = Buffer.byteLength(text)
  return length === text.length ? asciiTextFrame(text) : Buffer.concat([frameHead(length), Buffer.from(text)])
}

/** Like `toTextFrame`, for a text known to be ASCII. */
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
