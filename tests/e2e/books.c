#include "books.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

/* clang-format off */
static const struct pg_statement under_way = {"under_way", "SELECT count(*) FROM saga WHERE state NOT IN ('COMPLETED', 'COMPENSATED')"};
static const struct pg_statement waiting = {"waiting", "SELECT count(*) FROM outbox"};

/* One row an effect: (saga, took place, undone). A service's tables know nothing of the orchestrator's. */
static const struct pg_statement effects[SERVICES_N] = {
    {"inventory_effects", "SELECT saga_id, released FROM reservation ORDER BY saga_id"},
    {"payment_effects", "SELECT saga_id, refunded FROM charge ORDER BY saga_id"},
    {"shipping_effects", "SELECT saga_id, cancelled FROM shipment ORDER BY saga_id"},
};
static const struct pg_statement sagas = {"sagas", "SELECT id, state FROM saga ORDER BY id"};
/* Compensations that really undid something, by when their transaction began. */
static const struct pg_statement undone = {
    "undone", "SELECT c.saga_id, c.recorded_at, c.recorded_at > a.recorded_at FROM inbox c"
              " JOIN inbox a ON a.saga_id = c.saga_id AND a.step = c.step AND a.kind = 'action' AND a.verdict = 'succeeded'"
              " WHERE c.kind = 'compensation' AND c.verdict = 'succeeded' ORDER BY c.saga_id"};
static const struct pg_statement stock_sum = {
    "stock_sum", "SELECT ((SELECT sum(available) FROM stock) + (SELECT coalesce(sum(qty), 0) FROM reservation WHERE NOT released))::bigint"};
static const struct pg_statement money_sum = {
    "money_sum", "SELECT ((SELECT sum(balance) FROM account) + (SELECT coalesce(sum(amount), 0) FROM charge WHERE NOT refunded))::bigint"};
/* clang-format on */

static int64_t count_waiting(struct world *world)
{
    int64_t n = query_number(world->pg, &under_way) + query_number(world->pg, &waiting);
    for (int i = 0; i < SERVICES_N; i++)
        n += query_number(world->services[i], &waiting);
    return n;
}

void books_await_rest(struct world *world, int within_s)
{
    int64_t deadline = clock_mono_ms() + within_s * 1000;
    int64_t left;
    while ((left = count_waiting(world)) && clock_mono_ms() < deadline)
        usleep(50000);
    ck_assert_msg(left == 0, "%d sagas or messages are still under way", (int)left);
}

static struct pg_rows *query(struct pg *pg, const struct pg_statement *statement)
{
    struct pg_rows *rows = NULL;
    struct err err;
    ck_assert_msg(pg_call(pg, statement, NULL, &rows, &err), "%s: %s", statement->name, err.text);
    return rows;
}

/* The row of that saga, in rows sorted by saga; -1 when there is none. More than one is a doubled effect. */
static long find(const struct pg_rows *rows, const struct uuid *id, const char *what)
{
    size_t low = 0, high = pg_rows_count(rows);
    while (low < high) {
        size_t middle = (low + high) / 2;
        struct uuid at = pg_get_uuid(rows, middle, 0);
        if (uuid_compare(&at, id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == pg_rows_count(rows))
        return -1;
    struct uuid at = pg_get_uuid(rows, low, 0), next = {{0}};
    if (!uuid_equal(&at, id))
        return -1;
    if (low + 1 < pg_rows_count(rows))
        next = pg_get_uuid(rows, low + 1, 0);
    char text[UUID_TEXT_MAX];
    ck_assert_msg(!uuid_equal(&next, id), "saga %s: two effects in %s", uuid_format(id, text), what);
    return (long)low;
}

static void check_effects(const struct uuid *id, bool completed, struct pg_rows *const *rows)
{
    char text[UUID_TEXT_MAX];
    uuid_format(id, text);
    for (int i = 0; i < SERVICES_N; i++) {
        long row = find(rows[i], id, effects[i].name);
        bool stands = row >= 0 && !pg_get_bool(rows[i], (size_t)row, 1);
        ck_assert_msg(stands == completed, "saga %s: %s, but its effect in %s %s", text,
                      completed ? "completed" : "compensated", effects[i].name, stands ? "stands" : "is missing");
    }
}

/* The later step's compensation began before the earlier step's. */
static void check_reverse(const struct uuid *id, struct pg_rows *const *rows)
{
    int64_t before = INT64_MAX;
    char text[UUID_TEXT_MAX];
    uuid_format(id, text);
    for (int i = 0; i < SERVICES_N; i++) {
        long row = find(rows[i], id, "inbox");
        if (row < 0)
            continue;
        ck_assert_msg(pg_get_bool(rows[i], (size_t)row, 2), "saga %s: compensated before its action", text);
        int64_t at = pg_get_time(rows[i], (size_t)row, 1);
        ck_assert_msg(at <= before, "saga %s: compensations out of order", text);
        before = at;
    }
}

static void check_sums(struct world *world)
{
    ck_assert_int_eq(query_number(world->services[INVENTORY], &stock_sum), 2000000);
    ck_assert_int_eq(query_number(world->services[PAYMENT], &money_sum), 3000000000100);
}

void books_check(struct world *world)
{
    struct pg_rows *all = query(world->pg, &sagas), *standing[SERVICES_N], *reversed[SERVICES_N];
    for (int i = 0; i < SERVICES_N; i++) {
        standing[i] = query(world->services[i], &effects[i]);
        reversed[i] = query(world->services[i], &undone);
    }
    for (size_t row = 0; row < pg_rows_count(all); row++) {
        struct uuid id = pg_get_uuid(all, row, 0);
        bool completed = strcmp(pg_get_text(all, row, 1, NULL), "COMPLETED") == 0;
        check_effects(&id, completed, standing);
        check_reverse(&id, reversed);
    }
    check_sums(world);
    pg_rows_free(all);
    for (int i = 0; i < SERVICES_N; i++) {
        pg_rows_free(standing[i]);
        pg_rows_free(reversed[i]);
    }
}
