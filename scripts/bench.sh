# ./run bench: servers and programs of its own under build/bench, the measuring program, and everything stopped again.
# Sourced by ./run; wants lib.sh and programs.sh.

BENCH=${SAGA_BENCH_DIR:-$PWD/build/bench}
BENCH_PG_SETTINGS="-c shared_preload_libraries=pg_stat_statements -c shared_buffers=1GB -c max_wal_size=8GB"

bench_is_ready() {
    grep -q '[ "]ready[ "]' "$BENCH/logs/bench-worker.log"
}

# Unless the example services are wanted: a participant that only answers.
start_bench_programs() { # bin-dir real-workers
    SAGA_API_PORT=$(free_port) prepare_programs "$BENCH" "$1"
    start_program "$BENCH" "$1" saga-orchestrator --instance orchestrator-1
    if [ "$2" = true ]; then
        start_workers "$BENCH" "$1"
        await_programs "$BENCH"
    else
        start_program "$BENCH" "$1" bench-worker --instance bench-1
        wait_for 60 "the orchestrator, see $BENCH/logs" api_is_ready
        wait_for 60 "the worker, see $BENCH/logs" bench_is_ready
    fi
    curl -fsS -o /dev/null --json @examples/order.json "$SAGA_URL/v1/definitions"
}

# NAME=PID of everything that is measured.
bench_processes() {
    local file
    for file in "$BENCH"/*.pid; do
        printf ' --process %s=%s' "$(basename "$file" .pid)" "$(cat "$file")"
    done
    printf ' --process postgresql=%s' "$(scripts/servers.sh postgres-pid "$BENCH")"
}

stop_bench() {
    stop_programs "$BENCH"
    stop_pid "$BENCH/bench-worker.pid"
    scripts/servers.sh down "$BENCH"
}

kafka_version() {
    sed -n 's:.*<version>\(.*\)</version>.*:\1:p' deploy/kafka/pom.xml | tail -n 1
}

bench_commit() {
    git describe --always --dirty 2>/dev/null || echo unknown
}

run_bench() { # bin-dir arguments...
    local bin=$1 real=false keep_result=true argument results
    shift
    for argument in "$@"; do
        case "$argument" in
        --real-workers) real=true ;;
        --smoke | --phases | --phases=*) keep_result=false ;; # what is not the whole is not compared
        esac
    done
    case " $* " in *" --help "*) exec "$bin/bench" --help ;; esac
    "$bin/bench" --version "$@" >/dev/null || return 2 # says what is wrong with the arguments before anything is started
    mkdir -p "$BENCH"
    pid_lives "$BENCH.pid" && { say "another benchmark is running in $BENCH"; return 1; }
    echo $$ >"$BENCH.pid"
    scripts/servers.sh destroy "$BENCH"
    trap stop_bench EXIT
    SAGA_PG_SETTINGS=$BENCH_PG_SETTINGS scripts/servers.sh up "$BENCH" 0 0
    say "starting the programs"
    start_bench_programs "$bin" "$real"
    results=()
    if [ "$keep_result" = true ]; then
        mkdir -p bench/results
        results=(--results "bench/results/$(date -u +%Y%m%dT%H%M%SZ)-$(bench_commit).json")
    fi
    # shellcheck disable=SC2046
    "$bin/bench" --port "${SAGA_URL##*:}" --limit-program "$bin/bench-limit" --commit "$(bench_commit)" \
        --kafka-version "$(kafka_version)" $(bench_processes) "${results[@]}" "$@"
}
