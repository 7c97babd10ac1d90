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
    local word=ok
    n=$((n + 1))
    if [ "$2" != 0 ]; then
        word='not ok'
        failures=$((failures + 1))
    fi
    echo "$word $n - $1 # $3" | tee -a "$tap"
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

# Compiles a source file of the tree, or another one in its place, as the tree does.
compile_as() { # SOURCE FILE OUT FLAGS
    local object command
    object=$(ninja -C "$build" -t targets all | sed -n "s,^\([^:]*/$(basename "$1")\.o\):.*,\1,p" | grep "$(dirname "$(dirname "$1")")")
    command=$(ninja -C "$build" -t commands "$object" | tail -n1)
    command=${command/ -c / $4 -I$PWD/$(dirname "$1") -c }
    command=${command/-o $object/-o $3}
    command=${command/$PWD\/$1/$2}
    (cd "$build" && eval "$command")
}

# A patched file takes the place of its original in the link. The core's own assertion is left out of mutants of the core: the checks
# have to find them.
build_mutant() { # PATCH DIR
    local source file link flags='' machine=orchestrator/core/src/machine.c objects="$2/mutant.o"
    source=$(sed -n 's,^--- a/,,p' "$1")
    file=$2/$(basename "$source")
    mkdir -p "$2"
    patch --silent --batch --forward --reject-file=- -o "$file" "$source" "$1" || return 1
    [ "$source" != $machine ] || flags=-DNDEBUG
    compile_as "$source" "$file" "$2/mutant.o" "$flags" || return 1
    if [[ $source == orchestrator/core/* && $source != "$machine" ]]; then
        compile_as $machine "$PWD/$machine" "$2/machine.o" -DNDEBUG || return 1
        objects+=" $2/machine.o"
    fi
    link=$(ninja -C "$build" -t commands saga-sim | tail -n1)
    link=${link/ -o bin\/saga-sim/ $objects -o $2/saga-sim}
    (cd "$build" && eval "$link")
}

# What it prints at the end shows the fault again.
replays() { # NOTE
    local again
    again=$(sed -n 's/^again: //p' <<<"$1")
    [ -n "$again" ] && ! $again >"$build/sim-replay" 2>&1 && grep -q 'at [0-9]' "$build/sim-replay"
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
    grep -qE '^at ' <<<"$note" || status=1 # not for some other reason
    replays "$note" || status=1
    check "mutation $name is found" "$status" "$(grep -E '^seed|^at|every invariant' <<<"$note" | head -n2 | tr '\n' ' ')"
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
