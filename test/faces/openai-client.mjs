// What a program that uses OpenAI's package does, in a process of its own, since the newer package needs a newer Node.
// Arguments: the package's directory, and JSON {url, key, call, args}. Prints one line of JSON: what came of it.
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const [directory, order] = process.argv.slice(2)
const { url, key, call, args, options } = JSON.parse(order)
const { default: OpenAI } = await import(pathToFileURL(createRequire(`${directory}/`).resolve(directory)).href)
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: key, ...options })

const CALLS = {
  create: () => client.chat.completions.create(args),
  async stream () {
    const chunks = []
    for await (const chunk of await client.chat.completions.create({ ...args, stream: true })) chunks.push(chunk)
    return chunks
  },
  /** The package's helper checks the whole protocol, and puts the answer together. */
  async helper () {
    const stream = client.chat.completions.stream(args)
    let text = ''
    stream.on('content', delta => { text += delta })
    const completion = await stream.finalChatCompletion()
    return { text, completion, usage: await stream.totalUsage() }
  },
  async abort () {
    const stream = await client.chat.completions.create({ ...args, stream: true })
    for await (const chunk of stream) if (chunk.choices[0]?.delta.content) stream.controller.abort()
    return 'aborted'
  },
  async models () {
    const models = []
    for await (const model of client.models.list()) models.push(model)
    return models
  },
  model: () => client.models.retrieve(args.id)
}

try {
  console.log(JSON.stringify({ node: process.version, result: await CALLS[call]() }))
} catch (error) {
  const { status, code, type, param, message, requestID, headers } = error
  console.log(JSON.stringify({
    error: { class: error.constructor.name, status, code, type, param, message, requestId: requestID, shouldRetry: headers?.get?.('x-should-retry'), runId: headers?.get?.('x-run-id') }
  }))
}
