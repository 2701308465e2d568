import type { ToolCall } from '#shared/messages.ts'
import type { FunctionResult, RunEvent, Usage } from '#shared/schemas.ts'

/** What functions found, or answered, before the model was asked; with what readers were told of it. */
export interface FunctionsRecord { kind: 'functions', results: FunctionResult[], answer?: string, emitted: RunEvent[] }

/** A model's turn after which the run went on. */
export interface ModelRecord {
  kind: 'model'
  content: string
  toolCalls: ToolCall[]
  finishReason: string | null
  /** What the gateway calls the model, and by what name it was asked. */
  model: string
  askedFor: string
  usage: Usage
}

/** What a tool brought, or why it failed, in words for the model. */
export interface ToolRecord { kind: 'tool', id: string, name: string, result?: string, error?: string }

/** A step that has ended, with all it takes to go on after it without doing it again. */
export type StepRecord = FunctionsRecord | ModelRecord | ToolRecord

/** The same as an earlier attempt has left it, with its number in the run. */
export type StoredStep = StepRecord & { step: number }

/**
 * The steps of a run, by their numbers: each attempt comes by the same ones in the same order, so what stands at a number
 * is what an earlier one has done there. A gateway's own names for calls would not do: some begin anew with each turn.
 */
export class StepLog {
  /** Most attempts are the first. */
  readonly #done: Map<number, StoredStep> | undefined
  #last = 0

  constructor (done: readonly StoredStep[] = []) {
    if (done.length > 0) this.#done = new Map(done.map(record => [record.step, record]))
  }

  /** The number of the step to come. */
  get next (): number { return this.#last + 1 }

  /** What an earlier attempt has left of the step to come, where it is of this kind. */
  peek<Kind extends StepRecord['kind']> (kind: Kind, number = this.next): Extract<StepRecord, { kind: Kind }> | undefined {
    const record = this.#done?.get(number)
    return record?.kind === kind ? record as Extract<StoredStep, { kind: Kind }> : undefined
  }

  /** Takes the number of the step to come. */
  take (): number { return ++this.#last }
}
