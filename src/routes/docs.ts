import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { type TSchema, Type } from '@sinclair/typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { errorAnswers } from '#shared/schemas.ts'
import { version } from '../config/version.js'
import { describeSocket } from '../http/reference/asyncapi.js'
import { keepBody, type KeptBody, sendKept } from '../http/reference/kept-body.js'
import { PAGE, PAGE_POLICY, PAGE_SCRIPT, readLibrary, readStyle } from '../http/reference/page.js'

const [HTML, SCRIPT, STYLE, JSON_TYPE] = ['text/html', 'text/javascript', 'text/css', 'application/json'] as const
const text = Type.String()

/** The reference: for programs, and as a page for people. */
const docs: FastifyPluginAsyncTypebox = async app => {
  const page = keepBody(HTML, PAGE)
  const script = keepBody(SCRIPT, PAGE_SCRIPT)
  const library = once(async () => keepBody(SCRIPT, await readLibrary()))
  const style = once(async () => keepBody(STYLE, await readStyle()))
  const socket = once(() => keepBody(JSON_TYPE, JSON.stringify(describeSocket(version))))
  const routes = once(() => keepBody(JSON_TYPE, JSON.stringify(app.swagger())))
  // Before the service listens: it takes some 50 ms of a core, for which one request may not hold up all others.
  app.addHook('onReady', async () => { routes() })

  app.get('/docs', kept(HTML, text, () => page, { 'content-security-policy': PAGE_POLICY }))
  app.get('/docs/page.js', kept(SCRIPT, text, () => script))
  app.get('/docs/swagger-ui.js', kept(SCRIPT, text, library))
  app.get('/docs/swagger-ui.css', kept(STYLE, text, style))
  app.get('/docs/json', kept(JSON_TYPE, Type.Object({}), routes))
  app.get('/docs/asyncapi.json', kept(JSON_TYPE, Type.Object({}), socket))
}

/** A route whose answer is the same for everybody. */
function kept (type: string, schema: TSchema, body: () => KeptBody | Promise<KeptBody>, headers?: Record<string, string>) {
  return {
    config: { quiet: true },
    schema: { response: { 200: { content: { [type]: { schema } } }, 304: Type.Null(), ...errorAnswers } },
    handler: async (request: FastifyRequest, reply: FastifyReply) => sendKept(request, reply, await body(), headers)
  }
}

function once<T> (make: () => T): () => T {
  let made: T | undefined
  return () => {
    made ??= make()
    return made
  }
}

export default docs
