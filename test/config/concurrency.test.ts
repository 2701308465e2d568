import t from 'tap'
import { shareConfig } from '../../src/config/share.js'
import { ConfigError, parseConfig } from '../../src/config/config.js'

const SHARED = {
  SUPABASE_DB_URL: 'postgres://user:db-password@host/db',
  SUPABASE_JWT_SECRET: 'jwt-secret',
  LOVABLE_API_KEY: 'gateway-key',
  REDIS_URL: 'redis://localhost:6379/1',
  WEB_CONCURRENCY: '4'
}

t.test('processes that share a port share what was configured for all, rounded down', async t => {
  const config = parseConfig({ ...SHARED, MAX_CONCURRENT_RUNS: '403', SUPABASE_DB_POOL_MAX: '10', PYTHON_WORKERS: '2' })
  t.match(shareConfig(config), {
    webConcurrency: 4, maxConcurrentRuns: 100, database: { kind: 'postgres', maxConnections: 2 }, python: { workers: 1 }, maxRunsPerUser: config.maxRunsPerUser
  })
  t.equal(shareConfig(parseConfig({ ...SHARED, MAX_CONCURRENT_RUNS: '0' })).maxConcurrentRuns, 0, 'those that make no runs still make none')
  const alone = parseConfig({ ...SHARED, WEB_CONCURRENCY: undefined })
  t.same(shareConfig(alone), alone, 'one process has all of it')
})

t.test('WEB_CONCURRENCY above 1 is refused', async t => {
  const refusals: Record<string, { variables: Record<string, string | undefined>, problem: RegExp }> = {
    'without Redis': { variables: { REDIS_URL: undefined }, problem: /^REDIS_URL is missing: WEB_CONCURRENCY above 1 needs it/ },
    'on the embedded database': {
      variables: { SUPABASE_DB_URL: undefined, REDIS_URL: undefined }, problem: /^WEB_CONCURRENCY must be 1 on the embedded database/
    },
    'with fewer runs than processes': { variables: { MAX_CONCURRENT_RUNS: '3' }, problem: /^MAX_CONCURRENT_RUNS must be 0 or at least WEB_CONCURRENCY \(4\)/ },
    'with fewer connections than processes': { variables: { SUPABASE_DB_POOL_MAX: '3' }, problem: /^SUPABASE_DB_POOL_MAX must be at least WEB_CONCURRENCY \(4\)/ },
    'above 64': { variables: { WEB_CONCURRENCY: '65' }, problem: /^WEB_CONCURRENCY must be <= 64$/ }
  }
  for (const [when, { variables, problem }] of Object.entries(refusals)) {
    t.test(when, async t => {
      try {
        parseConfig({ ...SHARED, ...variables })
        t.fail('it was taken')
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error
        t.match(error.problems, [problem])
        t.equal(error.problems.length, 1)
      }
    })
  }
})
