import { connectionFailed, errorOf } from '../client/errors.js'
import type { Store, Visitor } from './store.js'

/** A visitor's token is renewed this long before it expires. */
const EARLY_MS = 60_000

/**
 * What opens a connection: the key itself, or the token of a visitor of a publishable key, so that a visitor can read their
 * own runs after a reload.
 */
export function createToken (url: string, apiKey: string, store: Store): () => Promise<string> {
  if (!apiKey.startsWith('jpk_')) return async () => apiKey
  // What the browser remembers may be of a key that is gone.
  let isKnown = false
  return async () => {
    const { visitor } = store
    if (isKnown && visitor && Date.parse(visitor.expiresAt) > Date.now() + EARLY_MS) return visitor.token
    const renewed = (visitor && await askForVisitor(url, visitor.token).catch(error => { if (error.status !== 401) throw error })) ?? await askForVisitor(url, apiKey)
    store.visitor = renewed
    isKnown = true
    return renewed.token
  }
}

/** @throws {JeesiError} */
async function askForVisitor (url: string, token: string): Promise<Visitor> {
  const response = await fetch(`${url}/api/visitors`, { method: 'POST', headers: { authorization: `Bearer ${token}` } }).catch(error => { throw connectionFailed(error) })
  if (!response.ok) throw await errorOf(response)
  return response.json()
}
