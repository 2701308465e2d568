import type { Client } from '@modelcontextprotocol/client'
import { createMcpFetch } from './fetch.js'
import { isTimeout, mayBeNewer, mayBeOlder } from './failures.js'
import { LimitedTransport } from './limited-transport.js'
import { OlderServers } from './older-servers.js'
import type { McpServer } from './server.js'

/** The part of the time to list tools that a server has to say which versions it knows: after it the handshake must fit. */
const PROBE_SHARE = 0.4

const CLIENT = { name: 'jeesi-railway-backend', version: '1.0' }
const olderServers = new OlderServers()

/** Of one session where the protocol has sessions, or of none. */
export interface Connection { client: Client, transport: LimitedTransport }

/**
 * Connects to a server in the newest version that both know. One that answers the question for versions by an error or not
 * at all is asked for the older handshake; so it is at once for an hour, if that has succeeded.
 * @throws what the SDK throws; the signal's reason once it is aborted.
 */
export async function openConnection (server: McpServer, signal: AbortSignal): Promise<Connection> {
  const { url } = server
  const connection = olderServers.has(url)
    ? await open(server, 'older', signal).catch(error => {
      olderServers.delete(url)
      if (signal.aborted || !mayBeNewer(error)) throw error
      return openUnknown(server, signal)
    })
    : await openUnknown(server, signal)
  if (connection.client.getProtocolEra() === 'legacy') olderServers.add(url)
  return connection
}

/** A newer server may have been silent since it had just been woken: it is asked again if it refuses the older handshake. */
async function openUnknown (server: McpServer, signal: AbortSignal): Promise<Connection> {
  const timeout = server.listTimeout * PROBE_SHARE
  try {
    return await open(server, { timeout }, signal)
  } catch (error) {
    if (signal.aborted || !mayBeOlder(error)) throw error
    return await open(server, 'older', signal).catch(refusal => {
      if (signal.aborted || !isTimeout(error) || !mayBeNewer(refusal)) throw refusal
      return open(server, { timeout: server.listTimeout }, signal)
    })
  }
}

/** Ends a session at the server, which may ignore it. Never rejects. */
export async function closeConnection ({ client, transport }: Connection): Promise<void> {
  await transport.terminateSession().catch(() => {})
  await client.close().catch(() => {})
  // The client does not know it before it is connected.
  await transport.close().catch(() => {})
}

/** Loaded on demand: it takes as long as the rest of the service, and most agents have no MCP server. No server's time is spent on it. */
export function loadClient (): Promise<typeof import('@modelcontextprotocol/client')> {
  return import('@modelcontextprotocol/client')
}

/** @param probe how many milliseconds the question for versions may take; `older`: it is not asked. */
async function open (server: McpServer, probe: 'older' | { timeout: number }, signal: AbortSignal): Promise<Connection> {
  const { Client, StreamableHTTPClientTransport } = await loadClient()
  const { listTimeout: timeout, url } = server
  const client = new Client(CLIENT, {
    capabilities: {},
    versionNegotiation: probe === 'older' ? { mode: 'legacy' } : { mode: 'auto', probe: { timeoutMs: probe.timeout } },
    inputRequired: { autoFulfill: false }
  })
  const fetch = createMcpFetch(server, response => transport.receive(response))
  const transport = new LimitedTransport(new StreamableHTTPClientTransport(url, { fetch }))
  try {
    // The SDK has no limit for the notification that follows the server's first answer.
    await beforeAbort(client.connect(transport, { signal, timeout }), signal)
    return { client, transport }
  } catch (error) {
    closeConnection({ client, transport })
    throw error
  }
}

/** Rejects with the signal's reason once it is aborted. */
export function beforeAbort<T> (promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason)
    signal.addEventListener('abort', abort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
    if (signal.aborted) abort()
  })
}
