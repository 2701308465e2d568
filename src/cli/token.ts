import { UUID } from '#shared/uuid.ts'
import { readJwtSecret, signAccessToken } from '../auth/access-token.js'
import { loadDatabase } from '../config/config.js'
import { runCommand } from '../lib/command.js'

const DEMO_USER = '11111111-1111-4111-8111-111111111111'

await runCommand({
  name: 'npm run token',
  does: 'prints an access token to try things with, signed with the configured secret.',
  options: {
    user: { type: 'string', default: DEMO_USER, value: '<id>', does: 'whose token' }
  }
}, async values => {
  if (!UUID.test(values.user)) throw new Error('--user takes the id of a user, a uuid')
  const secret = await readJwtSecret(loadDatabase())
  if (!secret) throw new Error('SUPABASE_JWT_SECRET is not set: there is nothing to sign a token with')
  process.stdout.write(`${await signAccessToken(secret, values.user)}\n`)
})
