import { EVENTS_HEADER } from '../../_shared/reader/known-events.ts'
import { traceHeaders } from '../../_shared/traces/trace-context.ts'
import { findEnded, type RequestContext } from '../context.ts'
import type { Rest } from '../streams/sources.ts'

/** Headers that are passed to the backend: the caller's credentials, and the page that may use them. Never the shared secret. */
const PASSED_HEADERS = ['authorization', 'x-api-key', 'origin']

/** A request about a run that exists: read it, follow its events, or cancel it. */
export type RunAction = 'read' | 'events' | 'cancel'

const PATHS: Record<RunAction, string> = { read: '', events: '/events', cancel: '/cancel' }

/** Asks the backend about a run, on behalf of the caller; about its events for all of them. Undefined if it cannot be reached. */
export function askBackend (
  { request, authorization, trace }: RequestContext, backend: string, runId: string, action: RunAction, { after = 0, signal }: { after?: number, signal?: AbortSignal } = {}
): Promise<Response | undefined> {
  const headers = new Headers({ [EVENTS_HEADER]: '*', ...traceHeaders(trace?.context) })
  for (const name of PASSED_HEADERS) {
    const value = request.headers.get(name)
    if (value !== null) headers.set(name, value)
  }
  if (authorization !== undefined) headers.set('authorization', authorization)
  const query = action === 'events' ? `?after=${after}` : ''
  return fetch(`${backend}/api/runs/${runId}${PATHS[action]}${query}`, {
    method: action === 'cancel' ? 'POST' : 'GET',
    headers,
    redirect: 'manual',
    signal
  }).catch(() => undefined)
}

/**
 * Where the rest of a run comes from if a stream of it ends early: its backend, and the database once it has ended.
 * @param foreignId the id that the backend has given it, if it is another.
 */
export function restOf (context: RequestContext, backend: string | undefined, runId: string, foreignId = runId): Rest {
  return {
    findEnded: () => findEnded(context, runId),
    async ask (after, signal) {
      const response = backend === undefined ? undefined : await askBackend(context, backend, foreignId, 'events', { after, signal })
      if (response?.ok) return response
      await response?.body?.cancel()
    }
  }
}
