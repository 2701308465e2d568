import { checkHouse } from './rules.js'

/** Checks the rules of the house: `npm run check`. */
const problems = checkHouse()
for (const problem of problems) process.stderr.write(`house: ${problem}\n`)
if (problems.length > 0) process.exitCode = 1
