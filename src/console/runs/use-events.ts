import { useEffect, useReducer, useRef } from 'preact/hooks'
import { run as follow } from '../../client/client.js'
import { SERVICE } from '../session/api.js'
import type { Session } from '../session/session.js'
import { Answer } from '../talk/answer.js'
import { History } from './recorded.js'

/** Milliseconds between two looks at what arrives. */
const DRAW_MS = 60

export interface Followed { answer: Answer, history: History, error: unknown, isLive: boolean }

/** Follows a run while the page is open. @param isAdmin whether by an admin's right, whosever the run is. */
export function useEvents (session: Session, runId: string, isAdmin = false): Followed {
  const state = useRef<Followed>({ answer: new Answer(), history: new History(), error: undefined, isLive: true })
  const [, draw] = useReducer<number, void>(count => count + 1, 0)
  useEffect(() => {
    const followed: Followed = { answer: new Answer(), history: new History(), error: undefined, isLive: true }
    state.current = followed
    let isClosed = false
    let timer: ReturnType<typeof setTimeout> | undefined
    const drawSoon = () => { timer ??= setTimeout(() => { timer = undefined; draw() }, DRAW_MS) }
    const fetchIt = isAdmin ? ((input: string, init: RequestInit) => fetch(input.replace('/api/runs/', '/api/admin/runs/'), init)) as typeof fetch : undefined
    const events = follow({ url: SERVICE, token: () => session.source.token(), runId, ...(fetchIt && { fetch: fetchIt }) })[Symbol.asyncIterator]()
    const watch = async () => {
      for await (const event of events) {
        followed.answer.add(event)
        followed.history.add(event)
        drawSoon()
      }
    }
    watch().catch(error => { followed.error = error }).finally(() => {
      followed.isLive = false
      if (!isClosed) drawSoon()
    })
    return () => {
      isClosed = true
      clearTimeout(timer)
      // However quiet the run is: a page has few connections.
      events.return()
    }
  }, [session, runId, isAdmin])
  return state.current
}
