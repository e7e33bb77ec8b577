# syntax=docker/dockerfile:1
# One image with both programs: `unigate` (the default) and `unigate-receiver`, the payee's own.
FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# The caches are the builder's, so a change of ours does not build the dependencies again; the programs are copied out
# of them because a cache is not part of the image.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --release --workspace --bins \
    && install -D -t /out target/release/unigate target/release/unigate-receiver

FROM debian:bookworm-slim
# The system's roots, for TLS to brokers, databases, mail servers and payees.
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --no-create-home unigate
COPY --from=build /out/ /usr/local/bin/
COPY LICENSE LICENSE-MIT LICENSE-APACHE /usr/share/doc/unigate/
USER 10001
# Inside a container loopback would reach nobody; what is published, and where, is decided outside.
ENV UNIGATE_HTTP_ADDRESS=0.0.0.0:8080
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["unigate", "health"]
# No shell in between: the program gets SIGTERM itself and finishes what it has in hand.
ENTRYPOINT ["unigate"]
CMD ["run"]
