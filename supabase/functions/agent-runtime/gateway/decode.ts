import { errors } from '../../_shared/errors.ts'

type Body = ReadableStream<Uint8Array<ArrayBuffer>>

/** The low bits of the first byte of zlib's format; some servers send `deflate` without it. */
const ZLIB_METHOD = 8

/**
 * The body of an answer without its content coding. Deno leaves it where `identity` was asked for, and some gateways send it
 * all the same.
 * @throws {ServiceError} gateway_unavailable, if it is none of gzip, deflate and br.
 */
export async function decodedBody (response: Response): Promise<Body> {
  const body = response.body as Body ?? new Blob().stream()
  const coding = response.headers.get('content-encoding')?.trim().toLowerCase() ?? ''
  switch (coding) {
    case '':
    case 'identity': return body
    case 'gzip':
    case 'x-gzip': return body.pipeThrough(new DecompressionStream('gzip'))
    case 'deflate': return inflate(body)
    case 'br': return body.pipeThrough(await brotli())
    default: throw errors.gatewayUnavailable().with({ reason: `the AI gateway answered with a content coding that is not read: ${coding.slice(0, 40)}` })
  }
}

async function inflate (body: Body): Promise<Body> {
  const [first, whole] = body.tee()
  const reader = first.getReader()
  const { value } = await reader.read()
  reader.cancel().catch(() => {})
  return whole.pipeThrough(new DecompressionStream((value?.[0] ?? ZLIB_METHOD) % 16 === ZLIB_METHOD ? 'deflate' : 'deflate-raw'))
}

/** Built into Deno; by a variable, because their types are a package of their own. */
const [ZLIB, STREAM]: string[] = ['node:zlib', 'node:stream']

/** The platform's own streams do not know it; the modules are loaded by who needs them. */
async function brotli (): Promise<ReadableWritablePair<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>> {
  const [{ createBrotliDecompress }, { Duplex }] = await Promise.all([import(ZLIB), import(STREAM)])
  return Duplex.toWeb(createBrotliDecompress())
}
