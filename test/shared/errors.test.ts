import t from 'tap'
import { errors, failureOf, reasonOf, restoreError, ServiceError, toServiceError } from '#shared/errors.ts'

t.test('a code has one status, so that a stored error is restored as it was thrown', async t => {
  const statuses = new Map<string, number>()
  for (const { code, status } of Object.values(errors)) {
    t.equal(statuses.get(code) ?? status, status, code)
    statuses.set(code, status)
    const restored = restoreError(code, 'A sentence.')
    t.match(restored, { code, statusCode: status, message: 'A sentence.' })
  }
  t.match(restoreError('of_another_release', 'A sentence.'), { statusCode: 500, isRetryable: false })
})

t.test('a sentence is for users: it names no gateway, account, secret, variable, database or program of ours', async t => {
  const sentences = Object.values(errors).map(make => (make as (...args: unknown[]) => ServiceError)('so', 5, 'and so').message)
  for (const sentence of sentences) {
    t.match(sentence, /^[A-Z].*[.)]$|^Heavy agent execution not configured$|^so$/)
    t.notMatch(sentence, /gateway|account|secret|[A-Z]{2,}_|migration|python|redis|postgres/i)
  }
})

t.test('the reason of an error is stored beside its sentence, on one line, cut, and as every store takes it', async t => {
  t.same(failureOf(errors.gatewayPaymentRequired().with({ reason: 'the AI gateway answered 402:\n pay' })),
    { code: 'gateway_payment_required', message: 'This agent is not available right now.', reason: 'the AI gateway answered 402: pay' })
  t.equal(reasonOf(errors.gatewayUnavailable().with({ cause: new Error('connect ECONNREFUSED') })), 'connect ECONNREFUSED')
  t.equal(reasonOf(errors.gatewayUnavailable()), undefined)
  t.equal(reasonOf(errors.internal().with({ reason: `${'x'.repeat(299)}😀` })), `${'x'.repeat(299)}\ufffd`)
  t.equal(reasonOf(errors.internal().with({ reason: 'a\0b' })), 'a\ufffdb')
})

t.test('an error that is none of ours is internal, with the other as its cause', async t => {
  const cause = new Error('secret')
  t.match(toServiceError(cause), { code: 'internal_error', statusCode: 500, cause, message: /^(?!.*secret)/ })
  const own = new ServiceError('x', 418, 'No.')
  t.equal(toServiceError(own), own)
})
