import { readFile } from 'node:fs/promises'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import { errors } from '#shared/errors.ts'
import { errorAnswers } from '#shared/schemas.ts'
import { ROOT } from '../config/root.js'

/** Seconds for which browsers may use it without asking: after a deploy pages have the new one soon. */
const MAX_AGE = 300

/** The widget that stands in pages of other origins, as one file. */
const widget: FastifyPluginAsyncTypebox = async app => {
  // The sources run without a build, and then there is none.
  const script = await readFile(new URL('dist/widget.js', ROOT), 'utf8').catch(() => undefined)

  app.get('/widget.js', {
    config: { quiet: true },
    schema: { response: { 200: { content: { 'text/javascript': { schema: Type.String() } } }, ...errorAnswers } }
  }, async (_request, reply) => {
    if (script === undefined) throw errors.notFound()
    return reply
      .headers({ 'cache-control': `public, max-age=${MAX_AGE}`, 'cross-origin-resource-policy': 'cross-origin', 'access-control-allow-origin': '*' })
      .type('text/javascript; charset=utf-8')
      .send(script)
  })
}

export default widget
