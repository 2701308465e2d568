import type { ToolCall } from '#shared/messages.ts'
import type { FunctionResult, RunEvent, Usage } from '#shared/schemas.ts'

// Records are stored as JSON in the database: their fields keep their names.

/** The results of the functions that ran before the model, the answer that replaces the model's if any, and the events they emitted. */
export interface FunctionsRecord { kind: 'functions', results: FunctionResult[], answer?: string, emitted: RunEvent[] }

/** A model's turn that was followed by tool calls. */
export interface ModelRecord {
  kind: 'model'
  content: string
  toolCalls: ToolCall[]
  finishReason: string | null
  /** The model's name as the gateway reports it. */
  model: string
  /** The model's name in the request. */
  askedFor: string
  usage: Usage
}

/** A tool's result, or the sentence that tells the model why it failed. */
export interface ToolRecord { kind: 'tool', id: string, name: string, result?: string, error?: string }

/** A step that has ended, with all that a later attempt needs to replay it. */
export type StepRecord = FunctionsRecord | ModelRecord | ToolRecord

/** A record as it is stored, with the step's number in the run. */
export type StoredStep = StepRecord & { step: number }

/**
 * Numbers the steps of a run and finds their records. Every attempt executes the same steps in the same order, so a number
 * identifies a step. The ids of tool calls would not: some gateways repeat them in every turn.
 */
export class StepLog {
  /** Undefined if there are no records, as in most attempts. */
  readonly #stored: Map<number, StoredStep> | undefined
  #last = 0

  constructor (stored: readonly StoredStep[] = []) {
    if (stored.length > 0) this.#stored = new Map(stored.map(record => [record.step, record]))
  }

  /** The number of the next step. */
  get next (): number { return this.#last + 1 }

  /** The record of a step, the next one by default; undefined if there is none of this kind. */
  peek<Kind extends StepRecord['kind']> (kind: Kind, number = this.next): Extract<StepRecord, { kind: Kind }> | undefined {
    const record = this.#stored?.get(number)
    return record?.kind === kind ? record as Extract<StoredStep, { kind: Kind }> : undefined
  }

  /** Advances to the next step and returns its number. */
  take (): number { return ++this.#last }
}
