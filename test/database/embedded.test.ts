import { join } from 'node:path'
import { PGlite } from '@electric-sql/pglite'
import t from 'tap'
import { openEmbedded } from '../../src/database/embedded.js'
import { createDataDir } from '../support/helper.js'
import { TEST_FUNCTIONS, testDatabase } from './contract.js'

t.test('the database in this process', async t => {
  const dataDir = await createDataDir(t)
  const pglite = await PGlite.create(join(dataDir, 'postgres'))
  await pglite.exec(TEST_FUNCTIONS)
  await pglite.close()
  const database = await openEmbedded(dataDir)
  t.teardown(() => database.close())
  await testDatabase(t, database)
})
