import { access } from 'node:fs/promises'

// npm start and npm run worker: a program of dist in this very process, which has the signals and arguments as it would alone.
const [name] = process.argv.splice(2, 1)
const program = new URL(`dist/${name}.js`, import.meta.url)
const isBuilt = await access(program).then(() => true, () => false)

if (isBuilt) {
  await import(program.href)
} else if (process.argv.includes('--help') || process.argv.includes('-h')) {
  console.log(`npm ${name === 'server' ? 'start' : `run ${name}`}: runs dist/${name}.js, which npm run build makes. With a build this prints its options.`)
} else {
  console.error('There is no build yet: run npm run build first.')
  process.exitCode = 1
}
