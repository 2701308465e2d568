import type { NumberedEvent, RunOptions } from './client-types.js'
import { type Events, type Position, type Reconnect, watch } from './connection.js'
import { connectionFailed, JeesiError } from './errors.js'

const PING_MS = 15_000
/** `readyState` of a connection that takes messages. */
const OPEN = 1
/** The service refuses a token by this close code. */
const REFUSED = 1008
/** The statuses by which HTTP would refuse, where it matters: another token is asked for, or the same once more. */
const STATUSES: Record<string, number> = { unauthorized: 401, database_unavailable: 503, keys_unavailable: 503, internal_error: 500 }
/** The types of messages whose events are called otherwise. */
const EVENT_TYPES: Record<string, string> = { agent_execution_started: 'started', agent_execution_complete: 'done', agent_execution_error: 'error' }

/** Follows a run over a WebSocket of its own: begins it, or goes on with it. */
export async function * connectSocket (options: RunOptions, position: Position, token: () => Promise<string>, over: AbortSignal): Events {
  const given = await token()
  if (over.aborted) throw connectionFailed()
  const socket = open(options, given)
  const send = (message: object) => { if (socket.readyState === OPEN) socket.send(JSON.stringify(message)) }
  let watchdog: ReturnType<typeof watch> | undefined
  let end = () => {}
  // A failure is the last of the messages, so that what came before it is read.
  const inbox = new ReadableStream<any>({
    start (messages) {
      const fail = (failure = connectionFailed()) => messages.enqueue(failure)
      watchdog = watch(position, fail)
      end = () => fail()
      over.addEventListener('abort', end)
      socket.onmessage = ({ data }) => {
        watchdog!.heard()
        messages.enqueue(JSON.parse(String(data)))
      }
      socket.onclose = ({ code, reason }) => fail(code === REFUSED ? new JeesiError(reason, 'unauthorized', 401) : undefined)
      socket.onerror = () => fail()
    }
  }).getReader()
  const pings = setInterval(() => send({ type: 'ping' }), PING_MS)
  try {
    for (let greetings = 0; ;) {
      const { value: message } = await inbox.read()
      if (message instanceof JeesiError) throw message
      if (message.type === 'connected' && greetings++ === 0) send(firstMessage(options, position))
      if (message.type === 'auth_required') send({ type: 'auth', token: await token() })
      const event = readMessage(message)
      if (!event) continue
      position.runId ??= message.runId
      yield event
    }
  } finally {
    clearInterval(pings)
    over.removeEventListener('abort', end)
    watchdog?.stop()
    socket.onmessage = socket.onclose = null
    // One that is closed before it was open has failed, for some implementations; an error that nobody hears ends a process.
    socket.onerror = () => {}
    socket.close()
  }
}

function open ({ url, WebSocket: Connection = WebSocket }: RunOptions, token: string): WebSocket {
  return new Connection(`${url.replace(/^http/, 'ws')}/ws`, ['jeesi', `bearer.${token}`]) as WebSocket
}

function firstMessage (options: RunOptions, { runId, after, idempotencyKey }: Position): object {
  if (runId !== undefined || !('agentId' in options)) return { type: 'resume', runId, after, events: '*' }
  const { agentId, messages } = options
  return { type: 'agent_execute', agentId, messages, idempotencyKey, events: '*' }
}

/** @throws {JeesiError} if it refuses the request; a run that has failed has a number. */
function readMessage ({ type, ...message }: any): NumberedEvent | Reconnect | undefined {
  const { seq, error, code, retryAfter } = message
  if ((type === 'error' || type === 'agent_execution_error') && seq === undefined) throw new JeesiError(error, code, STATUSES[code] ?? 0, retryAfter)
  if (type === 'agent_reconnect') return { type: 'reconnect' }
  return seq === undefined ? undefined : { ...message, type: EVENT_TYPES[type] ?? type.replace(/^agent_/, '') }
}
