import { fileURLToPath } from 'node:url'
import { findFreePort } from '../process.js'
import { install } from './install.js'
import { completion, post, startServer, type Subject } from './subject.js'

const SCRIPT = fileURLToPath(new URL('node_modules/@portkey-ai/gateway/build/start-server.js', import.meta.url))

export const portkey: Subject = {
  name: 'portkey',
  title: "Portkey's gateway",
  format: 'openai',
  prepare: install,
  async start (lab, upstream) {
    const port = await findFreePort()
    const server = await startServer(lab, 'portkey', lab.node.path, [SCRIPT, `--port=${port}`, '--headless'], {
      port, health: '/', env: { NODE_ENV: 'production' }
    })
    const headers = { authorization: 'Bearer key', 'x-portkey-provider': 'openai', 'x-portkey-custom-host': `${upstream}/v1` }
    return { ...server, requests: prompt => ({ requests: [post('/v1/chat/completions', headers, completion(prompt))] }) }
  }
}
