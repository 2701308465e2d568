import t from 'tap'
import { errors } from '#shared/errors.ts'
import { say } from '../support/doubles/gateway.js'
import { findDeno, SIMPLE_AGENT, startWorld } from '../support/edge.js'
import { bearer, typesOf } from '../support/helper.js'

const BODY = { agentId: SIMPLE_AGENT, messages: [{ role: 'user', content: 'Hi' }] }

t.test('a run that failed is answered again with the status of its error, by the edge function and by the service', async t => {
  const deno = await findDeno(t)
  if (!deno) return
  const { project, service, edge, gateway } = await startWorld(t, deno)
  gateway.reply = say('Hello')
  const first = await edge.execute({}, { ...await bearer(), 'idempotency-key': 'succeeded' })
  /** A run like the first that failed, known by its error's code as its Idempotency-Key. */
  const fail = async (code: string) => {
    await project.query(`insert into public.agent_runs (user_id, agent_id, status, idempotency_key, request_hash, error, finished_at)
      select user_id, agent_id, 'failed', $2, request_hash, $3, now() from public.agent_runs where id = $1`,
    [first.headers.get('x-run-id'), code, JSON.stringify({ code, message: `Of ${code}.` })])
    return { ...await bearer(), 'idempotency-key': code }
  }

  const statuses = new Map<string, number>(Object.values(errors).map(({ code, status }) => [code, status]))
  statuses.set('of_another_release', 500)
  for (const [code, status] of statuses) {
    const headers = await fail(code)
    const ours = await edge.request('POST', '', { body: { ...BODY, stream: false }, headers })
    t.match(ours, { status, body: { code, error: `Of ${code}.`, statusCode: status, runId: String } }, code)
    const theirs = await service.request('POST', '/api/agent/execute', { body: { ...BODY, stream: false }, headers })
    t.match(theirs, { status, body: { code, error: `Of ${code}.`, statusCode: status, runId: ours.body.runId } }, code)
  }
  t.equal(statuses.get('python_failed'), 502)

  for (const code of ['python_failed', 'queue_full', 'backend_unavailable']) {
    const headers = { ...await bearer(), 'idempotency-key': code }
    const [ours, theirs] = [await edge.execute({}, headers), await service.execute({ agentId: SIMPLE_AGENT }, headers)]
    t.same(typesOf(ours), ['started', 'error'], code)
    t.match(ours.events.at(-1), { code, retryable: code !== 'python_failed' })
    t.equal(ours.raw, theirs.raw, code)
  }
  t.equal(gateway.calls.length, 1, 'no model was asked again')
})
