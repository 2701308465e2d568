import { runCommand } from '../lib/command.js'

await runCommand({
  name: 'npm run dev',
  does: 'serves the sources, and starts again when one of them changes.',
  options: {}
}, async () => {
  process.argv.splice(2, Infinity, 'watch', 'src/process/server.ts')
  // Loaded and not started, so that a signal meets tsx as if it had been started at once.
  await import(import.meta.resolve('tsx/cli'))
})
