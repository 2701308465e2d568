import t, { type Test } from 'tap'
import { delta, ending, frame, hang, inTurn, openStream, refuse, type Reply, say } from '../support/doubles/gateway.js'
import { DEMO_AGENT, DEMO_KEY, endOf, type Service, startService } from '../support/helper.js'
import { type AiSdk, type Chat, type ChatOptions, loadAiSdks, openChat } from './ai-sdk-client.js'

const headers = { authorization: `Bearer ${DEMO_KEY}` }
const breakOff = (...pieces: string[]): Reply => (response, call, number) => {
  hang(...pieces)(response, call, number)
  setTimeout(() => response.destroy(), 50)
}

t.test('a page of the AI SDK', async t => {
  const loaded = await loadAiSdks(t)
  if (!loaded) return
  const service = await startService(t, { RATE_LIMIT_MAX: '100000', MAX_CONNECTIONS_PER_USER: '1000' })
  for (const sdk of loaded.sdks) {
    const own = Number(sdk.version[0])
    for (const ui of sdk.name === 'ai-7-oldest' ? [undefined] : [undefined, own]) {
      await t.test(`of version ${sdk.version}, ${ui === undefined ? 'which says nothing of its version' : `which says that it is ${ui}`}`, async t => testPage(t, service, sdk, ui))
    }
  }
})

async function testPage (t: Test, service: Service, sdk: AiSdk, ui: number | undefined): Promise<void> {
  const { gateway } = service
  const open = (options: Partial<ChatOptions> = {}): Chat => openChat(sdk, {
    transport: new sdk.DefaultChatTransport({ api: `${service.url}/api/chat`, headers, body: { agentId: DEMO_AGENT, ui } }), ...options
  })

  await t.test('shows an answer', async t => {
    gateway.reply = say('Hello', ' world')
    const chat = open()
    await chat.send('Hi')
    t.equal(chat.error, undefined)
    t.match([chat.status, chat.text], ['ready', 'Hello world'])
    console.log(JSON.stringify(chat.messages))
  })
}
