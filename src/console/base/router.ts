import { useEffect, useState } from 'preact/hooks'

/** Where in the console a page is: the address behind `#`. */
export interface Route { readonly path: readonly string[], readonly query: URLSearchParams }

function readRoute (hash = location.hash): Route {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?')
  return { path: path.split('/').filter(Boolean).map(decode), query: new URLSearchParams(query) }
}

/** The address of a page. Blank values are left out. */
export function addressOf (path: string, query: Record<string, string | undefined> = {}): string {
  const entries = Object.entries(query).filter((entry): entry is [string, string] => Boolean(entry[1]))
  return `#/${path}${entries.length > 0 ? `?${new URLSearchParams(entries)}` : ''}`
}

export function go (address: string): void {
  location.hash = address
}

/** Goes elsewhere without a way back to where it was. */
export function replace (address: string): void {
  history.replaceState(null, '', address)
  dispatchEvent(new HashChangeEvent('hashchange'))
}

export function useRoute (): Route {
  const [route, setRoute] = useState(() => readRoute())
  useEffect(() => {
    const update = () => setRoute(readRoute())
    addEventListener('hashchange', update)
    return () => removeEventListener('hashchange', update)
  }, [])
  return route
}

function decode (text: string): string {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
