/** The project's folder, from `src` as from what is made of it. */
export const ROOT = new URL('../', import.meta.url)
