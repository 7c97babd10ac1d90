#!/usr/bin/env bash
# The dashboard in a real browser against the real programs, on servers of its own. Results as TAP, screenshots beside them.
# run.sh BIN-DIR SERVERS-DIR TAP-FILE
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
. scripts/lib.sh
. scripts/programs.sh

bin=$1 dir=$2 tap=$3

stop_all() {
    stop_programs "$dir"
    scripts/servers.sh destroy "$dir"
}

scripts/servers.sh destroy "$dir"
trap stop_all EXIT
scripts/servers.sh up "$dir" 0 0
SAGA_API_PORT=$(free_port) start_programs "$dir" "$bin"

work=$dir/browser
mkdir -p "$work"
cp examples/order.json tests/dashboard/package.json tests/dashboard/package-lock.json tests/dashboard/*.mjs "$work"
npm ci --prefix "$work" --no-audit --no-fund --loglevel=error >&2
status=0
SCREENSHOTS=${tap%.tap} node --test-reporter=tap "$work/dashboard.test.mjs" >"$tap" || status=$?
cat "$tap"
exit "$status"
