import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { loadClientOf, textOf } from '../../faces/ag-ui-client.js'
import { PATIENCE_MS, PAUSE_MS } from './broken.js'
import type { FaceClient, Question } from './faces.js'

/** What the run ended with. */
class RunFailure extends Error {}

/** `HttpAgent`, of a program that sends the same run again whose connection broke. */
export async function loadAgUi (directory: string): Promise<FaceClient> {
  const { HttpAgent } = await loadClientOf(directory, '@ag-ui/client', await mkdtemp(join(tmpdir(), 'jeesi-chaos-')))
  // Beside the one that it returns, the package leaves a rejected promise to itself where a response breaks.
  process.on('unhandledRejection', () => {})

  async function run ({ name, url, token, agentId }: Question): Promise<string> {
    const agent = new HttpAgent({
      url: `${url}/ag-ui/${agentId}`,
      headers: { authorization: `Bearer ${token}` },
      threadId: name,
      initialMessages: [{ id: name, role: 'user', content: name }]
    })
    let failure: { message: string, code?: string } | undefined
    let hasFinished = false
    await agent.runAgent({ runId: name }, {
      onRunErrorEvent: ({ event }: any) => { failure = event },
      onRunFinishedEvent: () => { hasFinished = true }
    })
    if (failure && failure.code !== 'connection_ended') throw new RunFailure(failure.message)
    if (!hasFinished) throw new Error('the connection broke')
    return textOf(agent.messages)
  }

  return {
    async ask (question) {
      for (const until = Date.now() + PATIENCE_MS; ;) {
        try {
          return await run(question)
        } catch (error) {
          if (error instanceof RunFailure || Date.now() > until) throw error
          await delay(PAUSE_MS)
        }
      }
    },
    isTyped: error => error instanceof RunFailure
  }
}
