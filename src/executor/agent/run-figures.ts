import { RUN_KINDS } from '#shared/database/run-kind.ts'
import type { GatewayFailure } from '#shared/gateway/failure.ts'
import type { Run } from '#shared/schemas.ts'
import { Distribution } from '../../lib/counts/distribution.js'
import { Tally } from '../../lib/counts/tally.js'

/** In seconds: a plain answer takes one or two, a heavy agent an hour. */
const RUN_BOUNDS = [0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14_400]
const WAIT_BOUNDS = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300]

/** Why something is done again: the gateway failed, and the same model is asked or a fallback model; a Python worker died. */
export type RetryKind = 'same_model' | 'fallback_model' | 'python'

/** A run as far as its times are looked at, all of them by the database's clock. */
type Timed = Pick<Run, 'attempt' | 'createdAt' | 'startedAt' | 'finishedAt'>

const KINDS: ReadonlySet<string> = new Set(RUN_KINDS)

/** What the runs that this process makes have come to, in numbers, since it began. It holds nothing of users, and no names of theirs. */
export class RunFigures {
  readonly ended = new Tally<'state' | 'kind'>()
  /** From a run's beginning, waits included, to its end. */
  readonly seconds = new Distribution(RUN_BOUNDS)
  /** From a run's beginning to what a model or Python code said first; of first attempts. */
  readonly firstToken = new Distribution(WAIT_BOUNDS)
  /** From a run's beginning to its slot; of first attempts. */
  readonly queueWait = new Distribution(WAIT_BOUNDS)
  readonly retries = new Tally<'kind'>()
  readonly gatewayFailures = new Tally<'code'>()
  readonly tools = new Tally<'result'>()
  readonly tokens = new Tally<'type'>()
  credits = 0
  /** Attempts at runs that another process, or another start of this one, has begun. */
  takeovers = 0
  rewinds = 0
  modelSteps = 0

  /** An attempt has its slot. @param waited since it was launched here, in seconds. */
  noteStart (run: Timed, waited: number): void {
    if (run.attempt > 1) this.takeovers++
    else this.queueWait.observe(waitBefore(run) + waited)
  }

  /** An attempt has its first output. @param elapsed since it was launched here, in seconds. */
  noteFirstOutput (run: Timed, elapsed: number): void {
    if (run.attempt === 1) this.firstToken.observe(waitBefore(run) + elapsed)
  }

  /** A run is settled. @param kind as it was stored with the run; whatever is unknown is `other`. */
  noteEnd ({ status: state, usage, creditsCharged, createdAt, finishedAt }: Run, kind: string | undefined): void {
    this.ended.add({ state, kind: kind !== undefined && KINDS.has(kind) ? kind : 'other' })
    this.seconds.observe(secondsBetween(createdAt, finishedAt))
    this.tokens.add({ type: 'prompt' }, usage?.promptTokens ?? 0)
    this.tokens.add({ type: 'completion' }, usage?.completionTokens ?? 0)
    this.credits += creditsCharged
  }

  noteRetry (kind: RetryKind): void {
    this.retries.add({ kind })
  }

  /** Codes are those of the service, so there are few. */
  noteGatewayFailure ({ code }: GatewayFailure): void {
    this.gatewayFailures.add({ code })
  }

  noteTool (isFailed: boolean): void {
    this.tools.add({ result: isFailed ? 'failed' : 'succeeded' })
  }
}

/** Seconds for which a run has waited elsewhere before it was launched here. */
function waitBefore ({ createdAt, startedAt }: Timed): number {
  return secondsBetween(createdAt, startedAt) || 0
}

/** NaN if one is missing. A run that has not waited has the same text twice, so that nothing is parsed. */
function secondsBetween (from: string | null, to: string | null): number {
  return from === to && from !== null ? 0 : (Date.parse(to ?? '') - Date.parse(from ?? '')) / 1000
}
