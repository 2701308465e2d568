import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import t, { type Test } from 'tap'
import { delta, ending, type GatewayDouble, hang, openStream, say, startGateway } from '../support/doubles/gateway.js'
import {
  ALL_EVENTS, bearer, createPostgres, DEMO_AGENT, DEMO_KEY, DEMO_USER, findPostgres, JWT_SECRET, parseStream, readStream, textOf
} from '../support/helper.js'
import { LOOK_MS } from '../support/until.js'
import { launch, pathOf, run } from '../support/process.js'
import { findRelease020 } from '../support/release.js'

const HELLO = { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }] }

interface Running {
  url: string
  gateway: GatewayDouble
  /** Ends it as a deploy does, and waits for that. */
  end (): Promise<void>
}

t.test('release 0.2.0 and this one beside one database, as they are during an upgrade and a rollback', async t => {
  if (!await findPostgres(t)) return
  const release = await findRelease020(t)
  if (release === undefined) return
  const ours = pathOf('server.js')

  for (const [name, from, to] of [['upgrade', release, ours], ['rollback', ours, release]] as const) {
    t.test(name, async t => {
      const url = await createPostgres(t)
      const sql = new pg.Client({ connectionString: url })
      await sql.connect()
      t.teardown(() => sql.end())
      const [old, next] = [await start(t, from, url), await start(t, to, url)]
      const balance = async () => (await sql.query('select credits_remaining as remaining, credits_reserved as reserved from public.credit_balances where user_id = $1', [DEMO_USER])).rows[0]
      const endOf = async (runId: string) => {
        for (;;) {
          const { rows: [row] } = await sql.query('select status, attempt, response, credits_charged as charged, finished_at from public.agent_runs where id = $1', [runId])
          if (row.finished_at) return row
          await delay(LOOK_MS)
        }
      }
      const before = await balance()

      // Each makes runs, by tokens and by keys, while the other does.
      const answers = await Promise.all([old, next, old, next].map((service, index) => {
        service.gateway.reply = say('Hello', ' world')
        return execute(service, {}, index < 2 ? {} : { 'x-api-key': DEMO_KEY })
      }))
      for (const answer of answers) t.equal((await readStream(answer)).text, 'Hello world')
      t.same(await balance(), { remaining: before.remaining - 4, reserved: 0 })

      // Each tells what the other has made.
      const made = answers.map(({ headers }) => headers.get('x-run-id')!)
      for (const [reader, runId] of [[next, made[0]!], [old, made[1]!]] as const) {
        t.equal((await readStream(await events(reader, runId))).text, 'Hello world')
      }

      // What the one that goes is in the middle of, the one that comes goes on with; nothing is told twice or paid twice.
      old.gateway.reply = hang('half')
      next.gateway.reply = response => {
        const stream = openStream(response)
        stream.write(delta('the whole'))
        stream.end(ending())
      }
      const half = await execute(old)
      const runId = half.headers.get('x-run-id')!
      const reading = readUntil(half, 'half')
      await reading.found
      const arriving = next.gateway.nextCall()
      const gone = old.end()
      await arriving
      await gone
      const seen = parseStream(await reading.rest)
      const cursor = seen.filter(({ seq }) => seq).at(-1)!.seq
      const rest = await readStream(await events(next, runId, `?after=${cursor}`))
      t.equal(textOf([...seen.filter(({ seq }) => seq), ...rest.events]), 'the whole')
      t.match(await endOf(runId), { status: 'succeeded', attempt: 2, response: 'the whole', charged: 1 })
      t.same(await balance(), { remaining: before.remaining - 5, reserved: 0 })

      // A repeated request is the run that the other began.
      next.gateway.reply = say('again')
      const key = { 'idempotency-key': 'one-and-the-same' }
      const again = await start(t, from, url)
      again.gateway.reply = say('once')
      const first = await readStream(await execute(again, {}, { ...await bearer(), ...key }))
      const second = await readStream(await execute(next, {}, { ...await bearer(), ...key }))
      t.same([first.text, second.text], ['once', 'once'])
      t.same(await balance(), { remaining: before.remaining - 6, reserved: 0 })

      t.match(await run(t, 'audit.js', ['--url', url]), { code: 0, stderr: '' }, 'the books add up')
    })
  }
})

async function start (t: Test, server: string, database: string): Promise<Running> {
  const gateway = await startGateway(t)
  const child = launch(t, server, [], {
    NODE_ENV: 'test',
    PORT: '0',
    HOST: '127.0.0.1',
    SUPABASE_DB_URL: database,
    SUPABASE_JWT_SECRET: JWT_SECRET,
    AI_GATEWAY_URL: gateway.url,
    LOVABLE_API_KEY: 'test-gateway-key',
    DRAIN_SECONDS: '1'
  })
  let printed = ''
  for await (const line of createInterface({ input: child.stdout! })) {
    printed += `${line}\n`
    const url = /listening at ([^"]+)/.exec(line)?.[1]
    if (url === undefined) continue
    child.stdout!.resume()
    return {
      url,
      gateway,
      async end () {
        const exit = once(child, 'exit')
        child.kill('SIGTERM')
        await exit
      }
    }
  }
  throw new Error(`It ended: ${printed}`)
}

async function execute ({ url }: Running, body: object = {}, headers?: Record<string, string>): Promise<Response> {
  const as = headers && Object.keys(headers).length > 0 ? headers : await bearer()
  return fetch(`${url}/api/agent/execute`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...ALL_EVENTS, ...as },
    body: JSON.stringify({ ...HELLO, ...body })
  })
}

async function events ({ url }: Running, runId: string, query = ''): Promise<Response> {
  return fetch(`${url}/api/runs/${runId}/events${query}`, { headers: { ...await bearer(), ...ALL_EVENTS } })
}

/** Reads a stream to its end, and says when it has come to a text. */
function readUntil (response: Response, text: string): { found: Promise<void>, rest: Promise<string> } {
  let find = () => {}
  const found = new Promise<void>(resolve => { find = resolve })
  const read = async () => {
    let raw = ''
    for await (const chunk of response.body!) {
      raw += Buffer.from(chunk)
      if (raw.includes(text)) find()
    }
    return raw
  }
  return { found, rest: read() }
}
