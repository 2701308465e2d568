import { join } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import pg from 'pg'

const USER = '11111111-1111-4111-8111-111111111111'

/** Accesses the credits of a database directly, without the service. */
export interface Ledger {
  /** `asked`: what was answered by more than one run; it is counted in `doubled`. */
  read (): Promise<Record<'granted' | 'remaining' | 'reserved' | 'charged' | 'ledger' | 'doubled' | 'unfinished' | 'found', number> & { asked: string }>
}

type Query = (sql: string) => Promise<Array<Record<string, unknown>>>

/** Gives the demo user credits, and reads how they were spent. */
async function createLedger (granted: number, withDatabase: <T>(task: (query: Query) => Promise<T>) => Promise<T>): Promise<Ledger> {
  await withDatabase(query => query(`update public.credit_balances set credits_remaining = ${granted} where user_id = '${USER}'`))
  return {
    read: () => withDatabase(async query => {
      const [row] = await query(`with asked as (
          select substring(response from '([a-z0-9-]+):0é') as name, string_agg(status || ' ' || created_at::time, ', ' order by created_at) as runs
            from public.agent_runs where response ~ ':0é' group by 1 having count(*) > 1)
        select
        (select credits_remaining from public.credit_balances where user_id = '${USER}') as remaining,
        (select credits_reserved from public.credit_balances where user_id = '${USER}') as reserved,
        (select coalesce(sum(credits_charged), 0)::int from public.agent_runs) as charged,
        (select coalesce(sum(credits_used), 0)::int from public.credit_usage) as ledger,
        (select count(*)::int from (select from public.agent_runs where idempotency_key is not null group by idempotency_key having count(*) > 1) as d)
          + (select count(*)::int from asked)
          + (select count(*)::int from (select from public.credit_usage group by run_id having count(*) > 1) as d) as doubled,
        (select coalesce(string_agg(name || ': ' || runs, '; '), '') from asked) as asked,
        (select count(*)::int from public.agent_runs where finished_at is null) as unfinished,
        (public.audit_credits() ->> 'total')::int as found`)
      return { granted, ...row } as Awaited<ReturnType<Ledger['read']>>
    })
  }
}

export function postgresLedger (url: string, granted: number): Promise<Ledger> {
  return createLedger(granted, async task => {
    const client = new pg.Client({ connectionString: url })
    await client.connect()
    try {
      return await task(async sql => (await client.query(sql)).rows)
    } finally {
      await client.end()
    }
  })
}

/** Only usable while no service runs, because a service needs the directory for itself. */
export function embeddedLedger (dataDir: string, granted: number): Promise<Ledger> {
  return createLedger(granted, async task => {
    const pglite = await PGlite.create(join(dataDir, 'postgres'))
    try {
      return await task(async sql => (await pglite.query<Record<string, unknown>>(sql)).rows)
    } finally {
      await pglite.close()
    }
  })
}
