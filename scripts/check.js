import { spawn } from 'node:child_process'
import { once } from 'node:events'

/** Two that take about as long, and need nothing of each other. */
const SCRIPTS = ['types', 'style']

const codes = await Promise.all(SCRIPTS.map(async name => {
  const [code] = await once(spawn(`npm run --silent ${name}`, { shell: true, stdio: 'inherit' }), 'exit')
  return code
}))
process.exitCode = codes.every(code => code === 0) ? 0 : 1
