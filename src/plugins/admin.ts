import type { FastifyInstance } from 'fastify'
import fp from 'fastify-plugin'
import { Administration } from '../administration/administration.js'

declare module 'fastify' {
  interface FastifyInstance {
    admin: Administration
  }
}

async function admin (app: FastifyInstance): Promise<void> {
  app.decorate('admin', new Administration(app.database))
}

export default fp(admin, { name: 'admin', dependencies: ['database'] })
