import t from 'tap'
import * as shared from '#shared/errors.ts'
import { readDocument, sectionOf, tableOf } from './markdown.js'
import { bodiesOfFunctions, openSql } from './sql.js'

/** As SQL functions raise them: SQLSTATE PT<status>, the code as the hint, the sentence as the message. */
const RAISE = /raise sqlstate 'PT(\d{3})' using hint = '(\w+)',\s*message = (?:format\()?'([^']*)'/g
/** As SQL functions write them into a run that they end. */
const STORED = /'code', '(\w+)', 'message', '([^']*)'/g
/** What of an error's sentence depends on the request. */
const VARYING = '…'

t.test('errors.md', async t => {
  const document = readDocument('docs/reference/errors.md')
  const bodies = await bodiesOfFunctions(await openSql(t))

  t.test('lists every error with its status, its sentence and whether to try again, and no other', async t => {
    const defined = tablesIn(shared).flatMap(table => Object.values(table).map(define => {
      const { code, statusCode, message } = define(VARYING, VARYING)
      return rowOf(code, statusCode, message)
    }))
    const raised = bodies.flatMap(body => [...body.matchAll(RAISE)].map(([, status, code, sentence]) => rowOf(code!, Number(status), sentence!.replaceAll('%s', VARYING))))
    t.ok(defined.length > 20, 'the service defines errors')
    t.ok(raised.length > 10, 'the database raises errors')
    const { rows } = tableOf(sectionOf(document, 'Codes'), 'code')
    t.strictSame(unique(rows.map(row => row.slice(0, 4).join(' | '))), unique([...defined, ...raised]))
  })

  t.test('lists every error that the database writes into a run', async t => {
    const stored = bodies.flatMap(body => [...body.matchAll(STORED)].map(([, code, sentence]) => `${code} | ${sentence}`))
    t.ok(stored.length > 0, 'the database ends runs')
    const { rows } = tableOf(sectionOf(document, 'Codes of runs alone'), 'code')
    t.strictSame(unique(rows.filter(([code]) => code !== 'backend_failed').map(row => row.slice(0, 2).join(' | '))), unique(stored))
  })
})

type Define = ((...args: unknown[]) => shared.ServiceError) & { code: string, status: number }

/** The tables of errors that a module exports. */
function tablesIn (module: object): Array<Record<string, Define>> {
  return Object.values(module).filter(value => typeof value === 'object' && value !== null && Object.values(value).every((define: any) => define?.code && define.status))
}

function rowOf (code: string, status: number, sentence: string): string {
  const { isRetryable } = new shared.ServiceError(code, status, sentence)
  return [code, status, sentence, isRetryable ? 'yes' : 'no'].join(' | ')
}

function unique (rows: string[]): string[] {
  return [...new Set(rows)].sort()
}
