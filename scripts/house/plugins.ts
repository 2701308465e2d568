import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'
import { ROOT } from './imports.js'

/** A plugin as its source declares it. */
export interface Plugin {
  file: string
  name: string
  /** `dependencies` of its metadata. */
  dependencies: string[]
  /** What it decorates the app, requests or replies with. */
  decorators: string[]
  /** Names it takes from the app, a request or a reply: decorators among them. */
  uses: string[]
}

const FOLDER = join(ROOT, 'src/plugins')
/** Variables and parameters whose properties may be decorators. */
const HOLDERS = new Set(['app', 'request', 'reply'])
const HOLDER_TYPES = new Set(['FastifyInstance', 'FastifyRequest', 'FastifyReply'])
const DECORATE = new Set(['decorate', 'decorateRequest', 'decorateReply'])

/** Plugins whose `dependencies` are not exactly the plugins whose decorators they use. */
export function checkPlugins (plugins = readPlugins()): string[] {
  const owners = new Map(plugins.flatMap(({ name, decorators }) => decorators.map(decorator => [decorator, name])))
  return plugins.flatMap(({ file, name, dependencies, uses }) => {
    const needed = new Set(uses.flatMap(use => owners.get(use) ?? []).filter(owner => owner !== name))
    return [
      ...[...needed].filter(owner => !dependencies.includes(owner)).map(owner => `${file} uses a decorator of ${owner}, which is not among its dependencies`),
      ...dependencies.filter(dependency => !needed.has(dependency)).map(dependency => `${file} depends on ${dependency} and uses no decorator of it`)
    ]
  })
}

function readPlugins (): Plugin[] {
  return readdirSync(FOLDER).map(name => parsePlugin(`src/plugins/${name}`, readFileSync(join(FOLDER, name), 'utf8')))
}

export function parsePlugin (file: string, text: string): Plugin {
  const plugin: Plugin = { file, name: '', dependencies: [], decorators: [], uses: [] }
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node)) readCall(node, plugin)
    if (ts.isPropertyAccessExpression(node) && isHolder(node.expression)) plugin.uses.push(node.name.text)
    if (ts.isObjectBindingPattern(node) && isOfHolder(node.parent as ts.VariableDeclaration | ts.ParameterDeclaration)) {
      plugin.uses.push(...node.elements.map(element => (element.propertyName ?? element.name).getText()))
    }
    ts.forEachChild(node, visit)
  }
  visit(ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true))
  return plugin
}

function readCall ({ expression, arguments: args }: ts.CallExpression, plugin: Plugin): void {
  const [first, second] = args
  if (ts.isPropertyAccessExpression(expression) && DECORATE.has(expression.name.text) && first && ts.isStringLiteral(first)) {
    plugin.decorators.push(first.text)
  }
  if (expression.getText() !== 'fp' || !second || !ts.isObjectLiteralExpression(second)) return
  for (const property of second.properties) {
    if (!ts.isPropertyAssignment(property)) continue
    if (property.name.getText() === 'name') plugin.name = (property.initializer as ts.StringLiteral).text
    if (ts.isArrayLiteralExpression(property.initializer)) {
      plugin.dependencies = property.initializer.elements.map(element => (element as ts.StringLiteral).text)
    }
  }
}

function isHolder (expression: ts.Expression): boolean {
  return ts.isIdentifier(expression) && HOLDERS.has(expression.text)
}

function isOfHolder (declaration: ts.VariableDeclaration | ts.ParameterDeclaration): boolean {
  if (declaration.initializer) return isHolder(declaration.initializer)
  return declaration.type !== undefined && HOLDER_TYPES.has(declaration.type.getText())
}
