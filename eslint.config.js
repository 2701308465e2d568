import neostandard from 'neostandard'
import { FASTIFY, LIMITS, ROOMS } from './scripts/house/rooms.js'
import { forbiddenImports } from './scripts/house/forbidden-imports.js'

const SOURCES = ['src/**/*.ts', 'supabase/functions/**/*.ts']

export default [
  // Without JSX: package.json puts another package in the place of eslint-plugin-react, which is large.
  ...neostandard({ ts: true, noJsx: true, ignores: ['dist/', '.tap/', '.tests/', 'node_modules/'] }),
  {
    rules: {
      'new-cap': ['error', { capIsNew: false }],
      // A schema and the type of what it admits bear one name.
      '@typescript-eslint/no-redeclare': 'off',
      // The gateway's protocol and the database have names of their own.
      camelcase: 'off'
    }
  },
  {
    files: SOURCES,
    rules: {
      'max-lines': ['error', LIMITS.file],
      'max-lines-per-function': ['error', { max: LIMITS.function, IIFEs: true }]
    }
  },
  // Who may import from whom; a folder has its own patterns, since they are relative.
  ...ROOMS.flatMap(room => forbiddenImports(room)).map(({ files, patterns, fastify }) => ({
    files,
    rules: {
      'no-restricted-imports': ['error', {
        patterns: [...patterns, ...(fastify ? [] : [{ regex: FASTIFY.source, message: 'This room knows nothing of Fastify.' }])]
      }]
    }
  }))
]
