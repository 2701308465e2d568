import { runCommand } from '../lib/command.js'
import { serve } from './serve.js'

await runCommand({
  name: 'node dist/server.js',
  does: 'serves what npm run build has built (npm start); its variables are explained in .env.example.',
  options: {}
}, () => serve(import.meta.url, async () => (await import('../app.js')).buildApp))
