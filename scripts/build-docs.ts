import { writeFile } from 'node:fs/promises'
import { runCommand } from '../src/lib/command.js'
import { renderEnvExample, renderEnvironmentReference } from './docs/environment.js'
import { renderTexts } from './docs/reference.js'

/** The files that `npm run docs` makes, by their paths from the project's folder; a test compares them with what is committed. */
export const DOCUMENTS: Record<string, () => string> = {
  '.env.example': renderEnvExample,
  'docs/reference/environment.md': renderEnvironmentReference,
  'src/http/reference/texts.json': renderTexts
}

if (process.argv[1] === import.meta.filename) {
  await runCommand({ name: 'npm run docs', does: `makes ${Object.keys(DOCUMENTS).join(', ')}.`, options: {} }, async () => {
    for (const [path, render] of Object.entries(DOCUMENTS)) await writeFile(new URL(`../${path}`, import.meta.url), render())
  })
}
