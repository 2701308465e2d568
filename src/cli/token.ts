import { readJwtSecret, signAccessToken } from '../access-token.js'
import { loadConfig } from '../config.js'
import { runCommand } from './command.js'

const DEMO_USER = '11111111-1111-4111-8111-111111111111'
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

await runCommand({
  name: 'npm run token',
  does: 'prints an access token to try things with, signed with the configured secret.',
  options: {
    user: { type: 'string', default: DEMO_USER, value: '<id>', does: 'whose token' }
  }
}, async values => {
  if (!UUID.test(values.user)) throw new Error('--user takes the id of a user, a uuid')
  const secret = await readJwtSecret(loadConfig())
  if (!secret) throw new Error('SUPABASE_JWT_SECRET is not set: there is nothing to sign a token with')
  process.stdout.write(`${await signAccessToken(secret, values.user)}\n`)
})
