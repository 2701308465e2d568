import { readdir, readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { keepBody, type KeptBody, sendKept } from '../reference/kept-body.js'

/** What the build makes of `src/console`. */
const FILE = /^console(-[\w-]+)?\.(js|css)$/

/** A file as it is, and compressed. */
export interface KeptFile { readonly plain: KeptBody, readonly zipped: KeptBody }

/** Reads the console's files, by their names; none where there is no build. */
export async function readConsole (directory: URL): Promise<ReadonlyMap<string, KeptFile>> {
  const names = (await readdir(directory).catch(() => [])).filter(name => FILE.test(name))
  return new Map(await Promise.all(names.map(async name =>
    [name, await keepFile(name.endsWith('.css') ? 'text/css' : 'text/javascript', await readFile(new URL(name, directory)))] as const)))
}

export async function keepFile (type: string, content: string | Buffer): Promise<KeptFile> {
  return { plain: keepBody(type, content), zipped: keepBody(type, await promisify(gzip)(content)) }
}

/** Answers with a file: compressed, if the browser takes that. It is asked for each time, so that a page's parts are of one build. */
export function sendFile (request: FastifyRequest, reply: FastifyReply, { plain, zipped }: KeptFile, headers: Record<string, string> = {}): FastifyReply {
  const isZipped = /\bgzip\b/.test(String(request.headers['accept-encoding'] ?? ''))
  return sendKept(request, reply, isZipped ? zipped : plain, {
    'cache-control': 'no-cache', vary: 'accept-encoding', ...(isZipped && { 'content-encoding': 'gzip' }), ...headers
  })
}
