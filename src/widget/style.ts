/** A constructed style sheet is within the strictest policy of a page; a style element is not. */
export const STYLE = `
:host { --text: #1c1c1e; --paper: #fff; --line: #d8d8dc; --mine: #2f5bea; --other: #f1f2f5; all: initial; font: 15px/1.45 system-ui, sans-serif; color: var(--text) }
:host([data-theme=dark]) { --text: #f2f2f4; --paper: #1c1c1f; --line: #3a3a40; --mine: #4a73f5; --other: #2b2b31; color-scheme: dark }
* { box-sizing: border-box; font: inherit; color: inherit }
.frame { display: flex; flex-direction: column; align-items: flex-end; gap: 12px }
:host(:not([data-position=inline])) .frame { position: fixed; bottom: 16px; z-index: 2147483000 }
:host([data-position=bottom-right]) .frame { right: 16px }
:host([data-position=bottom-left]) .frame { left: 16px; align-items: flex-start }
.panel { display: flex; flex-direction: column; width: min(380px, calc(100vw - 32px)); height: min(560px, calc(100vh - 110px)); background: var(--paper); border: 1px solid var(--line); border-radius: 14px; overflow: hidden }
:host(:not([data-position=inline])) .panel { box-shadow: 0 8px 30px rgb(0 0 0 / .2) }
:host([data-position=inline]) .frame, :host([data-position=inline]) .panel { width: 100% }
.panel[hidden], .toggle[hidden], .progress[hidden], button[hidden], progress[hidden] { display: none }
.log { flex: 1; overflow-y: auto; padding: 14px; display: flex; flex-direction: column; gap: 10px }
.said { max-width: 85%; padding: 8px 12px; border-radius: 12px; white-space: pre-wrap; overflow-wrap: anywhere; background: var(--other) }
.said.mine { align-self: flex-end; background: var(--mine); color: #fff }
.said.failed { border: 1px solid #c7372f; background: transparent }
.progress { padding: 0 14px 8px; font-size: 13px; opacity: .8 }
progress { width: 100% }
form { display: flex; gap: 8px; padding: 10px; border-top: 1px solid var(--line) }
textarea { flex: 1; resize: none; height: 40px; padding: 8px 10px; border: 1px solid var(--line); border-radius: 10px; background: var(--paper) }
button { border: 0; border-radius: 10px; padding: 8px 14px; background: var(--mine); color: #fff; cursor: pointer }
button:focus-visible, textarea:focus-visible { outline: 2px solid var(--mine); outline-offset: 2px }
.toggle { border-radius: 999px; padding: 12px 18px }
`
