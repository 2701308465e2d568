import process from 'node:process'
import { runOperations } from './operations.ts'

// Reads calls as JSON and prints their results as JSON.
let input = ''
for await (const chunk of process.stdin.setEncoding('utf8')) input += chunk
process.stdout.write(JSON.stringify(await runOperations(JSON.parse(input))))
