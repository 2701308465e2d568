import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { pathToFileURL } from 'node:url'
import fc from 'fast-check'
import t from 'tap'
import { Bill } from '../../src/executor/price.js'
import { buildMessages } from '../../src/executor/prompt.js'
import { measureUsage } from '../../src/executor/usage.js'
import { SseParser } from '../../src/executor/sse-parser.js'
import { errors } from '../../src/errors.js'
import type { Message } from '../../src/schemas.js'
import { findDeno, FUNCTION, runDeno } from './edge.js'

// What is deployed alone cannot share code with the service: that both do the same is held here.
const load = (file: string) => import(pathToFileURL(FUNCTION + file).href)

const text = fc.string({ unit: 'binary' })
const messages = fc.array(fc.record({
  role: fc.constantFrom<Message['role']>('user', 'assistant', 'system'),
  content: fc.oneof(text, fc.array(fc.oneof(
    fc.record({ type: fc.constant('text' as const), text }),
    fc.record({ type: fc.constant('image_url' as const), image_url: fc.record({ url: text }) })
  ), { minLength: 1 }))
}))
const nothingOr = <T>(value: fc.Arbitrary<T>) => fc.oneof(value, fc.constantFrom(null, undefined))
const entry = fc.oneof(text, fc.record({ title: fc.oneof(text, fc.integer()), content: fc.oneof(text, fc.jsonValue()) }, { requiredKeys: [] }), fc.jsonValue())
const agent = fc.record({ name: nothingOr(text), systemPrompt: nothingOr(text), knowledgeBase: nothingOr(fc.oneof(entry, fc.array(entry))) })

t.test('the edge function agrees with the service', async t => {
  t.test('on the messages for the model', async () => {
    const ours = await load('prompt.ts')
    fc.assert(fc.property(agent, messages, (agent, messages) => {
      assert.deepEqual(ours.buildMessages(agent, messages), buildMessages(agent, messages))
    }), { numRuns: 300 })
  })

  t.test('on what an Idempotency-Key\'s request is known by', async () => {
    const { hashRequest } = await load('prompt.ts')
    const format = nothingOr(fc.constantFrom({ type: 'json_object' }, { type: 'json_schema', json_schema: { name: 'x' } }))
    await fc.assert(fc.asyncProperty(fc.uuid(), messages, format, async (agentId, messages, format) => {
      // As `runs.begin` has it for a request without configuration and function results.
      const text = JSON.stringify([agentId, messages, undefined, undefined, ...(format ? [format] : [])])
      const theirs = createHash('sha256').update(text).digest('hex')
      assert.equal(await hashRequest({ agentId, messages, response_format: format ?? undefined }), theirs)
    }), { numRuns: 100 })
  })

  t.test('on what a run costs', async () => {
    const { priceOf } = await load('price.ts')
    const rate = fc.record({ perRun: fc.nat(9), perThousandTokens: fc.integer({ min: 0, max: 5000 }).map(n => n / 100) })
    fc.assert(fc.property(rate, fc.nat(100_000), (rate, totalTokens) => {
      const bill = new Bill()
      bill.add(rate, { totalTokens })
      assert.equal(priceOf({ 'a/model': rate }, 'a/model', { totalTokens }), bill.credits)
      assert.equal(priceOf({}, 'a/model', { totalTokens }), 1)
    }), { numRuns: 300 })
  })

  t.test('on usage', async () => {
    const ours = await load('usage.ts')
    const count = nothingOr(fc.oneof(fc.nat(), fc.double(), fc.integer()))
    const reported = nothingOr(fc.record({ prompt_tokens: count, completion_tokens: count, total_tokens: count }))
    fc.assert(fc.property(reported, messages, text, (reported, messages, output) => {
      assert.deepEqual(ours.measureUsage(reported, messages, output), measureUsage(reported as never, messages, output))
    }), { numRuns: 200 })
  })

  t.test('on its errors, but for those that are of the edge alone', async t => {
    const ours = await load('errors.ts')
    const theirs = new Map(Object.values(errors).map(error => [error.code as string, error]))
    for (const error of Object.values<any>(ours.errors)) {
      const same = theirs.get(error.code)
      if (!same) t.ok(['backend_unavailable', 'run_elsewhere'].includes(error.code), error.code)
      else t.equal(error.status, same.status, error.code)
    }
  })
})

t.test('a stream is cut into whole frames wherever the network has cut it, and no byte is lost', async () => {
  const { FrameScanner, readData } = await load('sse.ts')
  const frame = fc.oneof(
    fc.tuple(fc.nat(), text).map(([seq, content]) => `id: ${seq + 1}\ndata: ${JSON.stringify({ type: 'chunk', content })}\n\n`),
    fc.constantFrom(': ping\n\n', 'data: {"type":"x"}\r\n\r\n')
  )
  const cuts = fc.array(fc.nat({ max: 40 }), { minLength: 1 })
  const cutUp = (bytes: Buffer, sizes: number[]) => {
    const pieces: Uint8Array[] = []
    for (let at = 0, index = 0; at < bytes.length; index++) {
      const size = sizes[index % sizes.length]! + 1
      pieces.push(new Uint8Array(bytes.subarray(at, at + size)))
      at += size
    }
    return pieces
  }
  await fc.assert(fc.asyncProperty(fc.array(frame), cuts, async (frames, sizes) => {
    const whole = frames.join('')
    const scanner = new FrameScanner(0)
    let given = ''
    let last = 0
    for (const bytes of cutUp(Buffer.from(`${whole}id: 7000000000\ndata: {"type":"chu`), sizes)) {
      for (const out of scanner.push(bytes)) given += Buffer.from(out).toString('latin1')
      // What was given out ends with a frame, and its number is known.
      if (given) assert.match(given, /\n\r?\n$/)
      last = Number([...given.matchAll(/^id: (\d+)$/gm)].at(-1)?.[1] ?? 0)
      assert.equal(scanner.lastSeq, last)
    }
    assert.equal(given, Buffer.from(whole).toString('latin1'))
    assert.equal(scanner.isDone, false)

    const expected: string[] = []
    const parser = new SseParser({ onData: data => { expected.push(data) } })
    parser.push(Buffer.from(whole))
    const read: string[] = []
    for await (const data of readData(cutUp(Buffer.from(whole), sizes))) read.push(...data)
    assert.deepEqual(read, expected)
  }), { numRuns: 100 })
})

t.test('Deno takes the function as it is, without a network', async t => {
  const deno = await findDeno(t)
  if (!deno) return
  const { code, output } = await runDeno(deno, 'check', 'index.ts')
  t.equal(code, 0, output)
})
