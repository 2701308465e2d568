import fc from 'fast-check'
import t from 'tap'
import { addReport, measureUsage, type ReportedUsage } from '#shared/usage.ts'

const MESSAGES = [{ role: 'user' as const, content: 'Hi' }]
const report = (prompt_tokens?: any, completion_tokens?: any, total_tokens?: any): ReportedUsage => ({ prompt_tokens, completion_tokens, total_tokens })
const measure = (...figures: any[]) => measureUsage(report(...figures), MESSAGES, 'Hello', { maxTokens: 100 })

t.test('of several reports the largest count of each field is kept, and what is no count replaces nothing', async t => {
  t.same(addReport(undefined, report(1, 2, 3)), report(1, 2, 3))
  t.same(addReport(report(10, 5, 15), report(0, 0, 0)), report(10, 5, 15))
  t.same(addReport(report(10, 1, 11), report(0, 5, 5)), report(10, 5, 11))
  t.same(addReport(report(10, 5, 15), report('20', -1, 15.5)), report(10, 5, 15))
  t.same(addReport(report(undefined, null, 'x'), report(10, 5, 15)), report(10, 5, 15))
  const field = fc.constantFrom(undefined, null, 0, 1, 7, 2 ** 31, -1, 1.5, '3')
  fc.assert(fc.property(fc.array(fc.tuple(field, field, field), { minLength: 1 }), reports => {
    const merged = reports.map(figures => report(...figures)).reduce<ReportedUsage | undefined>(addReport, undefined)!
    for (const [index, name] of (['prompt_tokens', 'completion_tokens', 'total_tokens'] as const).entries()) {
      const counts = reports.map(figures => figures[index]).filter(value => Number.isInteger(value) && (value as number) >= 0) as number[]
      if (counts.length > 0 && merged[name] !== Math.max(...counts)) return false
    }
    return true
  }))
})

t.test('a total that is smaller than its parts is their sum, and a larger one counts', async t => {
  t.same(measure(10, 5, 3), { promptTokens: 10, completionTokens: 5, totalTokens: 15, estimated: false })
  t.same(measure(10, 5, 0), { promptTokens: 10, completionTokens: 5, totalTokens: 15, estimated: false })
  t.same(measure(10, 5, 40), { promptTokens: 10, completionTokens: 5, totalTokens: 40, estimated: false })
})

t.test('figures that cannot be are cut at what the texts can come to, and marked as estimated', async t => {
  for (const figures of [[2 ** 31, 5, 2 ** 31 + 5], [10, 2 ** 40, 2 ** 40], [10, 5, 1e300], [1e300, 1e300, 1e300], [2 ** 53, 2 ** 53, undefined]]) {
    const usage = measure(...figures)
    t.ok(usage.estimated && usage.totalTokens < 10_000 && usage.promptTokens + usage.completionTokens < 10_000, JSON.stringify([figures, usage]))
  }
})
