import { connect, type Socket } from 'node:net'
import t from 'tap'
import { delta, ending, openStream } from '../../support/doubles/gateway.js'
import { bearer, DEMO_AGENT, endOf, openEvents, parseStream, readStream, startService, textOf } from '../../support/helper.js'

const READERS = 200
const PIECE = 'x'.repeat(16 * 1024)
const PIECES = 320
/** What one socket may hold back: Node's high-water mark, one event, and the head of the answer. */
const ALLOWANCE = 200 * 1024

t.test('readers that stop reading cost a cursor each, and not a copy of the run', async t => {
  const service = await startService(t)
  const serverSides = new Set<Socket>()
  service.app.server.on('connection', socket => serverSides.add(socket))
  let speak = () => {}
  service.gateway.reply = response => {
    openStream(response)
    let said = 0
    speak = () => {
      if (said++ === PIECES) response.end(ending())
      else response.write(delta(PIECE), speak)
    }
  }
  const arriving = service.gateway.nextCall()
  const { body: run } = await service.request('POST', '/api/agent/execute', {
    body: { agentId: DEMO_AGENT, messages: [{ role: 'user', content: 'Hi' }], background: true }
  })
  await arriving

  const headers = Object.entries(await bearer()).map(([name, value]) => `${name}: ${value}\r\n`).join('')
  const stalled = await Promise.all(Array.from({ length: READERS }, () => new Promise<Socket>(resolve => {
    const socket = connect(Number(new URL(service.url).port), '127.0.0.1')
    socket.write(`GET /api/runs/${run.runId}/events HTTP/1.1\r\nhost: test\r\nconnection: close\r\n${headers}\r\n`)
    // The head of the answer has come: it is followed, and from now on nothing is read.
    socket.once('readable', () => resolve(socket))
  })))
  t.teardown(() => { for (const socket of stalled) socket.destroy() })

  speak()
  const { response } = await endOf(service, run.runId)
  t.equal(response.length, PIECE.length * PIECES)
  const ports = new Set(stalled.map(socket => socket.localPort))
  const held = [...serverSides].filter(socket => ports.has(socket.remotePort)).map(socket => socket.writableLength)
  t.equal(held.length, READERS)
  t.ok(Math.max(...held) <= ALLOWANCE, `the fullest socket holds ${Math.max(...held)} bytes back of ${response.length}`)

  const reread = await readStream(await openEvents(service.url, run.runId))
  t.equal(reread.text, response, 'others are not held up')
  t.equal(textOf(parseStream(await drain(stalled[0]!))), response, 'and one that reads on gets all of it')
})

/** Reads what a stalled connection has to say, and takes the chunks of its transfer encoding apart. */
async function drain (socket: Socket): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of socket) chunks.push(chunk)
  let rest = Buffer.concat(chunks)
  rest = rest.subarray(rest.indexOf('\r\n\r\n') + 4)
  const body: Buffer[] = []
  for (;;) {
    const end = rest.indexOf('\r\n')
    const size = parseInt(rest.subarray(0, end).toString(), 16)
    if (size === 0) return Buffer.concat(body).toString()
    body.push(rest.subarray(end + 2, end + 2 + size))
    rest = rest.subarray(end + 2 + size + 2)
  }
}
