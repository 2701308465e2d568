import type { FunctionResult, RunEvent, Usage } from '../schemas.js'
import type { ToolCall } from './tool-calls.js'

/** What functions found, or answered, before the model was asked; with what readers were told of it. */
export interface FunctionsRecord { kind: 'functions', results: FunctionResult[], answer?: string, told: RunEvent[] }

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

/** The steps of a run, in the order of their numbers: those that an earlier attempt has done, and those that this one does. */
export class StepLog {
  #next = 0

  constructor (private readonly records: readonly StepRecord[] = []) {}

  /** A number for a step to come. */
  number (): number { return ++this.#next }

  /** What an earlier attempt has recorded of the step that would be next, where it did. */
  takeFunctions (): FunctionsRecord | undefined {
    return this.records.find(record => record.kind === 'functions')
  }

  /** The model's turns of earlier attempts, each once. */
  takeTurn (turn: number): ModelRecord | undefined {
    return this.records.filter(record => record.kind === 'model')[turn - 1]
  }

  takeTool (id: string): ToolRecord | undefined {
    return this.records.find((record): record is ToolRecord => record.kind === 'tool' && record.id === id)
  }
}
