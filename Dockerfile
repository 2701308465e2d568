FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci
COPY tsconfig.json tsconfig.build.json bundle.ts ./
COPY src ./src
COPY supabase/functions/_shared ./supabase/functions/_shared
RUN npm run build && npm prune --omit=dev

FROM node:24-bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv && rm -rf /var/lib/apt/lists/*
# The packages that your own agents in Python need, apart from the system's: of python/requirements.txt, and of one at the
# root, if there is one. A pattern that matches nothing needs another file beside it.
COPY python/requirements.txt /tmp/agents/
COPY package.json requirements.tx[t] /tmp/root/
RUN python3 -m venv /opt/python && for list in /tmp/agents /tmp/root; do \
    if [ -f $list/requirements.txt ]; then /opt/python/bin/pip install --no-cache-dir -r $list/requirements.txt || exit 1; fi; done
# What is listened on inside of a container is reached by its published ports alone; the embedded mode would take its loopback.
ENV NODE_ENV=production HOST=:: PYTHON_BIN=/opt/python/bin/python
WORKDIR /app
COPY --from=build /app/package.json ./
# For `npm start`.
COPY start.js ./
COPY --from=build /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY supabase ./supabase
COPY python ./python
RUN python3 -m compileall -q python
# The embedded mode's data, for those who run it so; a volume mounted here has to be writable for this user.
RUN mkdir .data && chown node:node .data
# Who may execute a program but not read it cannot read its processes either: agents in Python run as this user, and do not
# get at the environment and memory of the service, where the kernel has no Landlock too.
RUN chmod 711 /usr/local/bin/node
USER node
EXPOSE 3000
HEALTHCHECK CMD ["node", "-e", "fetch(`http://localhost:${process.env.PORT || 3000}/health`).then(({ ok }) => process.exit(ok ? 0 : 1), () => process.exit(1))"]
# node as PID 1, so that SIGTERM reaches it; what Python workers start is buried by their guards.
CMD ["node", "dist/server.js"]
