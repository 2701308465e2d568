import { join } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import type { TSchema } from '@sinclair/typebox'
import { Ajv } from 'ajv'
import pg from 'pg'
import t, { type Test } from 'tap'
import { openEmbedded } from '../../src/database/embedded.js'
import type { FunctionName } from '../../src/database/functions.js'
import type { Database } from '../../src/database/port.js'
import { connectPostgres } from '../../src/database/postgres.js'
import { untyped } from '../support/database.js'
import { createDataDir, createPostgres, DEMO_USER, findPostgres } from '../support/helper.js'
import { TEST_FUNCTIONS } from './contract.js'
import { RESULTS } from './function-results.js'
import { createSamples } from './function-samples.js'

const ajv = new Ajv({ allErrors: true, strict: false }).addFormat('uuid', /^[0-9a-f-]{36}$/)

t.test('the typed functions are those of the schema, on the embedded database', async t => {
  const dataDir = await createDataDir(t)
  const pglite = await PGlite.create(join(dataDir, 'postgres'))
  await pglite.exec(TEST_FUNCTIONS)
  await pglite.close()
  const database = await openEmbedded(dataDir)
  t.teardown(() => database.close())
  await testFunctions(t, database)
})

t.test('the typed functions are those of the schema, on PostgreSQL', async t => {
  if (!await findPostgres(t)) return
  const url = await createPostgres(t)
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query(TEST_FUNCTIONS)
  await client.end()
  const database = connectPostgres({ url })
  t.teardown(() => database.close())
  await testFunctions(t, database)
})

async function testFunctions (t: Test, db: Database): Promise<void> {
  const samples = createSamples(db)
  const call = untyped(db)
  const known = await signaturesOf(db)
  await call('test_sql', { p_sql: `update public.credit_balances set credits_remaining = 1000 where user_id = '${DEMO_USER}' returning id` })
  t.same(Object.keys(samples).sort(), Object.keys(RESULTS).sort())
  for (const name of Object.keys(samples) as FunctionName[]) {
    t.test(name, async t => {
      const names = ({ required, optional }: { required: object, optional: object }) => ({ required: Object.keys(required).sort(), optional: Object.keys(optional).sort() })
      t.same([names(await samples[name]())], known[name], 'the schema has one function of this name, with these arguments')
      for (const isFull of [false, true]) {
        const { required, optional } = await samples[name]()
        const result = await call(name, { ...required, ...(isFull ? optional : {}) })
        t.same(problemsOf(RESULTS[name], result), [], isFull ? 'with all arguments' : 'with the required arguments')
      }
    })
  }
}

interface Signature { required: string[], optional: string[] }

/** The functions of the schema that return jsonb: several where a name is overloaded. */
async function signaturesOf (db: Database): Promise<Record<string, Signature[]>> {
  const rows = await untyped(db)<Array<{ name: string, args: string[] | null, required: number }>>('test_sql', {
    p_sql: 'select proname as name, proargnames as args, pronargs - pronargdefaults as required from pg_proc where pronamespace = \'public\'::regnamespace'
  })
  const signatures: Record<string, Signature[]> = {}
  for (const { name, args, required } of rows) {
    const all = args ?? []
    const signature = { required: all.slice(0, required).sort(), optional: all.slice(required).sort() }
    signatures[name] = [...signatures[name] ?? [], signature]
  }
  return signatures
}

function problemsOf (schema: TSchema, value: unknown): string[] {
  const fits = ajv.compile(close(schema) as object)
  return fits(value) ? [] : fits.errors!.map(({ instancePath, message, params }) => `${instancePath}: ${message} ${JSON.stringify(params)}`)
}

/** The schema with all of its objects closed to properties that it does not name. */
function close (schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(close)
  if (typeof schema !== 'object' || schema === null) return schema
  const closed = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, close(value)]))
  return 'properties' in schema ? { ...closed, additionalProperties: false } : closed
}

t.test('an object with a property that its schema does not name is found', t => {
  t.same(problemsOf(RESULTS.release_runs, { released: 1, other: 2 }), [': must NOT have additional properties {"additionalProperty":"other"}'])
  t.match(problemsOf(RESULTS.heartbeat_worker, { lapsed: true, owned: 1 }), [/^: must have required property 'cancel'/])
  t.end()
})

/** Held by the compiler, and never called: a misspelt name, argument or result does not compile. */
export async function compileTimeTests (db: Database): Promise<void> {
  await db.call('schema_version')
  await db.call('audit_credits')
  const { userId }: { userId: string | null } = await db.call('authenticate_api_key', { p_key_hash: '' })
  // @ts-expect-error a name that is misspelt
  await db.call('get_credit', { p_user_id: userId! })
  // @ts-expect-error an argument that is misspelt
  await db.call('get_credits', { p_userid: userId! })
  // @ts-expect-error an argument too many
  await db.call('get_credits', { p_user_id: userId!, p_limit: 1 })
  // @ts-expect-error an argument of another type
  await db.call('get_credits', { p_user_id: 1 })
  // @ts-expect-error a required argument that is missing
  await db.call('get_agent', { p_user_id: userId! })
  // @ts-expect-error no arguments at all
  await db.call('get_credits')
  // @ts-expect-error arguments of a function without any
  await db.call('schema_version', { p_limit: 1 })
  const credits = await db.call('get_credits', { p_user_id: userId! })
  // @ts-expect-error a key that the result does not have
  t.comment(credits.creditsLeft)
}
