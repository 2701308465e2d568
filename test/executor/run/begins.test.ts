import { randomUUID } from 'node:crypto'
import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { Runs, type RunsOptions } from '../../../src/executor/run/runs.js'
import { DEMO_AGENT, DEMO_USER, OTHER_USER } from '../../support/helper.js'

t.test('of one user four runs begin at once, and nobody else waits for them', async t => {
  const begun: Array<{ userId: string, end: () => void }> = []
  const runs = new Runs({
    database: {
      call: async (_name: string, { p_user_id: userId, p_run_id: runId }: { p_user_id: string, p_run_id: string }) => {
        await new Promise<void>(resolve => { begun.push({ userId, end: resolve }) })
        return { run: { runId, agentId: DEMO_AGENT, finishedAt: null }, joined: false }
      }
    },
    executor: { expected: new Set(), progressOf () {} },
    queue: { admit: async () => ({ owner: randomUUID(), waits: false, accept () {}, release () {} }) },
    events: {},
    models: ['a/model'],
    isDraining: () => false,
    hasPython: async () => false
  } as unknown as RunsOptions)
  const begin = (userId: string) => runs.begin({ kind: 'execute', userId, agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }] })
  const many = Promise.all(Array.from({ length: 10 }, () => begin(DEMO_USER)))
  const other = begin(OTHER_USER)
  await turn()
  t.same(begun.map(({ userId }) => userId), [...Array.from({ length: 4 }, () => DEMO_USER), OTHER_USER])
  begun.pop()!.end()
  await other
  for (let ended = 0; ended < 10; ended++) {
    t.equal(begun.length, Math.min(4, 10 - ended))
    begun.shift()!.end()
    await turn()
  }
  t.equal(new Set((await many).map(({ runId }) => runId)).size, 10)
})
