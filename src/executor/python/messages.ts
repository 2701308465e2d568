import { toStorable } from '#shared/text.ts'

/** A message of a worker, one on each line. `id` is the job that it belongs to. */
export type WorkerMessage =
  | { type: 'alive' }
  | { type: 'text', id: number, text: string }
  | { type: 'progress', id: number, fraction?: number, message?: string }
  | { type: 'log', id: number, text: string }
  | { type: 'done', id: number, retire: boolean }
  | { type: 'error', id: number, retire: boolean, message: string, fault: Fault, traceback: string }

/** Which exception ended a job, and where it was raised. It quotes nothing that the job was given. */
export interface Fault { exception?: string, file?: string, line?: number, function?: string }

/** Bytes. Workers send text in pieces of 64 Ki characters, each of at most 12 bytes, so their lines are shorter. */
export const MAX_LINE = 1024 * 1024
/** In UTF-16 units. */
const MAX_PROGRESS_TEXT = 200
const MAX_NAME = 200

/** Splits a stream into lines. Works on bytes, because a chunk may end within a character. */
export class LineSplitter {
  #rest: Buffer[] = []
  #size = 0

  /** @returns the lines that are complete; undefined if a line exceeds `MAX_LINE`. */
  split (data: Buffer): string[] | undefined {
    const lines: string[] = []
    let start = 0
    for (let end = data.indexOf(10); end !== -1; end = data.indexOf(10, start)) {
      lines.push(Buffer.concat([...this.#rest, data.subarray(start, end)]).toString())
      this.#rest = []
      this.#size = 0
      start = end + 1
    }
    this.#rest.push(data.subarray(start))
    this.#size += data.length - start
    return this.#size > MAX_LINE ? undefined : lines
  }
}

/** Parses a line; undefined if it is not a message of a worker. */
export function parseMessage (line: string): WorkerMessage | undefined {
  let message: Record<string, unknown> | null
  try {
    message = JSON.parse(line)
  } catch {
    return undefined
  }
  if (message?.type === 'alive') return { type: 'alive' }
  const id = message?.id
  if (!message || typeof id !== 'number') return undefined
  switch (message.type) {
    case 'text': return typeof message.text === 'string' ? { type: 'text', id, text: toStorable(message.text) } : undefined
    case 'log': return typeof message.text === 'string' ? { type: 'log', id, text: message.text } : undefined
    case 'progress': return { type: 'progress', id, ...readProgress(message) }
    case 'done': return { type: 'done', id, retire: message.retire === true }
    case 'error': return {
      type: 'error', id, retire: message.retire === true, message: toStorable(`${message.message}`), fault: readFault(message), traceback: `${message.traceback}`
    }
    default: return undefined
  }
}

function readFault ({ exception, place }: Record<string, unknown>): Fault {
  const { file, line, function: name } = (place ?? {}) as Record<string, unknown>
  return {
    ...(typeof exception === 'string' ? { exception: toStorable(exception.slice(0, MAX_NAME)) } : {}),
    ...(typeof file === 'string' ? { file: toStorable(file.slice(-MAX_NAME)) } : {}),
    ...(typeof line === 'number' ? { line } : {}),
    ...(typeof name === 'string' ? { function: toStorable(name.slice(0, MAX_NAME)) } : {})
  }
}

function readProgress ({ fraction, message }: Record<string, unknown>): { fraction?: number, message?: string } {
  return {
    ...(typeof fraction === 'number' ? { fraction: Math.min(1, Math.max(0, fraction)) } : {}),
    ...(typeof message === 'string' ? { message: toStorable(message.slice(0, MAX_PROGRESS_TEXT)) } : {})
  }
}
