import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { ConnectionOptions } from 'node:tls'
import type { ClientConfig } from 'pg'
import { UnfitDatabaseError } from './port.js'

/** How to connect to a Postgres URL. */
export interface Connection {
  options: Pick<ClientConfig, 'connectionString' | 'ssl'>
  /** Whether a pooler gives each transaction another session, so that nothing may depend on session state. */
  isTransactionPooler: boolean
  /** Host and port, for operators. */
  host: string
  /** Host, kind and encryption, for operators; without user and password. */
  description: string
}

/** The port of Supabase's transaction poolers, the shared and the dedicated one; its session poolers listen on 5432. */
const TRANSACTION_PORT = '6543'
/** Hosts whose certificates are signed by Supabase's own CA. */
const SUPABASE_HOST = /\.supabase\.(co|com)$/
const SESSION_POOLER_HOST = /\.pooler\.supabase\.com$/
const TLS_PARAMETERS = ['sslmode', 'sslrootcert', 'sslcert', 'sslkey', 'ssl', 'uselibpqcompat']

type Mode = 'disable' | 'require' | 'verify-ca' | 'verify-full'
const MODES: Record<string, Mode> = {
  disable: 'disable',
  // There is no fallback to an unencrypted connection, so `prefer` requires encryption.
  prefer: 'require',
  require: 'require',
  'no-verify': 'require',
  'verify-ca': 'verify-ca',
  'verify-full': 'verify-full'
}

/**
 * Reads a Postgres URL with the meaning that libpq and Supabase give it, which differs from node-postgres: `sslmode=require`
 * encrypts and accepts any certificate, or one of a given CA; `pgbouncer=true` marks a transaction pooler.
 * @param ca the CA of the server's certificate, as PEM text; with a CA the default of `sslmode` is `verify-full`.
 * @throws {UnfitDatabaseError} if the URL is contradictory, or names a file that cannot be read.
 */
export function readConnectionUrl (text: string, ca?: string): Connection {
  const url = new URL(text)
  const params = url.searchParams
  const host = params.get('host') ?? url.hostname
  const port = params.get('port') ?? url.port
  const isTransactionPooler = port === TRANSACTION_PORT || params.get('pgbouncer') === 'true'
  const ssl = readTls(params, host, ca)
  for (const name of ['pgbouncer', ...TLS_PARAMETERS]) params.delete(name)
  const kind = isTransactionPooler ? 'transaction pooler' : SESSION_POOLER_HOST.test(host) ? 'session pooler' : 'direct connection'
  const tls = !ssl ? 'no TLS' : ssl.rejectUnauthorized === false ? 'TLS' : 'TLS with a verified certificate'
  const address = `${host}:${port || '5432'}`
  return {
    options: { connectionString: url.href, ssl },
    isTransactionPooler,
    host: address,
    description: `${address}, ${kind}, ${tls}`
  }
}

/** Whether a Postgres URL names a host of Supabase's: no local database, and no other provider's. */
export function isHostedBySupabase (text: string): boolean {
  const url = new URL(text)
  return SUPABASE_HOST.test(url.searchParams.get('host') ?? url.hostname)
}

function readTls (params: URLSearchParams, host: string, given?: string): false | ConnectionOptions {
  // Drivers disagree about its meaning.
  if (params.has('ssl')) throw new UnfitDatabaseError('the database URL has ssl=…: say sslmode=require or sslmode=verify-full instead')
  const root = params.get('sslrootcert')
  // `system` is libpq's name for the CAs that the system trusts.
  const ca = root && root !== 'system' ? readPem(root) : given
  const named = params.get('sslmode')
  const mode = named === null ? defaultMode(host, ca ?? root) : MODES[named]
  if (!mode) throw new UnfitDatabaseError(`the database URL has an unknown sslmode: it is one of ${Object.keys(MODES).join(', ')}`)
  if (mode === 'disable') return false
  const own = Object.fromEntries([['cert', 'sslcert'], ['key', 'sslkey']].flatMap(([option, name]) => {
    const path = params.get(name!)
    return path ? [[option, readFile(name!, path)]] : []
  }))
  if (mode === 'verify-full') return { ...own, ca }
  if (ca) return { ...own, ca, checkServerIdentity: () => undefined }
  if (mode === 'verify-ca') throw new UnfitDatabaseError('sslmode=verify-ca needs a CA certificate: set SUPABASE_DB_CA, or sslrootcert in the database URL')
  return { ...own, rejectUnauthorized: false }
}

function defaultMode (host: string, ca: string | null): Mode {
  if (ca) return 'verify-full'
  return SUPABASE_HOST.test(host) ? 'require' : 'disable'
}

function readPem (path: string): string {
  const pem = readFile('sslrootcert', path)
  try {
    return new X509Certificate(pem) && pem
  } catch {
    throw new UnfitDatabaseError('sslrootcert in the database URL names a file that is no certificate')
  }
}

function readFile (name: string, path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new UnfitDatabaseError(`${name} in the database URL names a file that cannot be read (${(error as NodeJS.ErrnoException).code})`)
  }
}
