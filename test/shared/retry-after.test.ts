import t from 'tap'
import { parseRetryAfter } from '#shared/http/retry-after.ts'

t.test('Retry-After is a number of seconds, with a fraction or without, or a date', async t => {
  t.equal(parseRetryAfter('30'), 30)
  t.equal(parseRetryAfter('0'), 0)
  t.equal(parseRetryAfter('1.5'), 1.5)
  const seconds = parseRetryAfter(new Date(Date.now() + 60_000).toUTCString())!
  t.ok(seconds > 55 && seconds <= 60)
  t.equal(parseRetryAfter('Thu, 01 Jan 1970 00:00:00 GMT'), 0, 'a date in the past')
  for (const neither of ['', 'soon', 'NaN', 'Infinity']) t.equal(parseRetryAfter(neither), undefined, neither)
})
