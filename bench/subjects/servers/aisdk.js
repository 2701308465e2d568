// Follows the AI SDK's documentation for Fastify.
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import { streamText } from 'ai'
import Fastify from 'fastify'

const provider = createOpenAICompatible({ name: 'bench', baseURL: `${process.env.UPSTREAM}/v1`, includeUsage: true })
const app = Fastify()

app.get('/health', async () => 'ok')
app.post('/', (request, reply) => {
  reply.hijack()
  streamText({ model: provider('google/gemini-2.5-flash'), prompt: request.body.prompt })
    .pipeUIMessageStreamToResponse(reply.raw)
})

await app.listen({ port: Number(process.env.PORT), host: '127.0.0.1' })
