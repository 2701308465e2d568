import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { WebSocket } from 'ws'
import { type Attack, ATTACKER_ADDRESS, post, repeat, untilAborted } from './attack.js'

const BAD_FRAMES = 20_000
const SOCKETS = 100
const LARGE = 10 * 1024 * 1024
/** Within the limit of a body. */
const BODY = 9_900_000

/** Tiny frames that are no messages, on one WebSocket after another, before any token. */
export const badFrames: Attack = {
  prepare: async world => signal => repeat(1, signal, async n => {
    const socket = await open(world.url(n))
    for (let frame = 0; frame < BAD_FRAMES && socket.readyState === WebSocket.OPEN; frame++) socket.send('x')
    await Promise.race([once(socket, 'close').catch(() => {}), untilAborted(signal)])
    socket.terminate()
  })
}

/** The same after a token. */
export const badFramesOfUser: Attack = {
  async prepare (world) {
    const { token } = await world.createUser(0)
    return signal => repeat(1, signal, async n => {
      const socket = await open(world.url(n), `?token=${token}`)
      for (let frame = 0; frame < BAD_FRAMES && socket.readyState === WebSocket.OPEN; frame++) socket.send('{"type":"agent_execute"}')
      await Promise.race([once(socket, 'close').catch(() => {}), untilAborted(signal)])
      socket.terminate()
    })
  }
}

/** A hundred WebSockets without a token, each of which begins a message of 10 MB and does not end it. */
export const unfinishedFrames: Attack = {
  prepare: async world => async signal => {
    const sockets = Array.from({ length: SOCKETS }, (_, n) => {
      const { hostname, port } = new URL(world.url(n))
      const socket = connect({ host: hostname, port: Number(port), localAddress: ATTACKER_ADDRESS })
      socket.on('error', () => {})
      socket.write('GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n')
      socket.once('data', () => {
        const head = Buffer.from([0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
        head.writeUInt32BE(LARGE, 6)
        socket.write(head)
        socket.write(Buffer.alloc(LARGE - 1024, 'x'))
      })
      return socket.resume()
    })
    await untilAborted(signal)
    for (const socket of sockets) socket.destroy()
  }
}

/** A hundred requests of 10 MB that stop just before their end. */
export const unfinishedBodies: Attack = {
  async prepare (world) {
    const { token } = await world.createUser(0)
    return async signal => {
      const sockets = Array.from({ length: SOCKETS }, (_, n) => {
        const { hostname, port } = new URL(world.url(n))
        const socket = connect({ host: hostname, port: Number(port), localAddress: ATTACKER_ADDRESS })
        socket.on('error', () => {})
        socket.write(`POST /api/agent/execute HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: ${BODY}\r\nAuthorization: Bearer ${token}\r\n\r\n`)
        socket.write(Buffer.alloc(BODY - 1024, 'x'))
        return socket.resume()
      })
      await untilAborted(signal)
      for (const socket of sockets) socket.destroy()
    }
  }
}

/** Bodies of 9.9 MB that are refused: nested, not JSON, without a token, of a user without credits. */
export const refusedBodies: Attack = {
  async prepare (world) {
    const user = await world.createUser(0)
    const agentId = await world.createAgent(user)
    const bearer = { authorization: `Bearer ${user.token}` }
    const nested = Buffer.from('['.repeat(BODY))
    const many = Buffer.from(`[${'{},'.repeat(BODY / 3 - 10)}{}]`)
    const messages = Buffer.from(JSON.stringify({ agentId, messages: Array.from({ length: 200_000 }, () => ({ role: 'user', content: 'Hi' })) }))
    const bodies: Array<[Record<string, string>, Buffer]> = [[{}, nested], [bearer, nested], [bearer, many], [bearer, messages], [{}, messages]]
    return signal => repeat(4, signal, n => {
      const [headers, body] = bodies[n % bodies.length]!
      return post(`${world.url(n)}/api/agent/execute`, headers, body, signal)
    })
  }
}

/** Messages of 9.9 MB that are refused, on one WebSocket after another of a user without credits. */
export const refusedMessages: Attack = {
  async prepare (world) {
    const { token } = await world.createUser(0)
    const messages = ['['.repeat(BODY), `[${'{},'.repeat(BODY / 3 - 10)}{}]`]
    return signal => repeat(2, signal, async n => {
      const socket = await open(world.url(n), `?token=${token}`)
      for (const message of messages) socket.send(message)
      await Promise.race([once(socket, 'message').catch(() => {}), once(socket, 'close').catch(() => {}), untilAborted(signal)])
      socket.terminate()
    })
  }
}

/** Keys that nobody has, as fast as they are refused. */
export const wrongKeys: Attack = {
  prepare: async world => signal => repeat(64, signal, n =>
    post(`${world.url(n)}/api/agent/execute`, { 'x-api-key': `jsk_${n}_${Math.random()}` }, '{}', signal))
}

async function open (url: string, query = ''): Promise<WebSocket> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/ws${query}`, { localAddress: ATTACKER_ADDRESS })
  socket.on('error', () => {})
  await Promise.race([once(socket, 'open').catch(() => {}), delay(5000)])
  return socket
}
