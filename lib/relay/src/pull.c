/* A round: claim rows by a lease that is committed before anything is sent, send them all, wait for every report. What has
 * a lease, or ever had one that was not given back, may have been sent: another relay sends it again once the lease has
 * passed, and nobody withdraws it. A crash at any moment leaves such rows. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/log.h"
#include "parts.h"
#include "wire/label.h"

#define ROWS_MAX 1000
#define ROWS_MIN 10
#define BYTES_MAX (16u * 1024 * 1024) /* of a round: more than that, and the next round claims fewer rows */
#define SHUN_MS 10000                 /* a topic that does not take messages is left alone for so long */
#define REACH_MS 1000

/* clang-format off */
static const struct pg_statement outbox_horizon = {
    "outbox_horizon", "SELECT pg_snapshot_xmin(pg_current_snapshot())"};
static const struct pg_statement outbox_first = {
    "outbox_first", "SELECT xid FROM outbox WHERE xid >= $1 ORDER BY xid, id LIMIT 1"};
static const struct pg_statement outbox_claim = {
    "outbox_claim",
    "WITH mine AS MATERIALIZED (SELECT ctid AS place, leased_until IS NOT NULL AS tried FROM outbox WHERE xid >= $1 AND topic <> ALL ($3)"
    " AND (leased_until IS NULL OR leased_until < now()) ORDER BY xid, id LIMIT $2 FOR UPDATE SKIP LOCKED)"
    " UPDATE outbox SET leased_until = now() + $4 * interval '1 ms' FROM mine WHERE outbox.ctid = mine.place"
    " RETURNING outbox.ctid, xid, id, topic, key, headers, value, created_at, tried"};
/* clang-format on */

enum row_state { ROW_SENT, ROW_ACKED, ROW_FAILED, ROW_REFUSED };

struct row {
    enum origin origin; /* first */
    struct settled_row place;
    int64_t xid;
    int64_t created_ms;
    bool tried; /* somebody has had it before: what became of that is not known */
    struct wire_message message;
    enum row_state state;
    struct err err;
};

void pull_open(struct pull *pull)
{
    *pull = (struct pull){.limit = ROWS_MAX};
}

void pull_close(struct pull *pull)
{
    arena_free(&pull->arena);
}

void pull_begin_anew(struct pull *pull)
{
    pull->mark = 0;
}

void pull_report(struct relay *relay, struct row *row, const struct err *err)
{
    relay->pull.open_reports--;
    if (!err) {
        row->state = ROW_ACKED;
        return;
    }
    row->state = err->kind == ERR_REFUSED ? ROW_REFUSED : ROW_FAILED;
    row->err = *err;
}

/* ---- claiming ---- */

static void read_headers(struct arena *arena, struct wire_message *message, const char *text, size_t len)
{
    struct err err;
    json_t *headers = json_read(text, len, &err);
    const char *name;
    json_t *value;
    json_object_foreach(headers, name, value) {
        const char *copy = arena_strdup(arena, json_string_value(value));
        if (!copy || message->headers_n == WIRE_HEADERS_MAX)
            continue;
        message->headers[message->headers_n++] =
            (struct wire_header){arena_strdup(arena, name), copy, strlen(copy)};
    }
    json_decref(headers);
}

static const char *keep(struct arena *arena, const struct pg_rows *rows, size_t i, int column, size_t *len)
{
    const char *text = pg_get_text(rows, i, column, len);
    return text ? arena_strndup(arena, text, *len) : NULL;
}

static void read_row(struct arena *arena, const struct pg_rows *rows, size_t i, struct row *row)
{
    size_t len;
    *row = (struct row){.place = {pg_get_tid(rows, i, 0), pg_get_uuid(rows, i, 2)},
                        .xid = pg_get_int(rows, i, 1),
                        .created_ms = pg_get_time(rows, i, 7),
                        .tried = pg_get_bool(rows, i, 8)};
    row->message.topic = keep(arena, rows, i, 3, &len);
    row->message.key = keep(arena, rows, i, 4, &row->message.key_len);
    row->message.value = keep(arena, rows, i, 6, &row->message.value_len);
    const char *headers = pg_get_text(rows, i, 5, &len);
    read_headers(arena, &row->message, headers, len);
}

static int by_xid_then_id(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    return x->xid != y->xid ? (x->xid > y->xid) - (x->xid < y->xid) : uuid_compare(&x->place.id, &y->place.id);
}

static void add_shunned(struct pull *pull, struct pg_column *topics)
{
    int64_t now = clock_mono_ms();
    for (size_t i = 0; i < pull->shunned_n;) {
        if (pull->shunned[i].until_ms <= now)
            pull->shunned[i] = pull->shunned[--pull->shunned_n];
        else
            pg_add_text(topics, pull->shunned[i++].topic);
    }
}

/* The mark moves up to the first row that is left, or to the oldest transaction that is still running: a row not yet visible
 * belongs to it or to a later one. */
static void move_mark(struct pull *pull, const struct pg_rows *horizon, const struct pg_rows *first)
{
    int64_t oldest = pg_get_int(horizon, 0, 0), left = pg_rows_count(first) ? pg_get_int(first, 0, 0) : oldest;
    pull->mark = left < oldest ? left : oldest;
}

static bool claim(struct relay *relay, struct err *err)
{
    struct pull *pull = &relay->pull;
    struct pg_params from = {0}, params = {0};
    pg_param_int(&from, PG_XID8, pull->mark);
    pg_param_int(&params, PG_XID8, pull->mark);
    pg_param_int(&params, PG_INT8, (int64_t)pull->limit);
    add_shunned(pull, pg_param_array(&params, PG_TEXT));
    pg_param_int(&params, PG_INT8, RELAY_LEASE_MS);
    struct pg_call calls[] = {{&outbox_horizon, NULL, NULL}, {&outbox_first, &from, NULL}, {&outbox_claim, &params, NULL}};
    bool ok = pg_run(relay->pg, calls, 3, err);
    pg_params_free(&from);
    pg_params_free(&params);
    if (!ok)
        return false;
    move_mark(pull, calls[0].rows, calls[1].rows);
    pull->rows_n = pg_rows_count(calls[2].rows);
    pull->rows = arena_array(&pull->arena, pull->rows_n, sizeof *pull->rows);
    for (size_t i = 0; i < pull->rows_n; i++)
        read_row(&pull->arena, calls[2].rows, i, &pull->rows[i]);
    if (pull->rows_n)
        qsort(pull->rows, pull->rows_n, sizeof *pull->rows, by_xid_then_id);
    for (size_t i = 0; i < 3; i++)
        pg_rows_free(calls[i].rows);
    return true;
}

/* ---- sending ---- */

static void send_row(struct relay *relay, struct row *row)
{
    row->state = ROW_SENT;
    relay->pull.open_reports++;
    kafka_send(relay->producer, &row->message, row);
}

/* Reports are sure to come, after the client's message timeout at the latest. */
static void await_reports(struct relay *relay)
{
    while (relay->pull.open_reports)
        kafka_push(relay->producer, PUSH_MS);
}

static void make_letter(struct relay *relay, const struct row *row, struct row *letter)
{
    struct wire_dead_letter content;
    wire_dead_letter(&relay->pull.arena, &row->message, row->err.text, -1, -1, &content);
    *letter = (struct row){.message = {.topic = relay->config.dead_topic,
                                       .key = content.key,
                                       .key_len = content.key ? strlen(content.key) : 0,
                                       .value = content.value,
                                       .value_len = content.value_len}};
    read_headers(&relay->pull.arena, &letter->message, content.headers, strlen(content.headers));
}

/* Sends the dead letters of all rows that were refused, together; a row whose letter did not arrive stays. */
static void bury_refused(struct relay *relay)
{
    struct row *letters = arena_array(&relay->pull.arena, relay->pull.rows_n, sizeof *letters);
    for (size_t i = 0; i < relay->pull.rows_n; i++) {
        if (relay->pull.rows[i].state != ROW_REFUSED)
            continue;
        make_letter(relay, &relay->pull.rows[i], &letters[i]);
        send_row(relay, &letters[i]);
    }
    await_reports(relay);
    for (size_t i = 0; i < relay->pull.rows_n; i++) {
        struct row *row = &relay->pull.rows[i];
        if (row->state != ROW_REFUSED)
            continue;
        struct wire_label label = wire_label_of(&row->message);
        log_line(LOG_ERROR, "relay.unpublishable", LOG_LABEL(&label), LOG_STR("topic", row->message.topic),
                 LOG_ERR(&row->err), LOG_BOOL("dead_letter", letters[i].state == ROW_ACKED));
        if (letters[i].state == ROW_FAILED)
            row->state = ROW_FAILED;
    }
}

static size_t count_state(const struct pull *pull, enum row_state state)
{
    size_t n = 0;
    for (size_t i = 0; i < pull->rows_n; i++)
        n += pull->rows[i].state == state;
    return n;
}

/* A topic that does not exist, or that we may not write to, must cost the others nothing. */
static void shun(struct pull *pull, const struct row *row)
{
    for (size_t i = 0; i < pull->shunned_n; i++) {
        if (strcmp(pull->shunned[i].topic, row->message.topic) == 0)
            return;
    }
    log_line(LOG_WARN, "relay.topic_waits", LOG_STR("topic", row->message.topic), LOG_ERR(&row->err), LOG_INT("for_ms", SHUN_MS));
    if (pull->shunned_n == SHUNNED_MAX)
        return;
    snprintf(pull->shunned[pull->shunned_n].topic, WIRE_TOPIC_MAX, "%s", row->message.topic);
    pull->shunned[pull->shunned_n++].until_ms = clock_mono_ms() + SHUN_MS;
}

/* After a failure: is it the broker, or only the topic? */
static void shun_failed(struct relay *relay)
{
    if (!count_state(&relay->pull, ROW_FAILED))
        return;
    if (!count_state(&relay->pull, ROW_ACKED) && !kafka_reachable(relay->producer, REACH_MS))
        return;
    for (size_t i = 0; i < relay->pull.rows_n; i++) {
        if (relay->pull.rows[i].state == ROW_FAILED)
            shun(&relay->pull, &relay->pull.rows[i]);
    }
}

/* The next round claims what fits. */
static void set_limit(struct pull *pull, size_t bytes)
{
    if (bytes > BYTES_MAX)
        pull->limit = pull->rows_n / 4 > ROWS_MIN ? pull->rows_n / 4 : ROWS_MIN;
    else if (bytes < BYTES_MAX / 4 && pull->limit < ROWS_MAX)
        pull->limit = pull->limit * 2 < ROWS_MAX ? pull->limit * 2 : ROWS_MAX;
}

static void send_all(struct relay *relay)
{
    size_t bytes = 0;
    for (size_t i = 0; i < relay->pull.rows_n; i++) {
        bytes += relay->pull.rows[i].message.value_len;
        send_row(relay, &relay->pull.rows[i]);
    }
    set_limit(&relay->pull, bytes);
    await_reports(relay);
    if (count_state(&relay->pull, ROW_REFUSED))
        bury_refused(relay);
    shun_failed(relay);
}

/* ---- what became of them ---- */

static enum fate fate_of(const struct row *row)
{
    enum fate fate = settle_fate(row->state == ROW_FAILED ? &row->err : NULL);
    return fate == FATE_UNSENT && row->tried ? FATE_DOUBTFUL : fate;
}

static void count_row(struct relay *relay, enum row_state state)
{
    if (state == ROW_ACKED)
        atomic_fetch_add(&relay->published, 1);
    else if (state == ROW_REFUSED)
        atomic_fetch_add(&relay->dead, 1);
    else if (state == ROW_FAILED)
        atomic_fetch_add(&relay->failed, 1);
}

static void close_round(struct relay *relay)
{
    const struct relay_events *events = &relay->config.events;
    int64_t now = clock_real_ms();
    for (size_t i = 0; i < relay->pull.rows_n; i++) {
        const struct row *row = &relay->pull.rows[i];
        settle_add(&relay->settle, fate_of(row), &row->place);
        count_row(relay, row->state);
        if (row->state == ROW_ACKED)
            relay_log_published(&row->message);
        if (row->state == ROW_ACKED && events->released_late && now - row->created_ms > relay->config.late_ms)
            events->released_late(events->context, &row->message, now);
        if (row->state == ROW_REFUSED && events->refused)
            events->refused(events->context, &row->message, &row->err);
    }
}

static bool is_shunned(const struct pull *pull, const char *topic)
{
    for (size_t i = 0; i < pull->shunned_n; i++) {
        if (strcmp(pull->shunned[i].topic, topic) == 0)
            return true;
    }
    return false;
}

/* A failure that is not one topic's own. */
static const struct err *first_failure(const struct pull *pull)
{
    for (size_t i = 0; i < pull->rows_n; i++) {
        if (pull->rows[i].state == ROW_FAILED && !is_shunned(pull, pull->rows[i].message.topic))
            return &pull->rows[i].err;
    }
    return NULL;
}

bool pull_round(struct relay *relay, bool *more, struct err *err)
{
    struct pull *pull = &relay->pull;
    size_t limit = pull->limit;
    int64_t begun_us = clock_mono_us();
    arena_reset(&pull->arena);
    pull->rows_n = 0;
    if (!claim(relay, err))
        return false;
    fault_point("relay.claimed");
    send_all(relay);
    fault_point("relay.acknowledged");
    close_round(relay);
    if (pull->rows_n)
        counts_round(&relay->counts, pull->rows_n, clock_mono_us() - begun_us);
    const struct err *failure = first_failure(pull);
    if (failure)
        *err = *failure;
    *more = pull->rows_n == limit;
    return !failure;
}
