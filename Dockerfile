# All binaries in one image; docker-compose.yml chooses the program.
FROM debian:bookworm-slim AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends build-essential cmake ninja-build pkg-config libpq-dev librdkafka-dev \
    libmicrohttpd-dev libjansson-dev libcurl4-openssl-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN cmake --preset release -DSAGA_TESTS=OFF \
 && cmake --build --preset release \
 && cmake --install build/release --prefix /usr --strip

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends libpq5 librdkafka1 libmicrohttpd12 libjansson4 libcurl4 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --system --no-create-home saga
COPY --from=build /usr/bin/saga* /usr/bin/
COPY examples /usr/share/saga/examples
USER saga
EXPOSE 8080
CMD ["saga-orchestrator"]
