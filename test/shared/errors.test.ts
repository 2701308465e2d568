import t from 'tap'
import { errors, restoreError, ServiceError, toServiceError } from '#shared/errors.ts'

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

t.test('the service and the edge function have sentences of their own for what each lacks', async t => {
  t.match(errors.notConfigured('X'), { code: 'not_configured', message: 'This server has no X, which this route needs.' })
  t.match(errors.functionNotConfigured('X'), { code: 'not_configured', message: 'This function has no X, which this request needs.' })
  t.match(errors.heavyNotConfigured(), { code: 'not_configured', message: 'Heavy agent execution not configured' })
  t.match(errors.keysUnavailable(), { code: 'keys_unavailable', message: 'The keys that access tokens are signed with cannot be fetched: try again later.' })
  t.match(errors.tokensUncheckable(), { code: 'keys_unavailable', message: 'Access tokens cannot be checked at the moment: try again later.' })
})

t.test('an error that is none of ours is internal, with the other as its cause', async t => {
  const cause = new Error('secret')
  t.match(toServiceError(cause), { code: 'internal_error', statusCode: 500, cause, message: /^(?!.*secret)/ })
  const own = new ServiceError('x', 418, 'No.')
  t.equal(toServiceError(own), own)
})
