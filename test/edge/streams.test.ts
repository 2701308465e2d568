import t from 'tap'
import { ALL_EVENTS, PLAIN } from '#shared/reader/known-events.ts'
import type { EndedRun } from '#shared/trace.ts'
import { eventsOf } from '#shared/trace.ts'
import { loadFunction } from '../support/edge.js'

const RUN_ID = '3f2504e0-4f89-41d3-9a0c-0305e82c3301'
/** Characters that end a line for some programs, and not here. */
const SEPARATORS = 'a\u2028b\u2029c\u0085d'

async function * inPieces (...texts: string[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield Buffer.from(text)
}

t.test('the frames of a stream, as the edge function reads and writes them', async t => {
  const { readData } = await loadFunction('streams/sse-data.ts')
  const { FrameScanner } = await loadFunction('streams/frame-scanner.ts')
  const { encode, eventOf } = await loadFunction('streams/frame.ts')
  const { framesOfEnded } = await loadFunction('streams/sources.ts')
  const { tell } = await loadFunction('streams/tell.ts')

  async function toldBy (open: () => AsyncGenerator, options: object): Promise<string> {
    const rest = { ask: async () => undefined, findEnded: async () => undefined }
    const telling = { runId: RUN_ID, known: ALL_EVENTS, url: 'https://backend.example/events', rest, deadline: Date.now() + 60_000, ...options }
    return (await tell(open, telling)).text()
  }

  t.test('have whole texts, whatever characters these have', async t => {
    const json = JSON.stringify({ type: 'chunk', content: SEPARATORS })
    const lines = []
    for await (const data of readData(inPieces(`data: ${json}\n\n`, `data: ${json.slice(0, 30)}`, `${json.slice(30)}\r\n\r\n`))) lines.push(...data)
    t.same(lines, [json, json])
    const [frame] = new FrameScanner().push(encode(`id: 3\ndata: ${json}\n\n`))
    t.match(frame, { seq: 3, type: 'chunk' })
    t.same(eventOf(frame), { type: 'chunk', content: SEPARATORS })
  })

  t.test('have the type first when they come from the database, which orders names otherwise', async t => {
    const stored = { id: 'call_0123456789012345678901234', name: 'search_customer_orders_by_email_or_number', type: 'tool_call', arguments: {} } as never
    const run = { runId: RUN_ID, agentId: RUN_ID, attempt: 1, status: 'succeeded', response: '' } as EndedRun['run']
    t.equal(Object.keys(eventsOf({ run, trace: [stored] })[0]!)[0], 'type')
    const frames = new FrameScanner().push(encode(`id: 3\ndata: ${JSON.stringify(stored)}\n\n`))
    t.match(frames, [{ seq: 3, type: 'tool_call' }], 'and another order is read too')
  })

  t.test('end with a word where a backend sends what is no event', async t => {
    async function * frames () {
      yield [{ seq: 1, type: 'chunk', bytes: encode('id: 1\ndata: {"type":"chunk","content":"Hel"}\n\n') }]
      yield [{ seq: 2, type: 'chunk', bytes: encode('id: 2\ndata: {"type":"chunk",bad}\n\n') }]
      return true
    }
    t.match(await toldBy(frames, { deltas: true }), /Hel.*\n\ndata: \{"type":"reconnect","after":2,/s, 'where the reader goes on behind what nobody can read')
    t.match(await toldBy(frames, { deltas: true, known: new Set(['text']) }), /Hel.*"code":"connection_ended"/s)
    t.notMatch(await toldBy(frames, { deltas: true, known: PLAIN }), /\[DONE\]/, 'and never as if it were whole')
  })

  t.test('tell the end of a run whose trace is gone to who has more events than there are', async t => {
    const run = { runId: RUN_ID, agentId: RUN_ID, attempt: 1, status: 'failed', response: '', error: { code: 'backend_unavailable', message: 'It broke.' } } as unknown as EndedRun['run']
    const numbers = async (after: number, trace: EndedRun['trace']) => {
      const { value } = await framesOfEnded({ run, trace }, after).next()
      return value.map(({ seq, type }: { seq: number, type: string }) => `${seq} ${type}`)
    }
    t.same(await numbers(0, null), ['1 started', '2 error'])
    t.same(await numbers(5, null), ['6 error'])
    t.same(await numbers(5, [{ type: 'started', runId: RUN_ID, agentId: RUN_ID, attempt: 1 }, 3, 2]), [], 'who has all of it is told nothing')
  })
})
