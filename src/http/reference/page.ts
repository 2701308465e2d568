import { readFile } from 'node:fs/promises'

// Swagger UI, as its package brings it, in a page of the service.

/** Nothing that is not the service's, and nothing that stands in the page itself. */
export const PAGE_POLICY = [
  "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:", "connect-src 'self'",
  "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"
].join('; ')

export const PAGE = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>jeesi-railway-backend</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="docs/swagger-ui.css">
<script src="docs/swagger-ui.js" defer></script>
<script src="docs/page.js" defer></script>
</head>
<body>
<noscript>Without scripts: <a href="docs/json">the document</a>.</noscript>
<div id="page"></div>
</body>
</html>
`

/** Addresses are relative, so that a proxy may serve the page below a path of its own. */
export const PAGE_SCRIPT = `SwaggerUIBundle({
  url: 'docs/json',
  dom_id: '#page',
  deepLinking: true,
  // It would send the document to another host.
  validatorUrl: null
})
`

/** Reads the script of Swagger UI: a megabyte and a half, for which most processes are never asked. */
export function readLibrary (): Promise<Buffer> {
  return readFile(new URL(import.meta.resolve('@fastify/swagger-ui/static/swagger-ui-bundle.js')))
}

/** Reads the style of Swagger UI. */
export function readStyle (): Promise<Buffer> {
  return readFile(new URL(import.meta.resolve('@fastify/swagger-ui/static/swagger-ui.css')))
}
