/** The Redis server cannot be used until an operator changes something. The message is one line without the password. */
export class UnfitRedisError extends Error {}

/** The oldest version with XTRIM MINID, and with what BullMQ requires. */
const OLDEST_VERSION = [6, 2]

/** Returns why a server cannot be used, judged by its `INFO`, as a sentence for an operator; undefined if it can. */
export function judgeServer (info: string): string | undefined {
  const facts = Object.fromEntries(info.split(/\r?\n/).map(line => line.split(':') as [string, string]))
  const { redis_version: version = '0', redis_mode: mode, role, maxmemory_policy: policy } = facts
  if (isOlder(version)) return `the server is Redis ${version}; ${OLDEST_VERSION.join('.')} or newer is needed`
  if (mode === 'cluster') return 'the server is a Redis Cluster; a single server, or its primary, is needed'
  if (mode === 'sentinel') return 'the server is a Sentinel; the address of the primary it watches is needed'
  if (role === 'slave') return 'the server is a read-only replica; the address of its primary is needed'
  if (policy && policy !== 'noeviction') {
    return `the server's maxmemory-policy is ${policy}, which deletes queued jobs; set it to noeviction`
  }
}

function isOlder (version: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [oldestMajor, oldestMinor] = OLDEST_VERSION as [number, number]
  return major < oldestMajor || (major === oldestMajor && minor < oldestMinor)
}

/** Returns why a server refuses access if only an operator can change that; undefined for errors that may pass. */
export function explainRefusal ({ message = '', code = '' }: Error & { code?: string }): string | undefined {
  const reason = message.replace(/^Ready check failed: /, '')
  if (/^NOAUTH/.test(reason)) return 'the server needs a password: redis://:<password>@<host>:<port>'
  if (/^WRONGPASS|invalid (username-)?password/.test(reason)) return 'the server does not accept this user and password'
  if (/^NOPERM/.test(reason)) return `the server does not grant this user the required commands, keys and channels (${reason})`
  if (/DB index/.test(reason)) return 'the server has no database with this number'
  if (/^Unknown RESP type/.test(reason)) return 'the server is not a Redis server'
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || /wrong version number|packet length too long/.test(reason)) {
    return 'the server does not speak TLS: begin the URL with redis://'
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return `the server's certificate is for another host (${reason})`
  if (/^(CERT_|UNABLE_TO_|DEPTH_ZERO_SELF|SELF_SIGNED_|INVALID_CA|ERR_TLS_)/.test(code)) {
    return `the server's certificate was not accepted (${reason}): set REDIS_CA to its authority`
  }
}
