import { useCallback, useEffect, useRef, useState } from 'preact/hooks'
import { JeesiError } from '../../client/client.js'

/** What a page has loaded so far. What was loaded stays while it is loaded anew, and when that fails. */
export interface Loaded<T> { data: T | undefined, error: Error | undefined, reload (): Promise<void> }

/** After how many milliseconds a service that cannot be reached is asked again. */
const RETRY_MS = 2000

interface LoadOptions {
  /** Milliseconds after which it is loaded anew while the page is seen; 0: never. */
  every?: number
}

/** Loads something when a page opens, and anew when what it depends on changes. */
export function useLoad<T> (load: () => Promise<T>, dependencies: readonly unknown[], { every = 0 }: LoadOptions = {}): Loaded<T> {
  const [state, setState] = useState<{ data?: T, error?: Error }>({})
  const latest = useRef(0)
  const reload = useCallback(async () => {
    const mine = ++latest.current
    try {
      const data = await load()
      if (mine === latest.current) setState({ data })
    } catch (error) {
      if (mine === latest.current) setState(({ data }) => ({ data, error: error as Error }))
    }
  }, dependencies)
  useEffect(() => {
    setState({})
    reload()
    return () => { latest.current++ }
  }, [reload])
  useEffect(() => {
    // What could not be reached is asked again until it can.
    if (!isCutOff(state.error)) return
    const timer = setTimeout(reload, RETRY_MS)
    return () => clearTimeout(timer)
  }, [state, reload])
  useEffect(() => {
    if (every === 0) return
    const timer = setInterval(() => { if (!document.hidden) reload() }, every)
    return () => clearInterval(timer)
  }, [reload, every])
  return { data: state.data, error: state.error, reload }
}

function isCutOff (error: unknown): boolean {
  return error instanceof JeesiError && error.code === 'connection_failed'
}

/** An error in a sentence for people. */
export function sentenceOf (error: unknown): string {
  if (isCutOff(error)) return 'The service cannot be reached. This page tries again by itself.'
  return error instanceof Error && error.message ? error.message : 'Something went wrong.'
}
