import { parentPort } from 'node:worker_threads'
import { type ArgumentsToCheck, checkArguments } from './check.js'

// The entry of the worker thread: checks one call after the other, and answers in their order.
parentPort!.on('message', (call: ArgumentsToCheck) => { parentPort!.postMessage(checkArguments(call)) })
// The first check also makes ready what all share; it is nobody's time.
checkArguments({ name: '', schema: '{"type":"object","required":["a"]}', json: '{}' })
parentPort!.postMessage('ready')
