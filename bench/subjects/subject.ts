import { join } from 'node:path'
import type { Lab } from '../lab.js'
import type { Format, LoadOptions } from '../native.js'
import { isHealthy, startProgram, untilStarted, type ProgramOptions } from '../process.js'

export const SUBJECTS = ['ours', 'pipe', 'reencode', 'nginx', 'express', 'aisdk', 'portkey'] as const
export type SubjectName = typeof SUBJECTS[number]

/** A server between a gateway and its readers. */
export interface Subject {
  name: SubjectName
  /** A description for the table. */
  title: string
  format: Format
  /** Installs what it needs. @returns a sentence if that is impossible. */
  prepare? (lab: Lab): Promise<string | undefined>
  /** @param upstream the gateway's URL, without a path. */
  start (lab: Lab, upstream: string): Promise<Server>
}

/** Processor time of what stands behind the processes, in milliseconds. */
export interface Stores { redisMs: number, databaseMs: number }

/** A running subject. */
export interface Server {
  pid: number
  port: number
  /** Further processes of it, whose processor time counts with the first one's. */
  otherPids?: number[]
  /** Where several processes listen, each on a port of its own. */
  ports?: number[]
  /** What its stores have spent since they started. */
  readStores? (): Promise<Stores>
  /** Milliseconds from its start to its first response. */
  startupMs: number
  /** Raw HTTP requests with this prompt, for the load generator. */
  requests (prompt: string): Pick<LoadOptions, 'requests' | 'messages' | 'readers'>
  /** The same over a WebSocket, if supported. */
  socketRequests? (prompt: string): Pick<LoadOptions, 'requests' | 'messages'>
  /** Called when the load has begun. */
  settle? (): Promise<void>
  stop (): Promise<void>
}

interface ServerOptions extends Pick<ProgramOptions, 'env'> {
  port: number
  /** The path that is polled until it responds; `/health` by default. */
  health?: string
  bound?: boolean
}

/** Starts a subject's program, by default on the server's core, and waits for its first response. */
export async function startServer (
  lab: Lab, name: string, command: string, args: string[], { port, env, health = '/health', bound = true }: ServerOptions
): Promise<Pick<Server, 'pid' | 'port' | 'startupMs' | 'stop'>> {
  const program = startProgram(command, args, { env, cores: bound ? lab.cores?.server : undefined, cwd: lab.directory, log: join(lab.directory, `${name}-${port}.log`) })
  const startupMs = await untilStarted(name, program, () => isHealthy(`http://127.0.0.1:${port}${health}`))
  return { pid: program.pid, port, startupMs, stop: () => program.stop() }
}

/** Builds a raw HTTP request. */
export function post (path: string, headers: Record<string, string>, body: object): string {
  const json = JSON.stringify(body)
  return head('POST', path, { ...headers, 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(json)) }) + json
}

export function head (method: string, path: string, headers: Record<string, string>): string {
  const lines = Object.entries({ host: '127.0.0.1', ...headers }).map(([name, value]) => `${name}: ${value}\r\n`)
  return `${method} ${path} HTTP/1.1\r\n${lines.join('')}\r\n`
}

/** The body of a chat completion request. */
export function completion (prompt: string): object {
  return {
    model: 'google/gemini-2.5-flash',
    messages: [{ role: 'user', content: prompt }],
    stream: true,
    stream_options: { include_usage: true }
  }
}
