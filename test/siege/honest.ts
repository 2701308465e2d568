import { readFile } from 'node:fs/promises'
import { setTimeout as delay } from 'node:timers/promises'
import { ALL_EVENTS, parseStream, textOf } from '../support/helper.js'
import { ANSWER_MS, expectedAnswer } from './model.js'

/** How often /health is asked. */
const HEALTH_MS = 100
/** An answer that takes longer is lost. */
const LOST_MS = 120_000

/** What honest users felt. */
export interface Felt {
  answers: number
  /** Answers that failed, were incomplete, or did not come. */
  lost: number
  /** Requests that were to be repeated later, and were. */
  refused: number
  /** Milliseconds that the latest answer took beyond what the model took. */
  latestAnswer: number
  /** Milliseconds that /health took at the most, without those in which the process waited for a processor. */
  longestStall: number
  /** The same of a server that does nothing, beside it: what the machine itself did. */
  machineStall: number
  problems: string[]
}

export interface HonestUser { token: string, agentId: string }

/** A process of the service. */
export interface Served { url: string, pid: number }

/** Ten honest users who run agents, and a probe of each process, until they are told to stop. */
export class HonestUsers {
  #felt = nothingFelt()
  #isOver = false
  #working: Promise<unknown> = Promise.resolve()

  /**
   * @param processes each user asks them in turn.
   * @param idleUrl a server that does nothing.
   */
  constructor (private readonly processes: Served[], private readonly users: HonestUser[], private readonly idleUrl: string) {}

  start (): void {
    this.#felt = nothingFelt()
    this.#isOver = false
    this.#working = Promise.all([
      ...this.users.map((user, index) => this.#useAgents(user, index)),
      ...this.processes.map(({ url, pid }) => this.#probe(`${url}/health`, 'longestStall', pid)),
      this.#probe(this.idleUrl, 'machineStall')
    ])
  }

  /** Resolves to what was felt since `start`, once the answers under way have come. */
  async stop (): Promise<Felt> {
    this.#isOver = true
    await this.#working
    return this.#felt
  }

  async #useAgents (user: HonestUser, index: number): Promise<void> {
    for (let n = 0; !this.#isOver; n++) {
      const startedAt = performance.now()
      const problem = await this.#askUntilAnswered(user, `question ${n} of user ${index}`, index + n)
      this.#felt.answers++
      this.#felt.latestAnswer = Math.max(this.#felt.latestAnswer, Math.round(performance.now() - startedAt - ANSWER_MS))
      if (problem === undefined) continue
      this.#felt.lost++
      this.#felt.problems.push(problem)
    }
  }

  async #askUntilAnswered (user: HonestUser, question: string, turn: number): Promise<string | undefined> {
    const until = Date.now() + LOST_MS
    while (Date.now() < until) {
      const outcome = await ask(this.processes[turn % this.processes.length]!.url, user, question).catch(error => ({ problem: String(error.cause ?? error) }))
      if (!('retryAfter' in outcome)) return outcome.problem
      this.#felt.refused++
      await delay(outcome.retryAfter * 1000)
    }
    return 'refused again and again'
  }

  async #probe (url: string, stall: 'longestStall' | 'machineStall', pid?: number): Promise<void> {
    while (!this.#isOver) {
      const waitedBefore = await waitedMs(pid)
      const startedAt = performance.now()
      try {
        const response = await fetch(url, { signal: AbortSignal.timeout(LOST_MS) })
        await response.arrayBuffer()
        if (response.status !== 200) this.#felt.problems.push(`${url} answered ${response.status}`)
      } catch (error) {
        this.#felt.problems.push(`${url}: ${String((error as Error).cause ?? error)}`)
        this.#felt.lost++
      }
      const ms = performance.now() - startedAt
      const waited = await waitedMs(pid) - waitedBefore
      this.#felt[stall] = Math.max(this.#felt[stall], Math.round(ms - waited))
      await delay(Math.max(0, HEALTH_MS - ms))
    }
  }
}

/** How long the main thread of a process has been ready to run and had no processor, in milliseconds; 0 where the system does not say. */
async function waitedMs (pid?: number): Promise<number> {
  const [, nanoseconds = 0] = (await readFile(`/proc/${pid}/task/${pid}/schedstat`, 'utf8').catch(() => '')).split(' ').map(Number)
  return nanoseconds / 1e6
}

function nothingFelt (): Felt {
  return { answers: 0, lost: 0, refused: 0, latestAnswer: 0, longestStall: 0, machineStall: 0, problems: [] }
}

type Outcome = { problem?: string } | { retryAfter: number }

async function ask (url: string, { token, agentId }: HonestUser, question: string): Promise<Outcome> {
  const response = await fetch(`${url}/api/agent/execute`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...ALL_EVENTS },
    body: JSON.stringify({ agentId, messages: [{ role: 'user', content: question }] }),
    signal: AbortSignal.timeout(LOST_MS)
  })
  const text = await response.text()
  const retryAfter = Number(response.headers.get('retry-after'))
  if (response.status !== 200) return retryAfter > 0 ? { retryAfter } : { problem: `${response.status} ${text.slice(0, 200)}` }
  const events = parseStream(text)
  const last = events.at(-1)
  if (last?.type !== 'done') return { problem: `ended by ${JSON.stringify(last).slice(0, 200)}` }
  return textOf(events) === expectedAnswer(question) ? {} : { problem: `another answer: ${textOf(events).slice(0, 200)}` }
}
