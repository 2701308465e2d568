import { errors, ServiceError } from './errors.ts'

/** An error of PostgreSQL or PostgREST, as the drivers report it. */
export interface SqlError { code?: string, message: string, hint?: string | null, detail?: string | null }

/**
 * The error that callers of the database get. A business error, raised in SQL as `PT<status>` with a hint, has that status
 * and the hint as its code, and its detail is the number of seconds to wait, if it has any; every other one is `database_…`
 * or `internal_error`.
 */
export function translateError ({ code = '', message, hint, detail }: SqlError): ServiceError {
  // Only the message and the code: drivers add details, queries and values, which would bring users' texts into the log.
  const cause = Object.assign(new Error(message), { code })
  const status = /^PT(\d{3})$/.exec(code)?.[1]
  if (status && hint) return new ServiceError(hint, Number(status), message).with({ retryAfter: Number(detail) || undefined })
  // 42883 undefined function, 42P01 undefined table; PGRST202 is PostgREST's code for the first.
  if (['42883', '42P01', 'PGRST202'].includes(code)) return errors.databaseNotMigrated().with({ cause })
  if (isTransient(code) || isRefusal(code)) return errors.databaseUnavailable().with({ cause })
  return errors.internal().with({ cause })
}

/**
 * Whether another try may succeed. 08 connection exception, 40 transaction rollback, 53 insufficient resources, 55P03 lock
 * not available, 57 operator intervention, 25006 read-only transaction, XX000 a pooler that lost its server; PGRST00x is
 * PostgREST without its database; no code at all, or a POSIX one, is a connection that failed.
 */
function isTransient (code: string): boolean {
  return code === '' || /^(08|40|53|57)/.test(code) || ['25006', '55P03', 'XX000', 'HTTP 429'].includes(code) || /^PGRST00/.test(code) || /^E[A-Z_]+$/.test(code)
}

/**
 * Whether the connection of a call broke or could not be made, so that nobody knows whether the call was executed: not if
 * the database answered, such as that a lock was held for too long.
 */
export function hasLostAnswer ({ cause }: ServiceError): boolean {
  const code = (cause as Partial<SqlError> | undefined)?.code
  return code !== undefined && (code === '' || /^(08|57P|PGRST00)/.test(code) || ['25006', 'XX000'].includes(code) || /^E[A-Z_]+$/.test(code))
}

/**
 * Whether the database denies access until an operator changes something. 28 unknown role, wrong password or not in
 * pg_hba.conf; 3D unknown database; PGRST30x, HTTP 401 and 403 an invalid key; the others are names of TLS errors, which
 * all mean that a certificate was not accepted or no encryption was agreed on.
 */
export function isRefusal (code: string): boolean {
  return /^(28|3D|PGRST30)/.test(code) || ['HTTP 401', 'HTTP 403'].includes(code) ||
    /^(ERR_TLS_|ERR_SSL_|CERT_|UNABLE_TO_|DEPTH_ZERO_SELF|SELF_SIGNED_|INVALID_CA|HOSTNAME_MISMATCH)/.test(code)
}

/**
 * The code of an error that supabase-js reports. An answer that comes from a proxy, because PostgREST is down or was not
 * reached, has no code: a 5xx counts as a failed connection, any other status as `HTTP <status>`.
 * @param status 0 if there was no answer at all.
 */
export function codeOfAnswer (code: string, status: number): string {
  if (status === 0) return ''
  return code || (status >= 500 ? '' : `HTTP ${status}`)
}
