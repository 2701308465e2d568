import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type HonestUser, HonestUsers, type Served } from './honest.js'
import { startModel } from './model.js'

// A process of their own: what the attackers do costs time in theirs, and would be taken for the service's.

/** What the siege sends to this process. */
export type Order = { order: 'meet', processes: Served[], users: HonestUser[] } | { order: 'start' } | { order: 'stop' } | { order: 'leave' }

const model = await startModel()
const idle = createServer((_request, response) => { response.end('{}') }).listen(0, '127.0.0.1')
await once(idle, 'listening')
let honest: HonestUsers

process.on('message', async (message: Order) => {
  if (message.order === 'meet') {
    honest = new HonestUsers(message.processes, message.users, `http://127.0.0.1:${(idle.address() as AddressInfo).port}/`)
  } else if (message.order === 'start') {
    model.altered = 0
    honest.start()
  } else if (message.order === 'stop') {
    const felt = await honest.stop()
    process.send!({ felt: { ...felt, altered: model.altered } })
  } else {
    process.exit(0)
  }
})
process.send!({ model: model.url })
