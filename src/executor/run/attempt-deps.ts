import type { Logger } from 'pino'
import type { Agent } from '#shared/agent.ts'
import type { Tracer } from '#shared/traces/tracer.ts'
import type { MemoryShare } from '../../lib/memory/memory-share.js'
import type { AgentContext } from '../agent/agent-context.js'
import type { PythonContext } from '../agent/python-agent.js'
import type { RunFigures } from '../agent/run-figures.js'
import type { EventLog } from '../events/event-log.js'
import type { Toolbox, ToolboxContext } from '../tools/toolbox.js'
import type { RunStore } from './run-store.js'

/** How an attempt ended: with the run settled, or abandoned because its lease was released or lost. */
export type Ending = 'settled' | 'released' | 'lost'

/** What all attempts of a process share. */
export interface AttemptDeps {
  gateway: AgentContext['gateway']
  python: PythonContext['python']
  events: EventLog
  store: RunStore
  /** For what runs gather while they are under way. */
  memory: MemoryShare
  log: Logger
  /** Undefined where no collector of traces is configured. */
  tracer?: Pick<Tracer, 'openRun'>
  openToolbox (agent: Agent, context: ToolboxContext): Promise<Toolbox>
  /** The model of agents that name none. */
  defaultModel: string
  /** Tried in turn where an agent's model keeps failing. */
  fallbackModels: readonly string[]
  /** How long a run may last from its first start, in seconds, over all its attempts. */
  maxRunSeconds: number
  /** Waits; replaced in tests only. */
  wait? (ms: number, signal: AbortSignal): Promise<unknown>
}

/** An attempt, as it is told apart from others. */
export interface RunAttempt { readonly runId: string, readonly number: number }

/** The executor, as its attempts see it. */
export interface AttemptOwner {
  /** What is counted of all runs of the process. */
  readonly figures: RunFigures
  /** Whether no later attempt at the run has begun here. */
  isLatest (attempt: RunAttempt): boolean
  onEnded (attempt: RunAttempt): void
  /** A run of a user has been settled while another one of the user waits. */
  onUserWaits (userId: string): void
}
