import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { isBroken } from './broken.js'
import type { FaceClient, Question } from './faces.js'

/** The newer one needs a newer Node. */
const NAME = Number(process.versions.node.split('.')[0]) >= 22 ? 'openai-7' : 'openai-6'
const OPTIONS = { maxRetries: 5, timeout: 30_000 }

/** Asks by OpenAI's package. @param ask is given the package's client, for one question. */
export async function loadOpenAI (directory: string, ask: (client: any, question: Question) => Promise<string>): Promise<FaceClient> {
  const path = join(directory, 'node_modules', NAME)
  const { default: OpenAI } = await import(pathToFileURL(createRequire(`${path}/`).resolve(path)).href)
  return {
    ask: question => ask(new OpenAI({ baseURL: `${question.url}/v1`, apiKey: question.token, ...OPTIONS }), question),
    isTyped: error => error instanceof OpenAI.APIError || isBroken(error)
  }
}
