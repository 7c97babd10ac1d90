# Starts and stops the project's programs on the servers of one directory. Sourced by ./run; wants lib.sh.
# The directory holds env (from servers.sh), api-env, logs/ and a pid file for each program.

WORKERS=(inventory payment shipping)

# Exports what the programs and sagactl read.
load_env() { # dir
    set -a
    # shellcheck disable=SC1091
    . "$1/env"
    [ ! -s "$1/api-env" ] || . "$1/api-env"
    set +a
}

start_program() { # dir bin-dir name arguments...
    local dir=$1 bin=$2 name=$3
    shift 3
    pid_lives "$dir/$name.pid" && return 0
    SAGA_LOG_FORMAT=${SAGA_LOG_FORMAT:-text} setsid "$bin/$name" "$@" >>"$dir/logs/$name.log" 2>&1 </dev/null &
    echo $! >"$dir/$name.pid"
    disown
}

start_worker() { # dir bin-dir service
    : >"$1/logs/saga-worker-$3.log"
    start_program "$1" "$2" "saga-worker-$3" --instance "$3-1"
}

worker_is_ready() { # dir service
    grep -q '[ "]ready[ "]' "$1/logs/saga-worker-$2.log"
}

api_is_ready() {
    curl -fs -o /dev/null --max-time 2 "$SAGA_URL/readyz"
}

orchestrator_says_broker() { # dir
    grep -q '[ "]started[ "].*brokers' "$1/logs/saga-orchestrator.log"
}

# Without Kafka: the orchestrator has a broker in its own process, and the others are told where.
start_with_inner_broker() { # dir bin-dir
    start_program "$1" "$2" saga-orchestrator dev --no-workers
    wait_for 60 "the orchestrator, see $1/logs" orchestrator_says_broker "$1"
    {
        printf 'SAGA_KAFKA_FETCH_WAIT=10ms\nSAGA_KAFKA_BROKERS='
        sed -n 's/.*[ "]started[ "].*brokers"*[=:]"\([^"]*\)".*/\1/p' "$1/logs/saga-orchestrator.log" | tail -n 1
    } >>"$1/api-env"
    load_env "$1"
}

# The API's address, the settings in the environment, the schema.
prepare_programs() { # dir bin-dir
    local dir=$1 bin=$2 port=${SAGA_API_PORT:-8080}
    mkdir -p "$dir/logs"
    if ! pid_lives "$dir/saga-orchestrator.pid"; then
        port_is_free "$port" || port=$(free_port)
        printf 'SAGA_LISTEN=127.0.0.1:%s\nSAGA_URL=http://127.0.0.1:%s\n' "$port" "$port" >"$dir/api-env"
    fi
    load_env "$dir"
    : >"$dir/logs/saga-orchestrator.log"
    SAGA_LOG_FORMAT=${SAGA_LOG_FORMAT:-text} "$bin/saga-orchestrator" migrate >>"$dir/logs/saga-orchestrator.log" 2>&1 ||
        { tail -n 3 "$dir/logs/saga-orchestrator.log" >&2; die "the schema was not made"; }
}

start_workers() { # dir bin-dir
    local service
    for service in "${WORKERS[@]}"; do
        pid_lives "$1/saga-worker-$service.pid" || start_worker "$1" "$2" "$service"
    done
}

# Waits until the orchestrator and the workers have their partitions.
await_programs() { # dir
    local service
    wait_for 60 "the orchestrator, see $1/logs" api_is_ready
    for service in "${WORKERS[@]}"; do
        wait_for 60 "the $service worker, see $1/logs" worker_is_ready "$1" "$service"
    done
}

# Orchestrator, relay and workers.
start_programs() { # dir bin-dir
    local dir=$1 bin=$2
    prepare_programs "$dir" "$bin"
    if [ -n "${NO_KAFKA:-}" ]; then
        start_with_inner_broker "$dir" "$bin"
    else
        start_program "$dir" "$bin" saga-orchestrator --instance orchestrator-1
    fi
    start_program "$dir" "$bin" saga-relay
    start_workers "$dir" "$bin"
    await_programs "$dir"
}

stop_programs() { # dir
    local dir=$1 service
    stop_pid "$dir/saga-orchestrator.pid"
    for service in "${WORKERS[@]}"; do
        stop_pid "$dir/saga-worker-$service.pid"
    done
    stop_pid "$dir/saga-relay.pid"
}
