import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream, type WriteStream } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { commandOf } from '../support/process.js'
import { Proxy } from './proxy.js'

/** The services that each process reaches through its own proxy, and the variables that contain their URLs. */
const SERVICES = { redis: 'REDIS_URL', postgres: 'SUPABASE_DB_URL' } as const
export type Service = keyof typeof SERVICES
const DEFAULT_PORTS = { redis: 6379, postgres: 5432 }

/** A process that has not ended by then after SIGTERM hangs: its own time limit is 8.5 s. */
const MAX_END_MS = 15_000

export interface ReplicaOptions {
  number: number
  /** A `worker` serves no readers. */
  program: 'server' | 'worker'
  variables: Record<string, string>
  /** Options of Node. */
  nodeOptions?: string[]
  /** Whether it reaches its services itself: proxies stand still while the process that has them is busy. */
  isDirect?: boolean
  /** A directory for its log. */
  logs?: string
}

/** A process of the service that can be ended and started again. */
export class Replica {
  url = ''
  /** Misbehaviour: output on standard error, an unexpected end, an end that took too long. */
  readonly complaints: string[] = []
  #child!: ChildProcess
  #isToEnd = false
  #proxies = new Map<Service, Proxy>()
  #routes?: Record<string, string>
  #log?: WriteStream

  constructor (readonly options: ReplicaOptions) {
    if (options.logs) this.#log = createWriteStream(join(options.logs, `replica-${options.number}.log`), { flags: 'a' })
  }

  get pid (): number { return this.#child.pid! }
  get name (): string { return `${this.options.program} ${this.options.number} (${this.pid})` }

  proxy (service: Service): Proxy | undefined { return this.#proxies.get(service) }

  async start (): Promise<void> {
    this.#routes ??= await this.#openRoutes()
    const { program, variables, nodeOptions = [] } = this.options
    const command = commandOf(`${program}.js`, [], { ...variables, ...this.#routes }, nodeOptions)
    const child = this.#child = spawn(...command, { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#isToEnd = false
    createInterface({ input: child.stderr! }).on('line', line => this.#complain(line))
    child.once('exit', (code, signal) => { if (!this.#isToEnd) this.#complain(`ended by itself: ${code ?? signal}`) })
    this.url = await new Promise((resolve, reject) => {
      child.once('exit', () => reject(new Error(`${program} did not start: ${this.complaints.at(-1)}`)))
      createInterface({ input: child.stdout! }).on('line', line => {
        this.#log?.write(`${line}\n`)
        const url = /"message":"listening at ([^"]+)"/.exec(line)?.[1]
        if (url) resolve(url.replace('localhost', '127.0.0.1'))
      })
    })
  }

  async end (signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const child = this.#child
    const exited = once(child, 'close')
    this.#isToEnd = true
    child.kill(signal)
    const hangs = setTimeout(() => {
      this.#complain(`did not end within ${MAX_END_MS} ms`)
      child.kill('SIGKILL')
    }, MAX_END_MS)
    const [code] = await exited
    clearTimeout(hangs)
    if (signal === 'SIGTERM' && code !== 0) this.#complain(`ended with ${code}`)
  }

  async freeze (ms: number): Promise<void> {
    this.#child.kill('SIGSTOP')
    await delay(ms)
    this.#child.kill('SIGCONT')
  }

  async close (): Promise<void> {
    await this.end('SIGTERM')
    for (const proxy of this.#proxies.values()) await proxy.close()
    this.#log?.end()
  }

  /** Kills the process and closes its proxies, without waiting. */
  kill (): void {
    const child: ChildProcess | undefined = this.#child
    this.#isToEnd = true
    child?.kill('SIGKILL')
    for (const proxy of this.#proxies.values()) proxy.close().catch(() => {})
    this.#log?.end()
  }

  /** Starts a proxy for each of its services. Returns the variables with the proxies' URLs. */
  async #openRoutes (): Promise<Record<string, string>> {
    const routes: Record<string, string> = {}
    for (const [service, variable] of Object.entries(SERVICES) as Array<[Service, string]>) {
      const direct = this.options.variables[variable]
      if (!direct || this.options.isDirect) continue
      const url = new URL(direct)
      const proxy = new Proxy({ host: url.hostname, port: Number(url.port || DEFAULT_PORTS[service]) })
      this.#proxies.set(service, proxy)
      url.hostname = '127.0.0.1'
      url.port = String(await proxy.open())
      routes[variable] = url.href
    }
    return routes
  }

  #complain (words: string): void {
    this.complaints.push(`${this.name}: ${words}`)
    this.#log?.write(`STDERR ${words}\n`)
  }
}
