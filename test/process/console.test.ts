import { once } from 'node:events'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { findRedis, startRedis } from '../support/doubles/redis-server.js'
import { createDataDir } from '../support/helper.js'
import { launch } from '../support/process.js'

t.test('what is probably meant otherwise, and what libraries write, are lines of the log, each once', async t => {
  if (!await findRedis(t)) return
  const redis = await startRedis(t)
  const child = launch(t, 'server.js', [], {
    NODE_ENV: 'production',
    EMBEDDED: 'yes',
    PORT: '0',
    HOST: '127.0.0.1',
    DATA_DIR: await createDataDir(t),
    REDIS_URL: redis.url.replace('redis://', 'redis://:a-password-that-nobody-asks-for@'),
    RATE_LIMIT_WINDOW: '60',
    SUPABSE_URL: 'https://project.supabase.co'
  })
  const [stdout, stderr] = [child.stdout!, child.stderr!].map(stream => text(stream)) as [Promise<string>, Promise<string>]
  for (let said = ''; !said.includes('listening at');) said += (await once(child.stdout!, 'data')).join('')
  child.kill('SIGTERM')
  t.equal(await stderr, '', 'nothing is written past the log')
  const lines = (await stdout).trim().split('\n').map(line => JSON.parse(line))
  t.same(lines.filter(({ level }) => level === 'warn').map(({ message }) => message).toSorted(), [
    'This Redis server\'s `default` user does not require a password, but a password was supplied: remove the password from REDIS_URL, or set one at the server',
    'config: RATE_LIMIT_WINDOW is 60 milliseconds: if seconds are meant, write 60000',
    'config: SUPABSE_URL is no variable of this service: write SUPABASE_URL, if that is meant'
  ])
  t.notMatch(lines.map(({ message }) => message).join(), /a-password-that-nobody-asks-for/)
})
