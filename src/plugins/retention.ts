import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { pollDatabase } from '../database/poll-database.js'
import { eraseOldRuns } from '../executor/run/retention.js'

const ROUND_MS = 60 * 60_000

/** Erases what was said in runs after RUN_RETENTION_DAYS. */
async function retention (app: FastifyInstance): Promise<void> {
  const { database, log, config, isDraining } = app
  const stop = pollDatabase(database, log, ROUND_MS, () => eraseOldRuns(database, config.runRetentionDays, isDraining))
  app.shutdown.on('retention', stop)
}

export default fp(retention, { name: 'retention', dependencies: ['database', 'shutdown'] })
