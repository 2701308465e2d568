import { UUID } from '../uuid.ts'

/** Whose runs a caller reaches: all of a user's, or those that one API key has begun, and one visitor of it. */
export interface RunAccess {
  readonly userId: string
  /** Null: all runs of the user. */
  readonly apiKeyId: string | null
  /** Null: the key does not tell visitors apart. */
  readonly visitor: string | null
}

/** On whose behalf a request is made, and the runs that the caller may cancel. */
export interface Caller extends RunAccess {
  /** `visitor`: by a publishable key. */
  readonly kind: 'user' | 'api_key' | 'visitor'
  /** When the token ends, in milliseconds since 1970; an API key has no end. */
  readonly expiresAt: number
  /** Whether the caller may list and read all of the user's runs, and read the balance. */
  readonly mayRead: boolean
  /** The session of an access token that names one. */
  readonly sessionId?: string
}

/** A user with a session, by the claims of a token that has been verified; undefined where they name none. */
export function userOfClaims ({ sub, role, session_id: session }: { sub?: unknown, role?: unknown, session_id?: unknown }, expiresAt: number): Caller | undefined {
  if (typeof sub !== 'string' || !UUID.test(sub) || role !== 'authenticated') return undefined
  const sessionId = typeof session === 'string' && UUID.test(session) ? session : undefined
  return { kind: 'user', userId: sub.toLowerCase(), apiKeyId: null, visitor: null, expiresAt, mayRead: true, sessionId }
}

/** The runs that a caller may read. */
export function readAccessOf (caller: Caller): RunAccess {
  return caller.mayRead ? { userId: caller.userId, apiKeyId: null, visitor: null } : caller
}

/** The arguments by which SQL functions find a run. */
export function accessArguments ({ userId, apiKeyId, visitor }: RunAccess) {
  return { p_user_id: userId, p_api_key_id: apiKeyId, p_visitor: visitor }
}
