# The executable, the C library that it is linked to, and nothing else.
#
#     docker build --build-arg BUILD_COMMIT=$(git rev-parse --short=12 HEAD) -t membrane-mcp .

FROM oven/bun:1.4.5-slim AS build
WORKDIR /build
COPY package.json bun.lock bunfig.toml tsconfig.json ./
RUN bun install --frozen-lockfile --ignore-scripts --production
COPY .ci .ci
COPY drizzle drizzle
COPY src src
ARG BUILD_COMMIT=unknown
RUN BUILD_COMMIT=$BUILD_COMMIT bun .ci/build.ts --out image/membrane-mcp
# What it is linked to, the loader among it, each at its path; names are asked of files, then of DNS.
RUN ldd image/membrane-mcp | grep -o '/[^ ]*' | xargs cp --parents -L -t image
RUN mkdir -m 700 data && mkdir image/etc && echo 'hosts: files dns' > image/etc/nsswitch.conf

FROM scratch
COPY --from=build /build/image /
COPY --from=build --chown=65532:65532 /build/data /data
USER 65532:65532
WORKDIR /
# Six users with slow calls could otherwise use up the requests that Bun has under way at a time.
ENV BUN_CONFIG_MAX_HTTP_REQUESTS=4096
ENV HOST=0.0.0.0 PORT=3000 DATA_DIR=/data LOG_FORMAT=json
VOLUME /data
EXPOSE 3000
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["/membrane-mcp", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/membrane-mcp"]
CMD ["serve"]
