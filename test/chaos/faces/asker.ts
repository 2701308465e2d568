import { expected, withoutStamps } from '../model.js'
import { createRandom } from '../random.js'
import type { Answer, FaceProgram, Order } from './process.js'

/** A client that has said nothing for that long never ends. */
const END_MS = 150_000

/** How a client has ended: with the right text, with a typed error, with anything else, or not at all. */
export type Verdict = 'right' | 'typedErrors' | 'wrong' | 'neverEnded'

export interface FaceOutcome {
  face: string
  verdict: Verdict
  problem?: string
  /** What the client has thrown, if it was typed. */
  error?: string
}

export interface AskersOptions extends Pick<Order, 'url' | 'token' | 'agentId'> {
  program: FaceProgram
  /** How many ask at once. */
  count: number
  seed: number
  isOver: () => boolean
}

/** Asks by all faces in turn, in an order that the seed decides, until the load is over and each was asked once at the least. */
export async function askFaces ({ program, count, seed, isOver, ...order }: AskersOptions): Promise<FaceOutcome[]> {
  const deal = dealer(program.faces, createRandom(seed))
  const outcomes: FaceOutcome[] = []
  await Promise.all(Array.from({ length: count }, async () => {
    while (!isOver() || deal.count < program.faces.length) {
      const { face, name } = deal.next()
      outcomes.push(judgeAnswer(face, name, await limit(program.ask({ ...order, face, name }))))
    }
  }))
  return outcomes
}

/** Each face once in a round. Of every second round the model says the same text when it is asked again; of the others another one. */
function dealer (faces: string[], random: () => number) {
  const deck: string[] = []
  return {
    count: 0,
    next () {
      const round = Math.floor(this.count / faces.length)
      if (deck.length === 0) deck.push(...faces)
      const [face] = deck.splice(Math.floor(random() * deck.length), 1)
      const place = `${this.count++}-${face!.toLowerCase().replace(/[^a-z0-9]+/g, '-')}`
      return { face: face!, name: `${round % 2 === 0 ? 'stamped' : 'plain'}-${place}` }
    }
  }
}

function judgeAnswer (face: string, name: string, answer: Answer | undefined): FaceOutcome {
  if (answer === undefined) return { face, verdict: 'neverEnded', problem: `${face}: ${name} never ended` }
  const { text, error } = answer
  if (error) return error.isTyped ? { face, verdict: 'typedErrors', error: error.sentence } : { face, verdict: 'wrong', problem: `${face}: ${name} threw ${error.sentence}` }
  const [said, whole] = [withoutStamps(text!), expected(name).join('')]
  return said === whole ? { face, verdict: 'right' } : { face, verdict: 'wrong', problem: `${face}: ${name} took ${said.length} of ${whole.length} characters for all: …${said.slice(-40)}` }
}

async function limit (answer: Promise<Answer>): Promise<Answer | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>(resolve => { timer = setTimeout(resolve, END_MS, undefined) })
  return Promise.race([answer, late]).finally(() => clearTimeout(timer))
}
