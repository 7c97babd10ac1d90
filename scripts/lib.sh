# Shared by ./run and the scripts beside it: messages, packages, processes. Sourced, never run.

say() { printf '%s\n' "$*" >&2; }

die() {
    say "error: $*"
    exit 1
}

BUILD_PACKAGES=(build-essential cmake ninja-build pkg-config libpq-dev librdkafka-dev libmicrohttpd-dev libjansson-dev
                libcurl4-openssl-dev check)
POSTGRES_PACKAGES=(postgresql)
KAFKA_PACKAGES=(openjdk-17-jre-headless maven)
BROWSER_PACKAGES=(chromium curl)

# Installs the Debian packages among the arguments that are not there yet.
need_packages() {
    local missing=() package root=() log
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    [ "$(id -u)" -eq 0 ] || root=(sudo)
    say "installing Debian packages: ${missing[*]}"
    log=$(mktemp)
    if ! { "${root[@]}" apt-get update -qq &&
           "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
         } >"$log" 2>&1; then
        cat "$log" >&2
        rm -f "$log"
        die "the packages could not be installed"
    fi
    rm -f "$log"
}

# npm may have come with a Node.js that is not Debian's; then Debian's package does not fit beside it.
need_npm() {
    command -v npm >/dev/null || need_packages nodejs npm
}

# Prometheus' checker of metrics, out of Debian's package; the package itself would start a server.
need_promtool() { # directory
    local dir
    [ ! -x "$1/promtool" ] || return 0
    say "fetching promtool from Debian's package prometheus"
    dir=$(mktemp -d)
    if ! (cd "$dir" && apt-get download -qq prometheus 2>/dev/null && dpkg-deb -x prometheus_*.deb files); then
        rm -rf "$dir"
        die "Debian's package prometheus could not be fetched (apt-get update first?)"
    fi
    mkdir -p "$1"
    mv "$dir/files/usr/bin/promtool" "$1/promtool"
    rm -rf "$dir"
}

port_is_free() { # port
    ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# A port nobody listens on, below the range that the kernel hands out by itself.
free_port() {
    local port
    for _ in $(seq 200); do
        port=$((20000 + RANDOM % 12000))
        port_is_free "$port" && { echo "$port"; return; }
    done
    die "no free port"
}

# Calls the command that follows until it succeeds or `seconds` have passed.
wait_for() { # seconds what command...
    local deadline=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        [ "$SECONDS" -lt "$deadline" ] || { say "error: waited in vain for $what"; return 1; }
        sleep 0.1
    done
}

pid_lives() { # pid file
    [ -s "$1" ] && kill -0 "$(cat "$1")" 2>/dev/null
}

# Stops the process of a pid file: asked first, killed after ten seconds.
stop_pid() { # pid file
    local pid
    pid_lives "$1" || { rm -f "$1"; return 0; }
    pid=$(cat "$1")
    kill "$pid" 2>/dev/null || true
    for _ in $(seq 100); do
        kill -0 "$pid" 2>/dev/null || { rm -f "$1"; return 0; }
        sleep 0.1
    done
    kill -9 "$pid" 2>/dev/null || true
    rm -f "$1"
}
