import { randomBytes } from 'node:crypto'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Config } from '../config/config.js'
import { createPrivateFolder } from '../lib/private-files.js'
import { createWhole } from '../lib/files.js'

/**
 * Reads the secret that signs access tokens by HS256: the configured one; in embedded mode without one, a secret that is
 * generated at first use and kept in the data directory; otherwise undefined.
 */
export async function readJwtSecret (config: Pick<Config, 'jwtSecret' | 'database'>): Promise<string | undefined> {
  if (config.jwtSecret || config.database.kind !== 'embedded') return config.jwtSecret
  const { dataDir } = config.database
  const path = join(dataDir, 'jwt-secret')
  await createPrivateFolder(dataDir)
  for (;;) {
    // If two processes start together, both use the secret of the first.
    await createWhole(path, randomBytes(32).toString('hex'))
    const secret = await readFile(path, 'utf8')
    if (secret) return secret
    await rm(path)
  }
}

/** Signs an access token for a user as Supabase's auth server would. */
export async function signAccessToken (secret: string, userId: string, lifetime = '12h'): Promise<string> {
  const { SignJWT } = await import('jose')
  return new SignJWT({ role: 'authenticated' })
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .setSubject(userId)
    .setAudience('authenticated')
    .setIssuedAt()
    .setExpirationTime(lifetime)
    .sign(new TextEncoder().encode(secret))
}
