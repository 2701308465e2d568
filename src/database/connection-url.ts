import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { ConnectionOptions } from 'node:tls'
import type { ClientConfig } from 'pg'
import { UnfitDatabaseError } from './port.js'

/** How a Postgres URL is to be taken. */
export interface Connection {
  options: Pick<ClientConfig, 'connectionString' | 'ssl'>
  /** A pooler that gives each transaction another session: what belongs to a session cannot be relied on. */
  isTransactionPooler: boolean
  /** Host, kind and encryption, for people; without user and password. */
  description: string
}

/** Supabase's transaction poolers listen here, its own and the dedicated one; sessions are had at 5432. */
const TRANSACTION_PORT = '6543'
/** Certificates of these are of Supabase's own CA. */
const SUPABASE_HOST = /\.supabase\.(co|com)$/
const SESSION_POOLER_HOST = /\.pooler\.supabase\.com$/
const TLS_PARAMETERS = ['sslmode', 'sslrootcert', 'sslcert', 'sslkey', 'ssl', 'uselibpqcompat']

type Mode = 'disable' | 'require' | 'verify-ca' | 'verify-full'
const MODES: Record<string, Mode> = {
  disable: 'disable',
  // There is no falling back here from an encrypted connection to another, or from that to an encrypted one.
  prefer: 'require',
  require: 'require',
  'no-verify': 'require',
  'verify-ca': 'verify-ca',
  'verify-full': 'verify-full'
}

/**
 * Takes a Postgres URL as libpq and Supabase mean it, where node-postgres takes it otherwise: `sslmode=require` encrypts
 * and trusts any certificate, or those of a CA that is named; `pgbouncer=true` names a transaction pooler.
 * @param ca PEM text of the CA that the server's certificate has to be of; with it and no `sslmode` it is `verify-full`.
 * @throws {UnfitDatabaseError} where the URL contradicts itself, or names a file that cannot be read.
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
  return {
    options: { connectionString: url.href, ssl },
    isTransactionPooler,
    description: `${host}:${port || '5432'}, ${kind}, ${tls}`
  }
}

function readTls (params: URLSearchParams, host: string, given?: string): false | ConnectionOptions {
  // Its meaning differs from one driver to the next.
  if (params.has('ssl')) throw new UnfitDatabaseError('the database URL has ssl=…: say sslmode=require or sslmode=verify-full instead')
  const root = params.get('sslrootcert')
  // libpq's word for the CAs that the system trusts.
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
