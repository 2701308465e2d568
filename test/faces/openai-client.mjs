// What a program that speaks Chat Completions by OpenAI's package can be ordered to do.
import { answerOrders } from './openai-orders.mjs'

const CALLS = {
  create: ({ chat }, args) => chat.completions.create(args),
  async stream ({ chat }, args) {
    const chunks = []
    for await (const chunk of await chat.completions.create({ ...args, stream: true })) chunks.push(chunk)
    return chunks
  },
  /** The package's helper checks the whole protocol, and puts the answer together. */
  async helper ({ chat }, args) {
    const stream = chat.completions.stream(args)
    let text = ''
    stream.on('content', delta => { text += delta })
    const completion = await stream.finalChatCompletion()
    return { text, completion, usage: await stream.totalUsage() }
  },
  async abort ({ chat }, args) {
    const stream = await chat.completions.create({ ...args, stream: true })
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content) stream.controller.abort()
    return 'aborted'
  },
  async models ({ models }) {
    const all = []
    for await (const model of models.list()) all.push(model)
    return all
  },
  model: ({ models }, { id }) => models.retrieve(id)
}

await answerOrders(CALLS)
