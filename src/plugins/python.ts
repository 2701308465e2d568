import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Logger } from 'pino'
import type { DetectedPython } from '../executor/python/detect.js'
import { PythonPool } from '../executor/python/pool.js'

declare module 'fastify' {
  interface FastifyInstance {
    python: PythonPool
    /** `off`: there is none, and nobody has asked for one; `down`: the one that was asked for does not work. */
    pythonState (): Promise<'up' | 'down' | 'off'>
  }
}

/** Agents and functions in Python; without a Python on the machine the service runs all else. */
async function python (app: FastifyInstance): Promise<void> {
  const { command, isChosen, memoryMb, workers, searchPath } = app.config.python
  const pool = new PythonPool({ command, searchPath, memoryMb, workers, log: app.log as Logger })

  app.decorate('python', pool)
  app.decorate('pythonState', async () => {
    if (await pool.isAvailable()) return 'up'
    return isChosen ? 'down' : 'off'
  })
  app.addHook('onClose', () => pool.close())

  // Nobody waits for it, and a start that shares its CPU with an interpreter's would take longer.
  app.addHook('onListen', async () => { pool.detected.then(tell) })

  function tell (found: DetectedPython): void {
    if ('path' in found) app.log.debug(found, 'agents in Python can be run')
    else if (isChosen) app.log.warn(`agents in Python cannot be run: PYTHON_BIN: ${found.reason}`)
    else app.log.info(`agents in Python cannot be run: ${found.reason}`)
  }
}

export default fp(python, { name: 'python' })
