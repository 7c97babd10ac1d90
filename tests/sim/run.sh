#!/usr/bin/env bash
# The simulator over many seeds, and over mutations: each of them breaks one rule in a copy of one source file, and the
# simulator must find out. Results as TAP.
# run.sh BUILD-DIR TAP-FILE [MUTATION...]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
build=$(realpath "$1") tap=$2
shift 2

SEEDS=1000 # a mutation must be found within so many
SAGAS=10
n=0 failures=0

check() { # NAME STATUS NOTE
    n=$((n + 1))
    if [ "$2" = 0 ]; then
        echo "ok $n - $1 # $3"
    else
        echo "not ok $n - $1 # $3"
        failures=$((failures + 1))
    fi | tee -a "$tap"
    [ "$2" = 0 ] || failures=$((failures + 1))
}

every_seed_holds() {
    local status=0 note
    note=$("$build/bin/saga-sim" --seeds "$SEEDS" --sagas "$SAGAS" --quiet 2>&1) || status=$?
    check "invariants hold over $SEEDS seeds" "$status" "$(tail -n1 <<<"$note")"
    [ "$status" = 0 ] || echo "$note" >&2
}

same_seed_same_trace() {
    local status=0
    for seed in {1..12}; do # every weather twice
        "$build/bin/saga-sim" --seed "$seed" --trace >"$build/sim-trace-1" || status=1
        "$build/bin/saga-sim" --seed "$seed" --trace >"$build/sim-trace-2" || status=1
        cmp "$build/sim-trace-1" "$build/sim-trace-2" || status=1
    done
    check "one seed gives one trace" "$status" "byte for byte"
}

# The source file of a patch, compiled with the patch and linked before the libraries, takes the place of the file there.
build_mutant() { # PATCH DIR
    local source object compile link
    source=$(sed -n 's,^--- a/,,p' "$1")
    object=$(ninja -C "$build" -t targets all | sed -n "s,^\([^:]*/$(basename "$source")\.o\):.*,\1,p" | grep "$(dirname "$(dirname "$source")")")
    mkdir -p "$2"
    patch --silent --batch --forward --reject-file=- -o "$2/$(basename "$source")" "$source" "$1" || return 1
    compile=$(ninja -C "$build" -t commands "$object" | tail -n1)
    compile=${compile/ -c / -I$PWD/$(dirname "$source") -c }
    compile=${compile/-o $object/-o $2/mutant.o}
    compile=${compile/$PWD\/$source/$2/$(basename "$source")}
    link=$(ninja -C "$build" -t commands saga-sim | tail -n1)
    link=${link/ -o bin\/saga-sim/ $2/mutant.o -o $2/saga-sim}
    (cd "$build" && eval "$compile" && eval "$link")
}

is_found() { # PATCH
    local name dir status=0 note
    name=$(basename "$1" .patch)
    dir=$build/mutants/$name
    rm -rf "$dir"
    if ! build_mutant "$1" "$dir"; then
        check "mutation $name" 1 "it cannot be built"
        return
    fi
    note=$("$dir/saga-sim" --seeds "$SEEDS" --sagas "$SAGAS" --quiet 2>&1) && status=1
    grep -qE '^at |Assertion' <<<"$note" || status=1 # not for some other reason
    check "mutation $name is found" "$status" "$(grep -E '^seed|^at|Assertion|every invariant' <<<"$note" | head -n2 | tr '\n' ' ')"
}

: >"$tap"
if [ $# = 0 ]; then
    every_seed_holds
    same_seed_same_trace
    set -- tests/sim/mutations/*.patch
fi
for patch in "$@"; do
    is_found "$patch"
done
echo "1..$n"
[ "$failures" = 0 ]
