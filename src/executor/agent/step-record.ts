import type { DoneStep, StepRecord } from '#shared/database/runs.ts'

/**
 * The steps of a run, by their numbers: each attempt comes by the same ones in the same order, so what stands at a number
 * is what an earlier one has done there. A gateway's own names for calls would not do: some begin anew with each turn.
 */
export class StepLog {
  /** Most attempts are the first. */
  readonly #done: Map<number, DoneStep> | undefined
  #last = 0

  constructor (done: readonly DoneStep[] = []) {
    if (done.length > 0) this.#done = new Map(done.map(record => [record.step, record]))
  }

  /** The number of the step to come. */
  get next (): number { return this.#last + 1 }

  /** What an earlier attempt has left of the step to come, where it is of this kind. */
  peek<Kind extends StepRecord['kind']> (kind: Kind, number = this.next): Extract<StepRecord, { kind: Kind }> | undefined {
    const record = this.#done?.get(number)
    return record?.kind === kind ? record as Extract<DoneStep, { kind: Kind }> : undefined
  }

  /** Takes the number of the step to come. */
  take (): number { return ++this.#last }
}
