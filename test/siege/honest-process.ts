import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import type { Felt, HonestUser, Served } from './honest.js'
import type { Order } from './honest-main.js'

/** Honest users and the model that they ask, in a process of their own (honest-main.ts). */
export class HonestProcess {
  private constructor (private readonly child: ChildProcess, /** The gateway's address. */ readonly model: string) {}

  static async start (): Promise<HonestProcess> {
    const child = fork(new URL('honest-main.ts', import.meta.url), { execArgv: ['--import=tsx'] })
    const [{ model }] = await once(child, 'message') as [{ model: string }]
    return new HonestProcess(child, model)
  }

  /** @param processes those of the service, whose /health is asked too. */
  meet (processes: Served[], users: HonestUser[]): void {
    this.#tell({ order: 'meet', processes, users })
  }

  start (): void {
    this.#tell({ order: 'start' })
  }

  /** What was felt since `start`, and how many requests reached the model otherwise than they would have alone. */
  async stop (): Promise<Felt & { altered: number }> {
    this.#tell({ order: 'stop' })
    const [{ felt }] = await once(this.child, 'message') as [{ felt: Felt & { altered: number } }]
    return felt
  }

  leave (): void {
    this.#tell({ order: 'leave' })
  }

  #tell (order: Order): void {
    if (this.child.connected) this.child.send(order)
  }
}
