// What a program that speaks Responses by OpenAI's package can be ordered to do.
import { answerOrders } from './openai-orders.mjs'

async function read (stream) {
  const events = []
  for await (const event of stream) events.push(event)
  return events
}

/** The package's helper checks the whole protocol, and puts the response together. */
async function help (stream) {
  const events = []
  stream.on('event', event => events.push(event))
  const response = await stream.finalResponse()
  return { events, response }
}

const CALLS = {
  create: ({ responses }, args) => responses.create(args),
  stream: async ({ responses }, args) => read(await responses.create({ ...args, stream: true })),
  helper: ({ responses }, args) => help(responses.stream(args)),
  retrieve: ({ responses }, { id }) => responses.retrieve(id),
  retrieveStream: async ({ responses }, { id, ...query }) => read(await responses.retrieve(id, { stream: true, ...query })),
  retrieveHelper: ({ responses }, { id, ...query }) => help(responses.stream({ response_id: id, ...query })),
  cancel: ({ responses }, { id }) => responses.cancel(id),
  delete: ({ responses }, { id }) => responses.delete(id),
  async inputItems ({ responses }, { id, query }) {
    const items = []
    for await (const item of responses.inputItems.list(id, query)) items.push(item)
    return items
  },
  /** Leaves after the first text. */
  async leave ({ responses }, args) {
    const events = []
    for await (const event of await responses.create({ ...args, stream: true })) {
      events.push(event)
      if (event.type === 'response.output_text.delta') break
    }
    return events
  }
}

await answerOrders(CALLS)
