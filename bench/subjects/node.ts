import { fileURLToPath } from 'node:url'
import type { Lab } from '../lab.js'
import { findFreePort } from '../process.js'
import { install } from './install.js'
import { completion, post, startServer, type Server, type Subject } from './subject.js'

interface ScriptOptions {
  env?: Record<string, string>
  /** Access tokens, used in turn. */
  tokens?: string[]
}

/** Starts a subject that is a file in `servers/`. */
export async function startScript (
  lab: Lab, name: string, upstream: string, body: (prompt: string) => object, { env, tokens }: ScriptOptions = {}
): Promise<Server> {
  const port = await findFreePort()
  const script = fileURLToPath(new URL(`servers/${name}.js`, import.meta.url))
  const server = await startServer(lab, name, lab.node.path, [script], {
    port, env: { NODE_ENV: 'production', PORT: String(port), UPSTREAM: upstream, ...env }
  })
  const heads: Array<Record<string, string>> = tokens?.map(token => ({ authorization: `Bearer ${token}` })) ?? [{}]
  return { ...server, requests: prompt => ({ requests: heads.map(head => post('/', head, body(prompt))) }) }
}

export const pipe: Subject = {
  name: 'pipe',
  title: 'node:http and undici, untouched: the floor that Node sets',
  format: 'openai',
  start: (lab, upstream) => startScript(lab, 'pipe', upstream, completion)
}

export const reencode: Subject = {
  name: 'reencode',
  title: 'node:http and undici, each frame parsed and encoded anew',
  // It has no final event with the whole text.
  format: 'openai',
  start: (lab, upstream) => startScript(lab, 'reencode', upstream, completion)
}

export const aisdk: Subject = {
  name: 'aisdk',
  title: "the AI SDK's streamText in Fastify",
  format: 'ui',
  prepare: install,
  start: (lab, upstream) => startScript(lab, 'aisdk', upstream, prompt => ({ prompt }))
}
