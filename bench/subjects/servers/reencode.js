// Parses each frame and encodes it as an event: the simplest way to offer another protocol.
import { createServer } from 'node:http'
import { Agent, request as ask } from 'undici'

const dispatcher = new Agent()

createServer(async (request, response) => {
  if (request.url === '/health') return response.end('ok')
  try {
    const { body } = await ask(`${process.env.UPSTREAM}/v1/chat/completions`, {
      dispatcher,
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: request
    })
    response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' })
    let seq = 0
    let rest = ''
    const decoder = new TextDecoder()
    for await (const bytes of body) {
      const frames = (rest + decoder.decode(bytes, { stream: true })).split('\n\n')
      rest = frames.pop()
      for (const frame of frames) {
        if (frame === 'data: [DONE]') continue
        const content = JSON.parse(frame.slice('data: '.length)).choices[0]?.delta?.content
        if (content) response.write(`id: ${++seq}\ndata: ${JSON.stringify({ type: 'chunk', content })}\n\n`)
      }
    }
    response.end('data: [DONE]\n\n')
  } catch {
    response.destroy()
  }
}).listen(Number(process.env.PORT), '127.0.0.1')
