import { randomBytes } from 'node:crypto'
import type { Caller } from '#shared/http/caller.ts'
import type { Ticket } from '../contract/api-keys.js'
import type { Database } from '../database/port.js'
import { sha256 } from './api-keys.js'

/** How long a ticket waits to be used. */
const SECONDS = 60
const PREFIX = 'tkt_'
/** Characters; longer texts are no tickets. */
const MAX_LENGTH = 100

/** What a ticket opens: a run's events, or without a run a WebSocket. */
export interface Opening {
  runId?: string
  /** Whether the reader says which event it has, as a browser does that reconnects. */
  isAgain?: boolean
}

/**
 * Tickets for clients that can send no header, as browsers' EventSource: they stand in an address in the place of a token, which
 * logs and histories would keep. One is used once, within a minute, by whichever process; the database knows only its hash.
 */
export class Tickets {
  constructor (private readonly database: Pick<Database, 'call'>) {}

  /** Makes a ticket of a caller. @param runId lets it open this run alone. @throws {ServiceError} too_many_tickets. */
  async create ({ expiresAt: _, ...caller }: Caller, runId?: string): Promise<Ticket> {
    const ticket = PREFIX + randomBytes(24).toString('base64url')
    const { expiresAt } = await this.database.call('create_ticket', { p_hash: hashOf(ticket), p_caller: caller, p_seconds: SECONDS, p_run_id: runId ?? null })
    return { ticket, expiresAt }
  }

  /** Finds who a ticket speaks for; undefined if it may not be used so. */
  async use (ticket: string, { runId, isAgain = false }: Opening): Promise<Caller | undefined> {
    const caller = ticket.startsWith(PREFIX) && ticket.length <= MAX_LENGTH
      ? await this.database.call('use_ticket', { p_hash: hashOf(ticket), p_run_id: runId ?? null, p_is_again: isAgain })
      : null
    return caller ? { ...caller, expiresAt: Infinity } : undefined
  }
}

function hashOf (ticket: string): string {
  return sha256(ticket).toString('hex')
}
