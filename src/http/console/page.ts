/** Nothing but the service, and the project whose users sign in: no script, no style and no image of the page itself. */
export function consolePolicy (supabaseUrl?: string): string {
  const project = supabaseUrl ? ` ${new URL(supabaseUrl).origin}` : ''
  return [
    "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:", `connect-src 'self'${project}`,
    "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"
  ].join('; ')
}

const HEAD = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Console</title>
<link rel="icon" href="data:,">
`

/** What every page of the console needs beside its script: a browser asks for it at once, and not when it has read the script. */
const SHARED = /^console-chunk-.*\.js$/

/**
 * The console's page, which shows its name before its script has come. Addresses are relative, so that a proxy may serve it
 * below a path of its own.
 * @param files the names of the console's files.
 */
export const consolePage = (files: Iterable<string>) => `${HEAD}<link rel="stylesheet" href="console/console.css">
${[...files].filter(name => SHARED.test(name)).map(name => `<link rel="modulepreload" href="console/${name}">\n`).join('')}<script src="console/console.js" type="module"></script>
</head>
<body><div id="console"><main class="sign-in"><p class="brand"><span class="mark" aria-hidden="true"></span>jeesi</p></main></div><noscript>The console needs JavaScript.</noscript></body>
</html>
`

/** Where the sources run and nothing has been built. */
export const UNBUILT_PAGE = `${HEAD}</head>
<body><h1>The console is not built yet</h1><p>Run <code>npm run build</code>, and start again.</p></body>
</html>
`
