# The demo: six sagas of the example services, each with its timeline, and the books at the end. Sourced by ./run.

order() { # sku account country
    printf '{"sku":"%s","qty":2,"account":"%s","amount":1999,"country":"%s","address":"1 Example Street"}' "$1" "$2" "$3"
}

SAGAS=0
COMPLETED=0

title() { # text
    SAGAS=$((SAGAS + 1))
    printf '\n%d. %s\n' "$SAGAS" "$1"
}

show() { # bin-dir id expected-state
    local state
    state=$("$1/sagactl" get "$2" --wait --wait-for 60s | awk 'NR == 1 {print $2}') || true
    "$1/sagactl" history "$2"
    printf '   => %s\n' "$state"
    [ "$state" = "$3" ] || die "saga $2 is $state, not $3"
    [ "$state" != COMPLETED ] || COMPLETED=$((COMPLETED + 1))
}

run_saga() { # bin-dir title input expected-state
    local id
    title "$2"
    id=$("$1/sagactl" start order --input "$3")
    show "$1" "$id" "$4"
}

step_is_running() { # bin-dir id step
    "$1/sagactl" get "$2" | grep -q "^  $3  *RUNNING"
}

run_saga_with_kill() { # dir bin-dir
    local dir=$1 bin=$2 id
    title "the payment worker is killed (kill -9) in the middle and comes back: completes"
    kill -9 "$(cat "$dir/saga-worker-payment.pid")"
    id=$("$bin/sagactl" start order --input "$(order book alice DE)")
    wait_for 20 "the payment step" step_is_running "$bin" "$id" charge_payment
    start_worker "$dir" "$bin" payment
    show "$bin" "$id" COMPLETED
}

# Every saga's outcome against the three services' own tables: one effect for each COMPLETED, none for each COMPENSATED.
books() { # psql
    $1 -Atq <<'SQL'
WITH effects AS (
    SELECT s.id, s.state,
           (SELECT count(*) FROM inventory.reservation r WHERE r.saga_id = s.id AND NOT r.released) AS reserved,
           (SELECT count(*) FROM payment.charge c WHERE c.saga_id = s.id AND NOT c.refunded) AS charged,
           (SELECT count(*) FROM shipping.shipment h WHERE h.saga_id = s.id AND NOT h.cancelled) AS shipped
    FROM saga.saga s
), sums AS (
    SELECT (SELECT sum(available) FROM inventory.stock) + (SELECT coalesce(sum(qty), 0) FROM inventory.reservation WHERE NOT released) AS articles,
           (SELECT sum(balance) FROM payment.account) + (SELECT coalesce(sum(amount), 0) FROM payment.charge WHERE NOT refunded) AS money
)
SELECT CASE
    WHEN EXISTS (SELECT FROM effects WHERE (state = 'COMPLETED' AND (reserved, charged, shipped) <> (1, 1, 1))
                                        OR (state = 'COMPENSATED' AND (reserved, charged, shipped) <> (0, 0, 0))
                                        OR state NOT IN ('COMPLETED', 'COMPENSATED')) THEN 'books do NOT balance: an effect is missing or too many'
    WHEN (SELECT articles FROM sums) <> 2000000 OR (SELECT money FROM sums) <> 3000000000100 THEN 'books do NOT balance: a sum is wrong'
    ELSE 'books balance' END
SQL
}

run_demo() { # dir bin-dir psql
    local dir=$1 bin=$2 verdict
    say "storing the definition in examples/order.json"
    "$bin/sagactl" apply examples/order.json >&2
    run_saga "$bin" "all goes well: completes" "$(order book alice DE)" COMPLETED
    run_saga "$bin" "out of stock: the first step says no" "$(order unicorn alice DE)" COMPENSATED
    run_saga "$bin" "card declined: the second step says no" "$(order book mallory DE)" COMPENSATED
    run_saga "$bin" "undeliverable: the third step says no" "$(order book alice XX)" COMPENSATED
    run_saga "$bin" "the bank answers only the third attempt: completes" "$(order lamp slow-bank FR)" COMPLETED
    run_saga_with_kill "$dir" "$bin"
    verdict=$(books "$3")
    printf '\ndemo: %d sagas, %d completed, %d compensated, %s\n' "$SAGAS" "$COMPLETED" $((SAGAS - COMPLETED)) "$verdict"
    [ "$verdict" = 'books balance' ]
}
