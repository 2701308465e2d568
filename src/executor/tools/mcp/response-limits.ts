import { ownTurn } from '../../../lib/turns.js'
import { ToolError } from '../tool.js'
import { JsonWork } from './json-work.js'

/** Values in the JSON of a response, and lines of an event stream: each takes time to parse, whatever its size. */
const MAX_VALUES = 100_000
const MAX_LINES = 10_000
/** What one JSON may cost, which is parsed at a stroke; in nanoseconds, with the SDK's look at it. */
const MAX_WORK = 10_000_000
/** Bytes that are passed on at a time, and bytes and lines after which an answer waits for a turn of the event loop that no other has. */
const PIECE = 8 * 1024
const TURN_BYTES = 64 * 1024
const TURN_LINES = 200

/**
 * Passes a response of JSON or of events on, in small pieces with turns of the event loop in between: however many answers are read, one goes on at a time.
 * @param isEvents whether each event has a JSON of its own.
 * @throws {ToolError} if it has more values or lines than can be parsed in a short time, or a JSON that takes too long.
 */
export async function * limitResponse (body: AsyncIterable<Uint8Array>, host: string, isEvents: boolean): AsyncGenerator<Uint8Array, void, void> {
  const work = new JsonWork(isEvents)
  let [bytes, lines] = [0, 0]
  for await (const chunk of body) {
    for (let at = 0; at < chunk.length; at += PIECE) {
      const piece = chunk.subarray(at, at + PIECE)
      work.count(piece)
      if (work.values > MAX_VALUES || work.lines > MAX_LINES) throw new ToolError(`${host} sent an answer of more parts than are read.`)
      if (work.most > MAX_WORK) throw new ToolError(`${host} sent an answer that takes too long to read.`)
      yield piece
      bytes += piece.length
      if (bytes < TURN_BYTES && work.lines - lines < TURN_LINES) continue
      ;[bytes, lines] = [0, work.lines]
      await ownTurn()
    }
  }
}
