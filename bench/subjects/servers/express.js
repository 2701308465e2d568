// A simple service of this kind: it verifies the token, takes a credit, passes on each frame, and records the usage.
import express from 'express'
import jwt from 'jsonwebtoken'
import pg from 'pg'

const { PORT, UPSTREAM, DATABASE_URL, JWT_SECRET, AGENT } = process.env
const pool = new pg.Pool({ connectionString: DATABASE_URL, max: 20 })
const app = express()
app.use(express.json())

app.get('/health', (request, response) => { response.send('ok') })

app.post('/', authenticate, async (request, response) => {
  const { rowCount } = await pool.query(
    `update credit_balances set credits_remaining = credits_remaining - 1
      where user_id = $1 and credits_remaining >= 1 returning credits_remaining`, [request.user.sub])
  if (rowCount === 0) return response.status(402).json({ error: 'There are no credits left.' })
  const abort = new AbortController()
  response.on('close', () => abort.abort())
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'cache-control': 'no-cache' })
  const send = event => response.write('data: ' + JSON.stringify(event) + '\n\n')
  try {
    let answer = ''
    let usage = null
    for await (const frame of readFrames(request.body.prompt, abort.signal)) {
      usage = frame.usage ?? usage
      const content = frame.choices[0]?.delta?.content
      if (!content) continue
      answer += content
      send({ type: 'chunk', content })
    }
    await pool.query(
      'insert into credit_usage (user_id, agent_id, credits_used, operation_type, metadata) values ($1, $2, $3, $4, $5)',
      [request.user.sub, AGENT, 1, 'agent_execution', { usage }])
    send({ type: 'done', response: answer, usage })
    response.write('data: [DONE]\n\n')
  } catch (error) {
    if (!abort.signal.aborted) send({ type: 'error', error: error.message })
  }
  response.end()
})

function authenticate (request, response, next) {
  try {
    const token = request.headers.authorization?.replace(/^Bearer /, '')
    request.user = jwt.verify(token, JWT_SECRET, { algorithms: ['HS256'], audience: 'authenticated' })
  } catch {
    return response.status(401).json({ error: 'The access token is not valid.' })
  }
  next()
}

/** Parses the frames of the gateway's response. */
async function * readFrames (prompt, signal) {
  const answer = await fetch(`${UPSTREAM}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: 'google/gemini-2.5-flash',
      messages: [{ role: 'user', content: prompt }],
      stream: true,
      stream_options: { include_usage: true }
    }),
    signal
  })
  if (!answer.ok) throw new Error(`The gateway answered ${answer.status}.`)
  const decoder = new TextDecoder()
  let rest = ''
  for await (const bytes of answer.body) {
    const frames = (rest + decoder.decode(bytes, { stream: true })).split('\n\n')
    rest = frames.pop()
    for (const frame of frames) {
      if (frame !== 'data: [DONE]') yield JSON.parse(frame.slice('data: '.length))
    }
  }
}

app.listen(Number(PORT), '127.0.0.1')
