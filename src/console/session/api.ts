import { connectionFailed, errorOf } from '../../client/errors.js'
import type { JeesiError } from '../../client/client.js'

/** Where the service is: the console's own page lies at its root, or beside it in `/console`. */
export const SERVICE = new URL('.', location.href.replace(/[?#].*$/, '')).href.replace(/\/$/, '')

/** Who opens connections: gives a token, and tries to get another one when it was refused. */
export interface TokenSource {
  token (): Promise<string>
  /** @returns whether there is another token. */
  renew (): Promise<boolean>
  /** The session is over, and its user has to sign in again. */
  expire (): void
}

/** Calls the service's API as a user. */
export class Api {
  constructor (private readonly source: TokenSource) {}

  get<T> (path: string, query: Record<string, string | number | undefined> = {}): Promise<T> {
    const entries = Object.entries(query).filter(([, value]) => value !== undefined && value !== '').map(([name, value]) => [name, String(value)])
    return this.#call('GET', `${path}${entries.length > 0 ? `?${new URLSearchParams(entries)}` : ''}`)
  }

  post<T> (path: string, body?: unknown, headers?: Record<string, string>): Promise<T> { return this.#call('POST', path, body, headers) }
  delete<T> (path: string): Promise<T> { return this.#call('DELETE', path) }

  /** @throws {JeesiError} */
  async #call<T> (method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<T> {
    const send = async () => ask(method, path, body, await this.source.token(), headers)
    const answer = await send().catch(async (error: JeesiError) => {
      if (error.status !== 401) throw error
      if (await this.source.renew()) return send()
      throw error
    }).catch((error: JeesiError) => {
      if (error.status === 401) this.source.expire()
      throw error
    })
    return answer.json() as Promise<T>
  }
}

/** Asks the service. @param token of nobody, if undefined. @throws {JeesiError} what it refuses. */
export async function ask (method: string, path: string, body?: unknown, token?: string, headers: Record<string, string> = {}): Promise<Response> {
  const response = await fetch(SERVICE + path, {
    method,
    headers: { ...headers, ...(token !== undefined && { authorization: `Bearer ${token}` }), ...(body !== undefined && { 'content-type': 'application/json' }) },
    body: body === undefined ? undefined : JSON.stringify(body)
  }).catch(error => { throw connectionFailed(error) })
  if (!response.ok) throw await errorOf(response)
  return response
}
