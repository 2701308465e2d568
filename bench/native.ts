import { execFileSync } from 'node:child_process'
import { createInterface } from 'node:readline'
import { join } from 'node:path'
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { hasProgram } from './machine.js'
import { startProgram, type Program } from './process.js'

/** The time limit of a load, in milliseconds. */
const MAX_LOAD_MS = 180_000

const SOURCES = fileURLToPath(new URL('native/', import.meta.url))

/** Builds the stand-in and the load generator. @throws if there is no Linux or no compiler. */
export function compile (directory: string): void {
  if (process.platform !== 'linux') throw new Error('The bench needs Linux: its tools use epoll, its figures /proc.')
  if (!hasProgram('cc')) throw new Error('The bench needs a C compiler for its tools: install gcc (apt-get install gcc libc6-dev).')
  for (const tool of ['gateway', 'load']) {
    execFileSync('cc', ['-O2', '-o', join(directory, tool), join(SOURCES, `${tool}.c`)], { stdio: 'inherit' })
  }
}

/** The parameters of the stand-in's answers: see gateway.c. */
export interface Mode {
  /** Milliseconds between writes; 0: as fast as they are read. */
  delayMs: number
  firstMs: number
  tokens: number
  /** Frames per write; each is a separate HTTP chunk. */
  burst: number
}

/** The prompt that selects a mode. */
export function promptOf ({ delayMs, firstMs, tokens, burst }: Mode): string {
  return `bench d${delayMs}-f${firstMs}-t${tokens}-b${burst}`
}

export interface Gateway { program: Program, url: string }

export async function startGateway (directory: string, cores?: string): Promise<Gateway> {
  const program = startProgram(join(directory, 'gateway'), ['0'], { cores, log: join(directory, 'gateway.log'), piped: true })
  const lines = createInterface({ input: program.child.stdout! })[Symbol.asyncIterator]()
  const { value: line } = await lines.next()
  if (!line) throw new Error(`The stand-in did not start:\n${program.readOutput()}`)
  return { program, url: `http://127.0.0.1:${String(line).split(' ')[1]}` }
}

/** The format of a stream's events: see load.c. */
export type Format = 'events' | 'openai' | 'ui' | 'socket'

export interface LoadOptions {
  ports: number[]
  connections: number
  /** The total number; undefined: until the load is stopped. */
  streams?: number
  rampMs?: number
  /** The number of connections that may wait for their first text before more are opened; undefined: no limit. */
  maxSilent?: number
  roundUs?: number
  tokens: number
  format: Format
  requests: string[]
  messages?: string[]
  readers?: string[]
  readersPerRun?: number
}

/** The figures since the previous mark. */
export interface Mark {
  ms: number
  /** Tokens of correct text. */
  tokens: number
  /** Streams that ended with their whole text. */
  streams: number
  /** Responses of 429 or 503; their requests are repeated later. */
  refused: number
  /** Streams that failed, since the start of the load. */
  errors: number
  open: number
  /** Open streams that have received text. */
  streaming: number
  cpuMs: number
  first: { count: number, p50Us: number, p99Us: number }
}

export class Load {
  readonly program: Program
  #lines: AsyncIterator<string>
  #isLate = false

  constructor (directory: string, options: LoadOptions, cores?: string) {
    const files = { requests: options.requests, messages: options.messages, readers: options.readers }
    const args = Object.entries(files).flatMap(([name, texts]) => {
      if (!texts) return []
      writeFileSync(join(directory, name), texts.map(text => `${text}\0`).join(''))
      return [`--${name}`, join(directory, name)]
    })
    const numbers = {
      ports: options.ports.join(),
      connections: options.connections,
      streams: options.streams ?? 0,
      'ramp-ms': options.rampMs ?? 0,
      'max-silent': options.maxSilent ?? 0,
      'round-us': options.roundUs ?? 0,
      tokens: options.tokens,
      'readers-per-run': options.readersPerRun ?? 0,
      format: options.format
    }
    for (const [name, value] of Object.entries(numbers)) args.push(`--${name}`, String(value))
    this.program = startProgram(join(directory, 'load'), args, { cores, log: join(directory, 'load.log'), piped: true })
    this.#lines = createInterface({ input: this.program.child.stdout! })[Symbol.asyncIterator]()
    // If the program has ended, the missing output reports it.
    this.program.child.stdin!.on('error', () => {})
    const timer = setTimeout(() => {
      this.#isLate = true
      this.program.child.kill('SIGKILL')
    }, MAX_LOAD_MS)
    this.program.child.once('exit', () => clearTimeout(timer))
  }

  /** Reads the figures since the last mark. @throws if a stream failed. */
  async mark (): Promise<Mark> {
    const line = this.#nextLine()
    this.program.child.stdin!.write('mark\n')
    return line
  }

  /** Waits for the end of a load with a limited number of streams. */
  ended (): Promise<Mark> {
    return this.#nextLine()
  }

  stop (): Promise<void> {
    return this.program.stop('SIGKILL')
  }

  async #nextLine (): Promise<Mark> {
    const { value } = await this.#lines.next()
    if (this.#isLate) throw new Error(`the load did not come to its end in ${MAX_LOAD_MS / 1000} s`)
    const mark: Mark | undefined = value && JSON.parse(value)
    if (!mark || mark.errors > 0) throw new Error(`${mark?.errors ?? 'Many'} streams were not what they should be:\n${this.program.readOutput()}`)
    return mark
  }
}
