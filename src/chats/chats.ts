import type { Logger } from 'pino'
import { repeatLost } from '#shared/database/repeat.ts'
import { accessArguments, type RunAccess } from '#shared/http/caller.ts'
import type { Run } from '#shared/schemas.ts'
import { toUiProtocol, type UiProtocol } from '../contract/ui-messages.js'
import type { Database } from '../database/port.js'

/** A run that answers a chat, or was found by its own id. */
export interface ChatRun {
  run: Run
  /** In which form the page is told it. */
  protocol: UiProtocol
  /** Whether a page was told its end; null of a run that answers no chat. */
  told: boolean | null
  /** What the page calls the run; null where it has no name for it. */
  pageRun: string | null
}

/** What is kept of a page beside which chat a run answers. */
export interface OfPage {
  /** What it calls the run. */
  pageRun?: string
  /** What it has sent: JSON values, whose texts are storable. They are kept until the next run of the chat. */
  messages?: unknown
}

export interface ChatsOptions {
  database: Pick<Database, 'call'>
  runs: { cancel (access: RunAccess, runId: string): Promise<Run> }
  isDraining (): boolean
  log: Pick<Logger, 'warn'>
}

const REPLACES: ReadonlySet<UiProtocol> = new Set(['6', '7'])
/** How many unfinished runs of one chat are stopped at once. */
const MAX_STOPS = 20
/** Of so many runs it is known here that their end was told, until the database knows it. */
const MAX_KNOWN = 1_000

/** Which runs answer which chats of pages, by the page's own names for these. */
export class Chats {
  readonly #told = new Set<string>()

  constructor (private readonly options: ChatsOptions) {}

  /** Throws `run_not_found`, `database_unavailable`. */
  async note ({ userId }: RunAccess, runId: string, chatId: string, protocol: string, { pageRun, messages }: OfPage = {}): Promise<void> {
    const { database, isDraining } = this.options
    const chat = { p_user_id: userId, p_run_id: runId, p_chat_id: chatId, p_protocol: protocol, p_page_run: pageRun ?? null, p_messages: messages ?? null }
    await repeatLost(() => database.call('note_chat', chat), isDraining)
  }

  /** A page was told the end of a run. */
  noteTold (runId: string): void {
    if (this.#told.size >= MAX_KNOWN) this.#told.delete(this.#told.keys().next().value!)
    this.#told.add(runId)
    const { database, log } = this.options
    // A page that is told it once more has lost nothing.
    database.call('note_chat_told', { p_run_id: runId }).catch(err => log.warn({ runId, err }, 'it is not kept that a page was told the end of its run'))
  }

  /** The latest run of a chat, or the run of this id. @param unfinished only one that has not ended. */
  async find (access: RunAccess, id: string, unfinished = false): Promise<ChatRun | undefined> {
    const found = await this.options.database.call('find_chat_run', { ...accessArguments(access), p_chat_id: id, p_unfinished: unfinished })
    return found ? { ...found, protocol: toUiProtocol(found.protocol) } : undefined
  }

  /**
   * What a page has sent with a run of its chat; undefined if it is not kept.
   * @param takeMemory is asked for memory before more is read than `maxBytes`.
   */
  async messagesOf (access: RunAccess, runId: string, maxBytes: number, takeMemory: (bytes: number) => Promise<unknown>): Promise<unknown[] | undefined> {
    const read = (most: number) => this.options.database.call('get_chat_messages', { ...accessArguments(access), p_run_id: runId, p_max_bytes: most })
    const kept = await read(maxBytes)
    if (!kept) return undefined
    if (kept.messages) return kept.messages
    await takeMemory(kept.bytes)
    return (await read(kept.bytes))?.messages ?? undefined
  }

  /**
   * Whether a page that asks for what goes on is to be told a run: one that is under way, or has ended without a page being told so.
   * A page whose connection broke has half of the answer, and would take that for all of it. The newest clients put a run that they
   * are told once more in the place of what they have: these are always told it.
   */
  isOpen ({ run, protocol, told }: ChatRun): boolean {
    if (!run.finishedAt || (told !== null && REPLACES.has(protocol))) return true
    return told === false && run.status !== 'cancelled' && !this.#told.has(run.runId)
  }

  /** Cancels the unfinished runs of a chat. Returns the latest; undefined if there is none. */
  async stop (access: RunAccess, id: string): Promise<Run | undefined> {
    let latest: Run | undefined
    for (let stops = 0; stops < MAX_STOPS; stops++) {
      const found = await this.find(access, id, true)
      if (!found) break
      const stopped = await this.options.runs.cancel(access, found.run.runId)
      latest ??= stopped
      if (!stopped.finishedAt) break
    }
    return latest
  }
}
