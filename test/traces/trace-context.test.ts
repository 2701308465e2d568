import fc from 'fast-check'
import t from 'tap'
import { createSampler } from '#shared/traces/sampler.ts'
import { contextOf, newSpanId, newTraceId, parentOf, readTraceContext, spanIdOfRun, traceIdOfRun } from '#shared/traces/trace-context.ts'

const hex = (length: number) => fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: length, maxLength: length })
const id = (length: number) => hex(length).filter(text => !/^0+$/.test(text))
const VALID = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'

t.test('what is valid is read and handed on as it came', async t => {
  fc.assert(fc.property(id(32), id(16), fc.boolean(), (traceId, spanId, isSampled) => {
    const { traceparent } = contextOf({ traceId, spanId, isSampled })
    const read = readTraceContext({ traceparent })!
    return read.traceparent === traceparent && JSON.stringify(parentOf(read)) === JSON.stringify({ traceId, spanId, isSampled })
  }))
  t.same(readTraceContext({ traceparent: ` ${VALID} ` }), { traceparent: VALID })
  t.same(readTraceContext({ traceparent: VALID.replace(/^00/, 'cc') + '-what-later-versions-have' }), { traceparent: VALID }, 'a later version is read as far as it is known')
  t.same(readTraceContext({ traceparent: VALID.replace(/01$/, 'ff') }), { traceparent: VALID.replace(/01$/, '03') }, 'flags that are not known are not passed on')
})

t.test('what is malformed is no context, whatever it is', async t => {
  for (const traceparent of [
    '', '00', VALID.toUpperCase(), `${VALID}-x`, VALID.slice(0, -1), `${VALID}0`, VALID.replace('00-', 'ff-'), VALID.replace('0af7651916cd43dd8448eb211c80319c', '0'.repeat(32)),
    VALID.replace('b7ad6b7169203331', '0'.repeat(16)), `${VALID}, ${VALID}`, `cc${VALID.slice(2)}.`, undefined, null, 7, [VALID], { length: 55 }
  ]) t.equal(readTraceContext({ traceparent }), undefined, String(traceparent))
  // A text is a context only if it is one of the standard's form.
  fc.assert(fc.property(fc.oneof(fc.string(), fc.string({ unit: fc.constantFrom(...'0123456789abcdef-') }), fc.tuple(hex(2), hex(32), hex(16), hex(2)).map(parts => parts.join('-'))), traceparent => {
    const read = readTraceContext({ traceparent })
    return read === undefined || /^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-0[0-3]$/.test(read.traceparent)
  }))
})

t.test('a tracestate is handed on if it is valid, and is otherwise left out alone', async t => {
  const read = (tracestate: unknown) => readTraceContext({ traceparent: VALID, tracestate })!.tracestate
  t.equal(read('vendor=a1 , tenant@other=b:2,'), 'vendor=a1,tenant@other=b:2')
  for (const state of ['', 'vendor', 'vendor=', 'Vendor=a', 'v=a,v=b', 'v=a\r\nx: y', 'v=ä', `v=${'x'.repeat(520)}`, Array.from({ length: 33 }, (_, n) => `k${n}=v`).join(','), ['v=a']]) {
    t.equal(read(state), undefined, JSON.stringify(state))
  }
  fc.assert(fc.property(fc.string(), state => /^[ -~]*$/.test(read(state) ?? '') && (read(state) ?? '').length <= 512))
})

t.test('ids are valid and new, and those of a run are its own', async t => {
  const ids = new Set(Array.from({ length: 1000 }, () => newSpanId()))
  t.equal(ids.size, 1000)
  t.match(newTraceId(), /^[0-9a-f]{32}$/)
  fc.assert(fc.property(fc.uuid(), runId => readTraceContext(contextOf({ traceId: traceIdOfRun(runId), spanId: spanIdOfRun(runId), isSampled: true })) !== undefined))
})

t.test('samplers decide by the caller or the trace, and everywhere the same', async t => {
  const sampled = { isSampled: true }
  const not = { isSampled: false }
  const decide = (name: Parameters<typeof createSampler>[0], ratio = 1) => [undefined, sampled, not].map(parent => createSampler(name, ratio)(newTraceId(), parent))
  t.same(decide('always_on'), [true, true, true])
  t.same(decide('always_off'), [false, false, false])
  t.same(decide('parentbased_always_on'), [true, true, false])
  t.same(decide('parentbased_always_off'), [false, true, false])
  t.same(decide('parentbased_traceidratio', 0), [false, true, false])
  t.same(decide('traceidratio', 1), [true, true, true])
  const half = createSampler('traceidratio', 0.5)
  const share = Array.from({ length: 4000 }, newTraceId).filter(traceId => half(traceId)).length / 4000
  t.ok(share > 0.45 && share < 0.55, String(share))
  fc.assert(fc.property(id(32), traceId => half(traceId) === half(traceId, not) && (!createSampler('traceidratio', 0.2)(traceId) || half(traceId))))
})
