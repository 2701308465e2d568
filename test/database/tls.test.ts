import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, chownSync, statSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { readConnectionUrl } from '../../src/database/connection-url.js'
import { UnfitDatabaseError } from '../../src/database/port.js'
import { connectPostgres } from '../../src/database/postgres.js'
import { createCluster } from '../support/doubles/postgres-cluster.js'
import { leaveOut } from '../support/doubles/programs.js'
import { startService } from '../support/helper.js'

/** Who comes without encryption is turned away. */
const HBA = ['hostnossl encrypted all 127.0.0.1/32 reject']

function openssl (...args: string[]): void {
  execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] })
}

const NEW_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']

/** A CA, and a certificate of it for a server at 127.0.0.1. */
function makeCertificates (directory: string): Record<string, string> {
  const at = (name: string) => join(directory, name)
  openssl('req', '-x509', ...NEW_KEY, '-keyout', at('ca.key'), '-out', at('ca.pem'), '-days', '2', '-subj', '/CN=The right CA')
  openssl('req', '-x509', ...NEW_KEY, '-keyout', at('other.key'), '-out', at('other.pem'), '-days', '2', '-subj', '/CN=Another CA')
  openssl('req', ...NEW_KEY, '-keyout', at('server.key'), '-out', at('server.csr'), '-subj', '/CN=server')
  writeFileSync(at('names.txt'), 'subjectAltName = IP:127.0.0.1')
  openssl('x509', '-req', '-in', at('server.csr'), '-CA', at('ca.pem'), '-CAkey', at('ca.key'), '-CAcreateserial', '-days', '2', '-out', at('server.crt'), '-extfile', at('names.txt'))
  const { uid, gid } = statSync(directory)
  for (const name of ['server.key', 'server.crt']) chownSync(at(name), uid, gid)
  chmodSync(at('server.key'), 0o600)
  return { ssl: 'on', ssl_cert_file: 'server.crt', ssl_key_file: 'server.key' }
}

function hasOpenssl (): boolean {
  try {
    openssl('version')
    return true
  } catch {
    return false
  }
}

t.test('connections to a server with TLS', async t => {
  if (!hasOpenssl()) return leaveOut(t, 'openssl')
  const cluster = await createCluster(t, { hba: HBA, prepare: async directory => makeCertificates(directory) })
  if (!cluster) return
  await cluster.query('create database encrypted template migrated')
  const url = cluster.url('encrypted')
  const [right, other] = ['ca.pem', 'other.pem'].map(name => join(cluster.directory, name)) as [string, string]
  const pem = await readFile(right, 'utf8')

  /** Whether the connection that a URL makes is encrypted. */
  async function connect (t: Test, query = '', ca?: string, database = url): Promise<unknown> {
    const connection = connectPostgres({ url: database + query, ca, maxConnections: 1 })
    t.teardown(() => connection.close())
    await connection.call('get_credits', { p_user_id: '11111111-1111-4111-8111-111111111111' })
    const [{ ssl }] = await cluster!.query(`select ssl from pg_stat_ssl join pg_stat_activity using (pid)
      where datname = '${new URL(database).pathname.slice(1)}' and pid <> pg_backend_pid()`) as [{ ssl: boolean }]
    return ssl
  }

  t.test('are encrypted by sslmode=require, whoever signed the certificate', async t => {
    for (const mode of ['require', 'prefer', 'no-verify']) await t.test(mode, async t => t.equal(await connect(t, `?sslmode=${mode}`), true))
  })

  t.test('are verified by the CA that is given', async t => {
    for (const query of [`?sslmode=verify-full&sslrootcert=${right}`, `?sslmode=verify-ca&sslrootcert=${right}`, `?sslmode=require&sslrootcert=${right}`, `?sslrootcert=${right}`]) {
      await t.test(query.replace(right, '…'), async t => t.equal(await connect(t, query), true))
    }
    await t.test('as text', async t => t.equal(await connect(t, '', pem), true))
    await t.test('as text, by another name than the certificate\'s', async t => {
      const named = url.replace('127.0.0.1', 'localhost')
      await t.rejects(connect(t, '', pem, named), { cause: { code: 'ERR_TLS_CERT_ALTNAME_INVALID' } }, 'verify-full takes no other name')
      t.equal(await connect(t, '?sslmode=verify-ca', pem, named), true, 'verify-ca takes any')
    })
  })

  t.test('are refused where the certificate is of another CA, or of one that nobody named', async t => {
    const untrusted = { code: 'database_unavailable', cause: { message: /certificate/ } }
    for (const query of [`?sslmode=verify-full&sslrootcert=${other}`, `?sslmode=verify-ca&sslrootcert=${other}`, `?sslmode=require&sslrootcert=${other}`, '?sslmode=verify-full', '?sslmode=verify-full&sslrootcert=system']) {
      await t.test(query.replace(other, '…'), async t => t.rejects(connect(t, query), untrusted))
    }
  })

  t.test('begin a service, with SUPABASE_DB_CA as text and as a path', async t => {
    for (const ca of [pem, pem.replaceAll('\n', '\\n'), right]) {
      const service = await startService(t, { SUPABASE_DB_URL: url, SUPABASE_DB_CA: ca })
      t.match(service.logs[0], /TLS with a verified certificate/)
      t.match(await service.request('GET', '/ready'), { body: { database: 'up' } })
    }
  })

  t.test('that cannot be had end its start, in words', async t => {
    const cases: Array<[Record<string, string>, RegExp]> = [
      [{ SUPABASE_DB_URL: url }, /^the database refuses this service: .+, no encryption; add sslmode=require to SUPABASE_DB_URL$/],
      [{ SUPABASE_DB_URL: url, SUPABASE_DB_CA: other }, /^the database refuses this service: .*certificate.*; see SUPABASE_DB_CA$/],
      [{ SUPABASE_DB_URL: `${url}?sslmode=verify-ca` }, /^sslmode=verify-ca needs a CA certificate: set SUPABASE_DB_CA/],
      [{ SUPABASE_DB_URL: `${url}?sslrootcert=/no/such/file` }, /^sslrootcert in the database URL names a file that cannot be read \(ENOENT\)$/],
      [{ SUPABASE_DB_URL: `${url}?sslrootcert=${join(cluster.directory, 'names.txt')}` }, /^sslrootcert in the database URL names a file that is no certificate$/],
      [{ SUPABASE_DB_URL: `${url}?ssl=true` }, /^the database URL has ssl=…: say sslmode=require or sslmode=verify-full instead$/]
    ]
    for (const [variables, line] of cases) {
      const error = await startService(t, variables).then(() => undefined, error => error)
      t.ok(error instanceof UnfitDatabaseError, String(line))
      t.match(error.message, line)
    }
  })
})

t.test('a server that has no TLS is told as such', async t => {
  // It answers the request for encryption as PostgreSQL does that has none.
  const server = createServer(socket => socket.once('data', () => socket.write('N'))).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => { server.close() })
  const url = `postgres://user@127.0.0.1:${(server.address() as AddressInfo).port}/database?sslmode=require`
  const error = await startService(t, { SUPABASE_DB_URL: url }).catch(error => error)
  t.match(error.message, /^the database refuses this service: The server does not support SSL connections$/)
})

t.test('a URL is taken as Supabase means it', async t => {
  const cases: Array<[string, string]> = [
    ['postgres://u:secret@db.abc.supabase.co:5432/postgres', 'db.abc.supabase.co:5432, direct connection, TLS'],
    ['postgres://u:secret@db.abc.supabase.co/postgres', 'db.abc.supabase.co:5432, direct connection, TLS'],
    ['postgres://u:secret@db.abc.supabase.co:6543/postgres', 'db.abc.supabase.co:6543, transaction pooler, TLS'],
    ['postgresql://u.abc:secret@aws-0-eu-central-1.pooler.supabase.com:6543/postgres', 'aws-0-eu-central-1.pooler.supabase.com:6543, transaction pooler, TLS'],
    ['postgresql://u.abc:secret@aws-0-eu-central-1.pooler.supabase.com:5432/postgres', 'aws-0-eu-central-1.pooler.supabase.com:5432, session pooler, TLS'],
    ['postgres://u:secret@db.abc.supabase.co/postgres?sslmode=disable', 'db.abc.supabase.co:5432, direct connection, no TLS'],
    ['postgres://u:secret@supabase.co.example.com/postgres', 'supabase.co.example.com:5432, direct connection, no TLS'],
    ['postgres://u:secret@db.internal:5432/postgres?pgbouncer=true', 'db.internal:5432, transaction pooler, no TLS'],
    ['postgres://u:secret@db.internal:5432/postgres?pgbouncer=false', 'db.internal:5432, direct connection, no TLS'],
    ['postgres:///postgres?host=/var/run/postgresql', '/var/run/postgresql:5432, direct connection, no TLS']
  ]
  for (const [url, description] of cases) {
    const connection = readConnectionUrl(url)
    t.equal(connection.description, description)
    t.equal(connection.isTransactionPooler, description.includes('transaction'))
    t.notMatch(connection.options.connectionString, /pgbouncer|sslmode/)
    t.ok(connection.options.connectionString!.includes(url.split('?')[0]!), 'the rest stays as it is')
  }
})
