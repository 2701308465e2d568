import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import fc from 'fast-check'
import t from 'tap'
import type { Message, RunEvent } from '#shared/schemas.ts'
import { SseParser } from '../../src/executor/gateway/sse-parser.js'
import { findDeno, FUNCTION, loadFunction, runDeno } from '../support/edge.js'
import { runOperations } from './operations.js'

const MAIN = fileURLToPath(new URL('operations-main.ts', import.meta.url))

const text = fc.string({ unit: 'binary' })
const messages = fc.array(fc.record({
  role: fc.constantFrom<Message['role']>('user', 'assistant', 'system', 'developer'),
  content: fc.oneof(text, fc.array(fc.oneof(
    fc.record({ type: fc.constant('text' as const), text }),
    fc.record({ type: fc.constant('image_url' as const), image_url: fc.record({ url: text }) })
  ), { minLength: 1 }))
}))
const nothingOr = <T>(value: fc.Arbitrary<T>) => fc.oneof(value, fc.constantFrom(null, undefined))
const entry = fc.oneof(text, fc.record({ title: fc.oneof(text, fc.integer()), content: fc.oneof(text, fc.jsonValue()) }, { requiredKeys: [] }), fc.jsonValue())
const agent = fc.record({ name: nothingOr(text), systemPrompt: nothingOr(text), knowledgeBase: nothingOr(fc.oneof(entry, fc.array(entry))) })
const format = fc.constantFrom({ type: 'json_object' as const }, { type: 'json_schema' as const, json_schema: { name: 'x' } })
const request = fc.record({ agentId: fc.uuid(), messages, response_format: format }, { requiredKeys: ['agentId', 'messages'] })
const count = nothingOr(fc.oneof(fc.nat(), fc.double(), fc.integer()))
const reported = nothingOr(fc.record({ prompt_tokens: count, completion_tokens: count, total_tokens: count }))
const event = fc.oneof(
  text.map(content => ({ type: 'chunk' as const, content })),
  text.map(content => ({ type: 'reasoning' as const, content })),
  fc.constant({ type: 'rewind' as const, to: 1 })
) satisfies fc.Arbitrary<RunEvent>
const body = fc.oneof(request, fc.record({
  agentId: fc.oneof(fc.uuid(), text, fc.jsonValue()),
  messages: fc.oneof(messages, fc.jsonValue(), fc.array(fc.record({ role: text, content: fc.oneof(text, fc.jsonValue()) }))),
  response_format: fc.oneof(format, fc.jsonValue()),
  stream: fc.jsonValue()
}, { requiredKeys: [] }))

const run = fc.record({
  runId: fc.uuid(),
  agentId: fc.uuid(),
  status: fc.constantFrom('succeeded', 'failed', 'cancelled'),
  attempt: fc.integer({ min: 1, max: 3 }),
  response: text,
  creditsCharged: fc.nat(),
  finishReason: nothingOr(text),
  error: fc.constantFrom({ code: 'python_failed', message: 'no' }, { code: 'else', message: 'no' }, null),
  createdAt: fc.constant('2026-01-01T00:00:00Z'),
  finishedAt: fc.constant('2026-01-01T00:00:01Z')
})
const entries = fc.array(event).map(events => events.map((event, index) => ({ seq: index + 1, event })))
/** What is shared: how often it is tried, and on what. */
const OPERATIONS: Record<string, [number, fc.Arbitrary<unknown[]>]> = {
  buildMessages: [300, fc.tuple(agent, messages)],
  hashRequest: [100, fc.tuple(request)],
  measureUsage: [200, fc.tuple(reported, messages, text)],
  toStorable: [200, fc.tuple(fc.oneof(entry, messages))],
  encodeSse: [100, fc.tuple(fc.nat(), event)],
  validate: [300, fc.tuple(body)],
  replay: [100, fc.tuple(run, entries)]
}

t.test('what the edge function shares with the service does the same under Deno', async t => {
  const deno = await findDeno(t)
  if (!deno) return
  const samples = Object.entries(OPERATIONS).flatMap(([name, [numRuns, args]]) => fc.sample(args, numRuns).map(args => [name, ...args]))
  // As JSON has them, so that both are given the same.
  const input = JSON.stringify(samples)
  const { code, stdout, stderr } = await runDeno(deno, ['run', '--allow-env', '--allow-read', MAIN], input)
  t.equal(code, 0, stderr)
  const calls = JSON.parse(input)
  const theirs = JSON.parse(stdout)
  const ours = JSON.parse(JSON.stringify(await runOperations(calls)))
  for (const name of Object.keys(OPERATIONS)) {
    const of = (results: unknown[]) => results.filter((_, index) => calls[index][0] === name)
    assert.deepEqual(of(theirs), of(ours), name)
    t.pass(name)
  }
})

t.test('the edge function hashes a request as the service does, for a request without configuration and function results', async () => {
  const { hashRequest } = await loadFunction('runs/begin.ts')
  await fc.assert(fc.asyncProperty(fc.uuid(), messages, nothingOr(format), async (agentId, messages, format) => {
    // Written out, for what is stored with runs must not change.
    const text = JSON.stringify([agentId, messages, undefined, undefined, ...(format ? [format] : [])])
    const theirs = createHash('sha256').update(text).digest('hex')
    assert.equal(await hashRequest({ agentId, messages, response_format: format ?? undefined }), theirs)
  }), { numRuns: 100 })
})

t.test('a stream is cut into whole frames wherever the network has cut it, and no byte is lost', async () => {
  const { FrameScanner } = await loadFunction('streams/frame-scanner.ts')
  const { readData } = await loadFunction('streams/sse-data.ts')
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
    const scanner = new FrameScanner()
    const given: Array<{ seq: number, type: string, text: string }> = []
    for (const bytes of cutUp(Buffer.from(`${whole}id: 7000000000\ndata: {"type":"chu`), sizes)) {
      for (const { seq, type, bytes: own } of scanner.push(bytes)) given.push({ seq, type, text: Buffer.from(own).toString() })
    }
    // Each reader is pinged by itself: comments go no further.
    assert.deepEqual(given, frames.filter(frame => !frame.startsWith(':')).map(frame => ({
      seq: Number(/^id: (\d+)$/m.exec(frame)?.[1] ?? 0), type: /"type":"(\w+)"/.exec(frame)![1], text: frame
    })))
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
  const { code, stdout, stderr } = await runDeno(deno, ['check', 'index.ts'])
  t.equal(code, 0, stdout + stderr)
})

t.test('the function is deployed with the versions of the packages that the service is tested with', async t => {
  const { imports } = JSON.parse(await readFile(`${FUNCTION}deno.json`, 'utf8'))
  const { dependencies } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'))
  for (const [name, target] of Object.entries(imports)) {
    t.match(dependencies[name], /^\d+\.\d+\.\d+$/, `${name} has an exact version`)
    t.equal(target, `npm:${name}@${dependencies[name]}`)
  }
  const used = new Set<string>()
  for (const directory of [FUNCTION, join(FUNCTION, '../_shared')]) {
    for (const file of await readdir(directory, { recursive: true })) {
      if (!file.endsWith('.ts')) continue
      const text = await readFile(join(directory, file), 'utf8')
      for (const [, name] of text.matchAll(/(?:from |import |import\()'([^'.][^']*)'/g)) used.add(name!)
    }
  }
  t.same([...used].sort(), Object.keys(imports).sort(), 'every package is mapped, and none in vain')
})
