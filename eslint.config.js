import neostandard from 'neostandard'

export default [
  ...neostandard({ ts: true, ignores: ['dist/', '.tap/', 'node_modules/'] }),
  {
    rules: {
      'new-cap': ['error', { capIsNew: false }],
      // A schema and the type of what it admits bear one name.
      '@typescript-eslint/no-redeclare': 'off',
      // The gateway's protocol and the database have names of their own.
      camelcase: 'off'
    }
  }
]
