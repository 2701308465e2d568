import { runCommand } from '../../src/lib/command.js'
import { fetchPackage, PACKAGES } from './fetch.js'

await runCommand({
  name: 'npm run fetch',
  does: `fetches what only some tests and checks need (${PACKAGES.join(', ')}) before they do so themselves.`,
  options: {}
}, async () => {
  for (const name of PACKAGES) await fetchPackage(name)
})
