import type { StoredStep, StepRecord } from '#shared/database/runs.ts'
import type { RecordedSpans } from '#shared/traces/span.ts'

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

/** About how many UTF-16 units a step adds to what its run keeps. */
export function sizeOf (record: StepRecord): number {
  if (record.kind === 'tool') return (record.result ?? record.error ?? '').length
  if (record.kind === 'functions') return JSON.stringify(record.results).length
  const extra = record.extra ? JSON.stringify(record.extra).length : 0
  return record.toolCalls.reduce((size, { function: { arguments: json } }) => size + json.length, record.content.length + extra)
}

/** The record with the spans of its step, where the run is traced. */
export function withSpans (record: StepRecord, spans: RecordedSpans | undefined): StepRecord {
  return spans ? { ...record, spans } : record
}
