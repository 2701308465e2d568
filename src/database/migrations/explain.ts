import type { SqlError } from '#shared/sql-errors.ts'

/** What PostgreSQL's driver tells of a notice. */
interface Notice { severity?: string, routine?: string }

/** Whether operators are told of a notice: what a migration raises, and warnings; not that there was nothing to drop. */
export function isTold ({ severity, routine }: Notice): boolean {
  return severity === 'WARNING' || routine === 'exec_stmt_raise'
}

/** Codes of the network, and the driver's words for a time that is over. */
const UNREACHABLE = /^(ECONNREFUSED|ECONNRESET|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|ENETUNREACH|EHOSTUNREACH|EADDRNOTAVAIL)$/
const BROKEN = /^timeout expired$|^Connection terminated/
/** Codes of Node's TLS that a certificate was not accepted. */
const CERTIFICATE = /CERT|SELF_SIGNED|UNABLE_TO_VERIFY|UNABLE_TO_GET_ISSUER/
const DIRECT_HOST = /^db\..+\.supabase\.(co|com):/

/** The failure of `npm run migrate` in a sentence for operators, with what to do about it. No password is in it. */
export function explainFailure (error: Error, host: string): Error {
  const { code = '', message } = innermost(error)
  const advice = advise(code, message, host)
  return advice.instead ? new Error(advice.instead, { cause: error }) : new Error(`${error.message || message}${advice.after ?? ''}`, { cause: error })
}

/** For a host name with several addresses, the driver's error contains one error per address. */
function innermost (error: Error): SqlError {
  const { cause, errors } = error as Error & { cause?: Error, errors?: Error[] }
  const inner = cause ?? (error.message ? undefined : errors?.[0])
  return inner ? innermost(inner) : error as SqlError
}

function advise (code: string, message: string, host: string): { instead?: string, after?: string } {
  if (UNREACHABLE.test(code) || BROKEN.test(message)) {
    const path = DIRECT_HOST.test(host) ? '; direct connections of Supabase take IPv6: elsewhere use the session pooler of the Connect dialog' : ''
    return { instead: `no connection to ${host}: ${message}${path}` }
  }
  if (/^SASL.*password must be/.test(message)) return { instead: `${host} asks for a password: put it in the URL, or in PGPASSWORD` }
  if (code === '28P01' || /password authentication failed/.test(message)) return { after: ': see the password in the URL, or PGPASSWORD' }
  if (/does not support SSL/.test(message)) return { instead: `${host} does not take encrypted connections: add sslmode=disable to the URL` }
  if (/no encryption$|SSL off/.test(message)) return { after: '; add sslmode=require to the URL' }
  if (CERTIFICATE.test(code)) return { instead: `the certificate of ${host} is not accepted (${message}): see SUPABASE_DB_CA, or sslrootcert in the URL` }
  if (code === '42501') return { after: '; connect as the role that owns the database\'s tables (on Supabase: postgres)' }
  if (code === '25006') return { after: '; it is a standby, or default_transaction_read_only is on' }
  return {}
}
