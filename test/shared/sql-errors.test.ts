import t from 'tap'
import { codeOfAnswer, translateError } from '#shared/sql-errors.ts'

t.test('an answer that is not PostgREST\'s is told by its status', async t => {
  const of = (code: string, status: number) => translateError({ code: codeOfAnswer(code, status), message: 'no' }).code
  t.equal(of('', 0), 'database_unavailable', 'no answer at all')
  for (const status of [429, 500, 502, 503]) t.equal(of('', status), 'database_unavailable', `${status}`)
  t.equal(of('', 404), 'internal_error')
  t.equal(of('23505', 409), 'internal_error')
  t.equal(of('57P03', 503), 'database_unavailable')
  t.equal(of('PGRST202', 404), 'database_not_migrated')
})
