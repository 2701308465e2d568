import { pipeline, type Readable } from 'node:stream'
import { createBrotliDecompress, createUnzip } from 'node:zlib'
import { Agent, type Dispatcher } from 'undici'
import { otherBases } from '#shared/gateway/base-url.ts'
import { MAX_REDIRECTS, redirectOf } from '#shared/http/redirect.ts'

/** In milliseconds. */
const CONNECT_TIMEOUT = 10_000
const IDLE_TIMEOUT = 4_000
/** Bytes of a list of models. */
const MAX_LIST = 16 * 1024 * 1024

/** How a gateway answered `GET /models`. */
export interface ModelsAnswer {
  status: number
  /** Undefined if the body is no list of models. */
  ids?: unknown[]
}

/** Asks a gateway for its models. */
export class ModelsClient {
  readonly #agent = new Agent({ connect: { timeout: CONNECT_TIMEOUT }, keepAliveMaxTimeout: IDLE_TIMEOUT })

  /** @param url the base URL. */
  constructor (private readonly url: string, private readonly headers: Record<string, string>) {}

  /** @throws whatever keeps it from answering; the signal's reason. */
  async ask (signal: AbortSignal, url = this.url): Promise<ModelsAnswer> {
    let target = new URL(`${url}/models`)
    for (let redirects = 0; ; redirects++) {
      const { origin, pathname, search } = target
      const { statusCode: status, headers, body } = await this.#agent.request({
        origin, path: pathname + search, method: 'GET', headers: { ...this.headers, accept: 'application/json', 'accept-encoding': 'identity' }, signal
      })
      const next = redirects < MAX_REDIRECTS ? redirectOf(target, status, String(headers.location ?? '')) : undefined
      if (!next) return { status, ids: status === 200 ? await readIds(decoded(body, headers['content-encoding'])) : await drop(body) }
      await drop(body)
      target = next
    }
  }

  /** The base URL at which the gateway lists its models, if that is another than the one it was given. */
  async findBase (signal: AbortSignal): Promise<string | undefined> {
    for (const url of otherBases(this.url)) {
      const answer = await this.ask(signal, url).catch(() => undefined)
      if (answer?.ids || answer?.status === 401) return url
    }
    return undefined
  }

  async close (): Promise<void> {
    await this.#agent.destroy()
  }
}

async function drop (body: Dispatcher.ResponseData['body']): Promise<undefined> {
  await body.dump()
}

/** Some gateways encode their lists although `identity` is asked for. */
function decoded (body: Readable, coding: unknown): Readable {
  if (coding === undefined || coding === 'identity') return body
  // An error of one of them ends the other, and is thrown to whoever reads it.
  return pipeline(body, coding === 'br' ? createBrotliDecompress() : createUnzip(), () => {})
}

async function readIds (body: Readable): Promise<unknown[] | undefined> {
  const pieces: Uint8Array[] = []
  let length = 0
  for await (const piece of body as AsyncIterable<Uint8Array>) {
    length += piece.length
    if (length > MAX_LIST) return undefined
    pieces.push(piece)
  }
  return idsOf(Buffer.concat(pieces).toString())
}

function idsOf (json: string): unknown[] | undefined {
  try {
    const list = JSON.parse(json)
    const models = Array.isArray(list) ? list : list?.data
    return Array.isArray(models) ? models.map(model => model?.id) : undefined
  } catch {
    return undefined
  }
}
