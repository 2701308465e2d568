import { pino } from 'pino'
import t from 'tap'
import type { Run } from '#shared/schemas.ts'
import { NO_USAGE } from '#shared/usage.ts'
import { MemoryEventLog } from '../../../src/executor/events/memory-event-log.js'
import type { Assignment } from '../../../src/executor/run/assignment.js'
import type { AttemptDeps } from '../../../src/executor/run/attempt-deps.js'
import { Executor } from '../../../src/executor/run/executor.js'
import type { Result } from '../../../src/executor/run/run-store.js'
import { EMPTY_TOOLBOX } from '../../../src/executor/tools/toolbox.js'
import { MemoryShare } from '../../../src/lib/memory/memory-share.js'
import type { SlotTicket } from '../../../src/lib/slots.js'

const RUN: Run = {
  runId: 'a-run',
  agentId: 'an-agent',
  attempt: 1,
  status: 'running',
  response: '',
  finishReason: null,
  usage: null,
  model: null,
  error: null,
  creditsCharged: 0,
  createdAt: '',
  startedAt: '',
  finishedAt: null
} as unknown as Run

function assign (attempt: number): Assignment {
  return { run: { ...RUN, attempt }, userId: 'a-user', agent: {}, messages: [{ role: 'user', content: 'Hi' }] }
}

function ticket (leave = () => {}): SlotTicket {
  return { turn: Promise.resolve(), position: 0, watch () {}, release: leave }
}

/** An executor whose agents answer by a function, once the store has taken the step of it. */
function setUp () {
  const records = new Map<number, () => void>()
  const finished: Array<{ attempt: number, result: Result }> = []
  let hear = () => {}
  const events = new MemoryEventLog({ maxBytes: 1e6, keepMs: 60_000 })
  const world: AttemptDeps = {
    gateway: { complete: () => Promise.reject(new Error('no model is asked')) },
    python: { run: async () => {} },
    events,
    store: {
      start: async () => {},
      readInput: async () => ({ input: { agent: {}, messages: [{ role: 'user', content: 'Hi' }] }, steps: [] }),
      record: (_runId, attempt) => new Promise(resolve => {
        records.set(attempt, () => resolve({ reserved: 1, isEnough: true }))
        hear()
      }),
      async finish (runId, attempt, result) {
        finished.push({ attempt, result })
        return { ...RUN, ...result, runId, attempt, usage: NO_USAGE, creditsCharged: 1 } as unknown as Run
      }
    },
    memory: new MemoryShare(1e9),
    log: pino({ level: 'silent' }),
    openToolbox: async () => ({ ...EMPTY_TOOLBOX, runTriggered: async () => ({ results: [], emitted: [], answer: 'Hello' }) }),
    defaultModel: 'a/model',
    fallbackModels: [],
    maxRunSeconds: 86_400
  }
  const executor = new Executor(world)
  return {
    executor,
    events,
    finished,
    /** Until an attempt waits for its step to be taken; returns what takes it. */
    async recorded (attempt: number): Promise<() => void> {
      while (!records.has(attempt)) await new Promise<void>(resolve => { hear = resolve })
      return records.get(attempt)!
    }
  }
}

t.test('what an attempt says after a later one has begun is no part of that, and it writes nothing', async t => {
  const { executor, events, finished, recorded } = setUp()
  const first = executor.launch(assign(1), ticket())
  const takeFirst = await recorded(1)
  const second = executor.launch(assign(2), ticket())
  const takeSecond = await recorded(2)
  takeFirst()
  t.equal(await first, 'lost')
  takeSecond()
  t.equal(await second, 'settled')
  t.match(finished, [{ attempt: 2, result: { status: 'succeeded', response: 'Hello' } }])
  t.strictSame(events.entries('a-run').map(({ event }) => event.type), ['started', 'rewind', 'chunk', 'done'])
  events.close()
})

t.test('an attempt that was let go of settles nothing, even where its work comes to an end', async t => {
  const { executor, events, finished, recorded } = setUp()
  const ended = executor.launch(assign(1), ticket())
  const take = await recorded(1)
  await executor.releaseAll(0)
  take()
  t.equal(await ended, 'released')
  t.strictSame(finished, [])
  events.close()
})

t.test('whatever breaks at its end, an attempt ends, and is under way no more', async t => {
  const { executor, events, recorded } = setUp()
  const ended = executor.launch(assign(1), ticket(() => { throw new Error('a reader broke') }))
  const take = await recorded(1)
  take()
  t.equal(await ended, 'released')
  t.equal(executor.size, 0)
  events.close()
})
