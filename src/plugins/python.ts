import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Logger } from 'pino'
import type { DetectedPython } from '../executor/python/detect.js'
import { PythonPool } from '../executor/python/pool.js'

declare module 'fastify' {
  interface FastifyInstance {
    python: PythonPool
    /** `off`: there is no Python and none is configured; `down`: the configured one does not work. */
    pythonState (): Promise<'up' | 'down' | 'off'>
  }
}

/** Agents and functions in Python; on a machine without Python the service runs everything else. */
async function python (app: FastifyInstance): Promise<void> {
  const { command, isChosen, memoryMb, workers, searchPath } = app.config.python
  const pool = new PythonPool({ command, searchPath, memoryMb, workers, log: app.log as Logger })

  app.decorate('python', pool)
  app.decorate('pythonState', async () => {
    if (await pool.isAvailable()) return 'up'
    return isChosen ? 'down' : 'off'
  })
  app.shutdown.on('python', () => pool.close())

  // Detected after the start, which would take longer if it shared its CPU with an interpreter.
  app.addHook('onListen', async () => { pool.detected.then(log) })

  function log (detected: DetectedPython): void {
    if ('path' in detected) app.log.debug(detected, 'agents in Python can be run')
    else if (isChosen) app.log.warn(`agents in Python cannot be run: PYTHON_BIN: ${detected.reason}`)
    else app.log.info(`agents in Python cannot be run: ${detected.reason}`)
  }
}

export default fp(python, { name: 'python', dependencies: ['shutdown'] })
