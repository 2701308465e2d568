import { render } from 'preact'
import { html } from './base/html.js'
import { App } from './shell.js'

const place = document.getElementById('console')!
place.replaceChildren()
render(html`<${App} />`, place)
