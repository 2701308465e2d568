import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import type { Logger } from 'pino'
import { type Confinement, describeConfinement } from '../executor/python/confinement.js'
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
  const { isChosen, ...options } = app.config.python
  const pool = new PythonPool({ ...options, reloads: !app.config.production, log: app.log as Logger })

  app.decorate('python', pool)
  app.decorate('pythonState', async () => {
    if (await pool.isAvailable()) return 'up'
    return isChosen ? 'down' : 'off'
  })
  app.shutdown.on('python', () => pool.close())

  // Detected after the start, which would take longer if it shared its CPU with an interpreter.
  app.addHook('onListen', async () => { pool.detected.then(log) })

  async function log (detected: DetectedPython): Promise<void> {
    if ('path' in detected) logConfinement(detected, await pool.probeConfinement())
    else if (isChosen) app.log.warn(`agents in Python cannot be run: PYTHON_BIN: ${detected.reason}`)
    else app.log.info(`agents in Python cannot be run: ${detected.reason}`)
  }

  function logConfinement (detected: DetectedPython, confinement: Confinement | undefined): void {
    const { inForce, missing } = describeConfinement(confinement)
    const fields = { ...detected, inForce, missing }
    if (missing.length === 0) app.log.info(fields, 'agents in Python can be run')
    else app.log.warn(fields, `agents in Python can be run, but on this machine ${missing.join('; ')}`)
  }
}

export default fp(python, { name: 'python', dependencies: ['shutdown'] })
