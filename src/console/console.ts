import { render } from 'preact'
import { html } from './base/html.js'
import { App } from './shell.js'

render(html`<${App} />`, document.getElementById('console')!)
