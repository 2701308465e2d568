import { connect } from 'node:net'
import { join } from 'node:path'
import type { Lab } from '../lab.js'
import { hasProgram } from '../machine.js'
import { findFreePort, startProgram, untilStarted, type Program } from '../process.js'

/** Starts a Redis server without persistence, beside the bench's tools. */
export async function startRedis (lab: Lab): Promise<{ url: string, program: Program }> {
  if (!hasProgram('redis-server')) throw new Error('Several processes need Redis: install redis-server (apt-get install redis-server).')
  const port = await findFreePort()
  const program = startProgram('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', lab.directory],
    { cores: lab.cores?.bench, log: join(lab.directory, 'redis.log') })
  await untilStarted('Redis', program, () => accepts(port))
  return { url: `redis://127.0.0.1:${port}`, program }
}

function accepts (port: number): Promise<boolean> {
  return new Promise(resolve => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}
