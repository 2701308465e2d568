import type { FaceClient, Question } from './faces.js'
import { loadOpenAI } from './openai.js'

const bodyOf = ({ agentId, name }: Question) => ({ model: agentId, messages: [{ role: 'user', content: name }] })

export function loadWhole (directory: string): Promise<FaceClient> {
  return loadOpenAI(directory, async (client, question) => {
    const { choices } = await client.chat.completions.create(bodyOf(question))
    return choices[0].message.content
  })
}

/** As most programs read a stream: its end is the end of the answer, whatever came before. */
export function loadStream (directory: string): Promise<FaceClient> {
  return loadOpenAI(directory, async (client, question) => {
    let text = ''
    for await (const { choices } of await client.chat.completions.create({ ...bodyOf(question), stream: true })) text += choices[0]?.delta.content ?? ''
    return text
  })
}
