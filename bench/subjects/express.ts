import { AGENT, SECRET } from '../database.js'
import { install } from './install.js'
import { startScript } from './node.js'
import { startOnDatabase } from './ours.js'
import type { Subject } from './subject.js'

/** Disables our triggers of the ledger, which such a service would not have. */
const OUR_TRIGGERS = `alter table credit_usage disable trigger match_entry;
  alter table credit_balances disable trigger note_change`

export const express: Subject = {
  name: 'express',
  title: 'a service of this kind in Express, written plainly: authentication, credits in Postgres, no log and no resume',
  format: 'events',
  prepare: install,
  start: (lab, upstream) => startOnDatabase(lab, async database => {
    await database.run(OUR_TRIGGERS)
    const env = { DATABASE_URL: database.url, JWT_SECRET: SECRET, AGENT }
    return startScript(lab, 'express', upstream, prompt => ({ prompt }), { env, tokens: lab.databases.tokens })
  })
}
