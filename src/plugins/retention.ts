import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { poll } from '../lib/poll.js'

const ERASE_MS = 60 * 60_000
const ERASE_LIMIT = 500

/** What was said in runs goes after RUN_RETENTION_DAYS. */
async function retention (app: FastifyInstance): Promise<void> {
  const stop = poll(app, ERASE_MS, erase)
  app.addHook('preClose', async () => { stop() })

  async function erase (): Promise<void> {
    let erased
    do {
      ({ erased } = await app.database.call<{ erased: number }>('erase_old_runs', {
        p_days: app.config.runRetentionDays, p_limit: ERASE_LIMIT
      }))
    } while (erased === ERASE_LIMIT && !app.isDraining())
  }
}

export default fp(retention, { name: 'retention', dependencies: ['database', 'executor'] })
