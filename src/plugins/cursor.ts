import { errors } from '../errors.js'

/** The last run of a page: its microsecond and its id. */
export interface Position { time: string, id: string }

const POSITION = /^(\d{4}-\d\d-\d\dT[\d:.]+(?:[+-]\d\d:\d\d|Z)) ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/

export function writeCursor ({ time, id }: Position): string {
  return Buffer.from(`${time} ${id}`).toString('base64url')
}

/** Throws `bad_request` for what `writeCursor` has not written. */
export function readCursor (cursor: string): Position {
  const [, time, id] = POSITION.exec(Buffer.from(cursor, 'base64url').toString()) ?? []
  if (!time || !id || Number.isNaN(Date.parse(time))) {
    throw errors.badRequest('The cursor is none that this service has given out.')
  }
  return { time, id }
}
