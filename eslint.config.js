import neostandard from 'neostandard'

export default [
  // Without JSX: package.json puts another package in the place of eslint-plugin-react, which is large.
  ...neostandard({ ts: true, noJsx: true, ignores: ['dist/', '.tap/', 'node_modules/'] }),
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
