/* A round: claim rows (locked until the end of the transaction), send them all, wait for every report, delete what was
 * acknowledged, commit. Between claim and commit the locks are the lease: a relay that freezes loses them when the server
 * ends its idle transaction, and another one sends the rows again. */
#include "relay/relay.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/wake.h"
#include "handed.h"
#include "kafka/kafka.h"
#include "pg/pg.h"

#define ROWS_MAX 1000
#define ROWS_MIN 10
#define BYTES_MAX (16u * 1024 * 1024) /* of a round: more than that, and the next round claims fewer rows */
#define PUSH_MS 10
#define SHUN_MS 10000                 /* a topic that does not take messages is left alone for so long */
#define SHUNNED_MAX 64
#define IDLE_POLL_MS 1000
#define PAUSE_MS 500      /* after a failure */
#define WARM_UP_MS 2000
#define REACH_MS 1000

/* clang-format off */
static const struct pg_statement outbox_horizon = {
    "outbox_horizon", "SELECT pg_snapshot_xmin(pg_current_snapshot())"};
static const struct pg_statement outbox_claim = {
    "outbox_claim",
    "SELECT ctid, id, topic, key, headers, value, created_at FROM outbox WHERE xid >= $1 AND topic <> ALL ($3)"
    " AND (leased_until IS NULL OR leased_until < now()) ORDER BY xid, id LIMIT $2 FOR UPDATE SKIP LOCKED"};
static const struct pg_statement outbox_delete = {"outbox_delete", "DELETE FROM outbox WHERE ctid = ANY($1)"};
static const struct pg_statement outbox_first = {
    "outbox_first", "SELECT xid FROM outbox WHERE xid >= $1 ORDER BY xid, id LIMIT 1"};
/* clang-format on */

enum row_state { ROW_SENT, ROW_ACKED, ROW_FAILED, ROW_REFUSED };

struct row {
    enum sent_origin origin;
    uint64_t tid;
    int64_t created_ms;
    struct wire_message message;
    enum row_state state;
    struct err err;
};

struct relay {
    struct relay_config config;
    pthread_t thread;
    int wake_fd;
    atomic_bool stopping;
    atomic_bool healthy;
    atomic_ullong published, dead, failed;
    struct handed handed;
    pthread_rwlock_t producer_lock; /* against its renewal while other threads send */

    /* the thread's own */
    struct pg *pg;
    struct kafka_producer *producer;
    struct arena arena;
    struct row *rows;
    size_t rows_n;
    size_t open_reports;
    int64_t mark; /* no row below this transaction is left */
    size_t limit; /* rows to claim */
    struct {
        char topic[WIRE_TOPIC_MAX];
        int64_t until_ms;
    } shunned[SHUNNED_MAX];
    size_t shunned_n;
    bool failing; /* said so already */
};

/* The row of a message that this process sent by itself: nobody waits for it. */
static void report_handed(struct relay *relay, struct handed_row *row, const struct kafka_record *record,
                          const struct err *err)
{
    const struct relay_events *events = &relay->config.events;
    if (err) {
        atomic_fetch_add(&relay->failed, 1);
        handed_back(&relay->handed, row);
        return;
    }
    atomic_fetch_add(&relay->published, 1);
    if (events->released_late && clock_mono_ms() - row->begun_ms > relay->config.late_ms) {
        struct wire_message message;
        kafka_record_message(record, &message);
        events->released_late(events->context, &message, clock_real_ms());
    }
    handed_acked(&relay->handed, row);
}

static void on_report(void *context, void *tag, const struct kafka_record *record, const struct err *err)
{
    struct relay *relay = context;
    if (*(const enum sent_origin *)tag == SENT_HANDED) {
        report_handed(relay, tag, record, err);
        return;
    }
    struct row *row = tag;
    relay->open_reports--;
    if (!err) {
        row->state = ROW_ACKED;
        return;
    }
    row->state = err->kind == ERR_REFUSED ? ROW_REFUSED : ROW_FAILED;
    row->err = *err;
}

void relay_hand_over(struct relay *relay, const struct uuid *id, uint64_t tid, const struct wire_message *message,
                     int64_t begun_ms)
{
    struct handed_row *row = mem_alloc(sizeof *row);
    *row = (struct handed_row){SENT_HANDED, tid, *id, begun_ms};
    pthread_rwlock_rdlock(&relay->producer_lock);
    bool send = relay->producer && clock_mono_ms() - begun_ms < RELAY_LEASE_MS - KAFKA_GIVE_UP_MS;
    if (send)
        kafka_send(relay->producer, message, row);
    pthread_rwlock_unlock(&relay->producer_lock);
    if (send)
        return;
    handed_back(&relay->handed, row);
    relay_wake(relay);
}

static void read_headers(struct relay *relay, struct wire_message *message, const char *text, size_t len)
{
    struct err err;
    json_t *headers = json_read(text, len, &err);
    const char *name;
    json_t *value;
    json_object_foreach(headers, name, value) {
        const char *copy = arena_strdup(&relay->arena, json_string_value(value));
        if (!copy || message->headers_n == WIRE_HEADERS_MAX)
            continue;
        message->headers[message->headers_n++] =
            (struct wire_header){arena_strdup(&relay->arena, name), copy, strlen(copy)};
    }
    json_decref(headers);
}

static const char *keep(struct relay *relay, const struct pg_rows *rows, size_t i, int column, size_t *len)
{
    const char *text = pg_get_text(rows, i, column, len);
    return text ? arena_strndup(&relay->arena, text, *len) : NULL;
}

static void read_row(struct relay *relay, const struct pg_rows *rows, size_t i, struct row *row)
{
    size_t len;
    row->tid = pg_get_tid(rows, i, 0);
    row->created_ms = pg_get_time(rows, i, 6);
    row->message.topic = keep(relay, rows, i, 2, &len);
    row->message.key = keep(relay, rows, i, 3, &row->message.key_len);
    row->message.value = keep(relay, rows, i, 5, &row->message.value_len);
    const char *headers = pg_get_text(rows, i, 4, &len);
    read_headers(relay, &row->message, headers, len);
}

/* A topic that does not exist, or that we may not write to, must cost the others nothing. */
static void shun(struct relay *relay, const struct row *row)
{
    for (size_t i = 0; i < relay->shunned_n; i++) {
        if (strcmp(relay->shunned[i].topic, row->message.topic) == 0)
            return;
    }
    log_line(LOG_WARN, "relay.topic_waits", LOG_STR("topic", row->message.topic), LOG_ERR(&row->err), LOG_INT("for_ms", SHUN_MS));
    if (relay->shunned_n == SHUNNED_MAX)
        return;
    snprintf(relay->shunned[relay->shunned_n].topic, WIRE_TOPIC_MAX, "%s", row->message.topic);
    relay->shunned[relay->shunned_n++].until_ms = clock_mono_ms() + SHUN_MS;
}

static void add_shunned(struct relay *relay, struct pg_column *topics)
{
    int64_t now = clock_mono_ms();
    for (size_t i = 0; i < relay->shunned_n;) {
        if (relay->shunned[i].until_ms <= now)
            relay->shunned[i] = relay->shunned[--relay->shunned_n];
        else
            pg_add_text(topics, relay->shunned[i++].topic);
    }
}

/* Claims up to `limit` rows. *horizon is the oldest transaction that was still running just before. */
static bool claim(struct relay *relay, int64_t *horizon, struct err *err)
{
    struct pg_params params = {0};
    pg_param_int(&params, PG_XID8, relay->mark);
    pg_param_int(&params, PG_INT8, (int64_t)relay->limit);
    add_shunned(relay, pg_param_array(&params, PG_TEXT));
    struct pg_call calls[] = {{&PG_BEGIN, NULL, NULL}, {&outbox_horizon, NULL, NULL}, {&outbox_claim, &params, NULL}};
    bool ok = pg_run(relay->pg, calls, 3, err);
    pg_params_free(&params);
    if (!ok)
        return false;
    *horizon = pg_get_int(calls[1].rows, 0, 0);
    relay->rows_n = pg_rows_count(calls[2].rows);
    relay->rows = arena_array(&relay->arena, relay->rows_n, sizeof *relay->rows);
    for (size_t i = 0; i < relay->rows_n; i++)
        read_row(relay, calls[2].rows, i, &relay->rows[i]);
    for (size_t i = 0; i < 3; i++)
        pg_rows_free(calls[i].rows);
    return true;
}

static void send_row(struct relay *relay, struct row *row)
{
    row->state = ROW_SENT;
    relay->open_reports++;
    kafka_send(relay->producer, &row->message, row);
}

/* Reports are sure to come, after the client's message timeout at the latest. */
static void await_reports(struct relay *relay)
{
    while (relay->open_reports)
        kafka_push(relay->producer, PUSH_MS);
}

static void make_letter(struct relay *relay, const struct row *row, struct row *letter)
{
    struct wire_dead_letter content;
    wire_dead_letter(&relay->arena, &row->message, row->err.text, -1, -1, &content);
    *letter = (struct row){.message = {.topic = relay->config.dead_topic,
                                       .key = content.key,
                                       .key_len = content.key ? strlen(content.key) : 0,
                                       .value = content.value,
                                       .value_len = content.value_len}};
    read_headers(relay, &letter->message, content.headers, strlen(content.headers));
}

/* Sends the dead letters of all rows that were refused, together; a row whose letter did not arrive stays. */
static void bury_refused(struct relay *relay)
{
    struct row *letters = arena_array(&relay->arena, relay->rows_n, sizeof *letters);
    for (size_t i = 0; i < relay->rows_n; i++) {
        if (relay->rows[i].state != ROW_REFUSED)
            continue;
        make_letter(relay, &relay->rows[i], &letters[i]);
        send_row(relay, &letters[i]);
    }
    await_reports(relay);
    for (size_t i = 0; i < relay->rows_n; i++) {
        struct row *row = &relay->rows[i];
        if (row->state != ROW_REFUSED)
            continue;
        log_line(LOG_ERROR, "relay.unpublishable", LOG_STR("topic", row->message.topic), LOG_ERR(&row->err),
                 LOG_BOOL("dead_letter", letters[i].state == ROW_ACKED));
        if (letters[i].state == ROW_FAILED)
            row->state = ROW_FAILED;
    }
}

static size_t count_state(const struct relay *relay, enum row_state state)
{
    size_t n = 0;
    for (size_t i = 0; i < relay->rows_n; i++)
        n += relay->rows[i].state == state;
    return n;
}

/* After a failure: is it the broker, or only the topic? */
static void shun_failed(struct relay *relay)
{
    if (!count_state(relay, ROW_FAILED))
        return;
    if (!count_state(relay, ROW_ACKED) && !kafka_reachable(relay->producer, REACH_MS))
        return;
    for (size_t i = 0; i < relay->rows_n; i++) {
        if (relay->rows[i].state == ROW_FAILED)
            shun(relay, &relay->rows[i]);
    }
}

/* The next round claims what fits. */
static void set_limit(struct relay *relay, size_t bytes)
{
    if (bytes > BYTES_MAX)
        relay->limit = relay->rows_n / 4 > ROWS_MIN ? relay->rows_n / 4 : ROWS_MIN;
    else if (bytes < BYTES_MAX / 4 && relay->limit < ROWS_MAX)
        relay->limit = relay->limit * 2 < ROWS_MAX ? relay->limit * 2 : ROWS_MAX;
}

static void send_all(struct relay *relay)
{
    size_t bytes = 0;
    for (size_t i = 0; i < relay->rows_n; i++) {
        bytes += relay->rows[i].message.value_len;
        send_row(relay, &relay->rows[i]);
    }
    set_limit(relay, bytes);
    await_reports(relay);
    if (count_state(relay, ROW_REFUSED))
        bury_refused(relay);
    shun_failed(relay);
}

static bool is_gone(const struct row *row)
{
    return row->state == ROW_ACKED || row->state == ROW_REFUSED;
}

/* Deletes what is gone, moves the mark up to the first row that is left, commits. Rows that others have locked are left
 * too, and rows not yet visible belong to transactions from the horizon on. */
static bool finish(struct relay *relay, int64_t horizon, struct err *err)
{
    struct pg_params tids = {0}, mark = {0};
    struct pg_column *column = pg_param_array(&tids, PG_TID);
    struct pg_call calls[3];
    size_t n = 0, gone = 0;
    for (size_t i = 0; i < relay->rows_n; i++) {
        if (!is_gone(&relay->rows[i]))
            continue;
        pg_add_tid(column, relay->rows[i].tid);
        gone++;
    }
    pg_param_int(&mark, PG_XID8, relay->mark);
    if (gone)
        calls[n++] = (struct pg_call){&outbox_delete, &tids, NULL};
    calls[n++] = (struct pg_call){&outbox_first, &mark, NULL};
    calls[n++] = (struct pg_call){&PG_COMMIT, NULL, NULL};
    bool ok = pg_run(relay->pg, calls, n, err);
    if (ok) {
        const struct pg_rows *first = calls[n - 2].rows;
        int64_t left = pg_rows_count(first) ? pg_get_int(first, 0, 0) : horizon;
        relay->mark = left < horizon ? left : horizon;
    }
    for (size_t i = 0; i < n && ok; i++)
        pg_rows_free(calls[i].rows);
    pg_params_free(&tids);
    pg_params_free(&mark);
    return ok;
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

static void tell_owner(struct relay *relay)
{
    const struct relay_events *events = &relay->config.events;
    int64_t now = clock_real_ms();
    for (size_t i = 0; i < relay->rows_n; i++) {
        const struct row *row = &relay->rows[i];
        count_row(relay, row->state);
        if (row->state == ROW_ACKED && events->released_late && now - row->created_ms > relay->config.late_ms)
            events->released_late(events->context, &row->message, now);
        if (row->state == ROW_REFUSED && events->refused)
            events->refused(events->context, &row->message, &row->err);
    }
}

static bool is_shunned(const struct relay *relay, const char *topic)
{
    for (size_t i = 0; i < relay->shunned_n; i++) {
        if (strcmp(relay->shunned[i].topic, topic) == 0)
            return true;
    }
    return false;
}

/* A failure that is not one topic's own. */
static const struct err *first_failure(const struct relay *relay)
{
    for (size_t i = 0; i < relay->rows_n; i++) {
        if (relay->rows[i].state == ROW_FAILED && !is_shunned(relay, relay->rows[i].message.topic))
            return &relay->rows[i].err;
    }
    return NULL;
}

/* False with `err` when the round failed; *more when there may be rows left to claim at once. */
static bool round_trip(struct relay *relay, bool *more, struct err *err)
{
    int64_t horizon = 0;
    size_t limit = relay->limit;
    arena_reset(&relay->arena);
    relay->rows_n = 0;
    if (!claim(relay, &horizon, err))
        return false;
    fault_point("relay.claimed");
    send_all(relay);
    fault_point("relay.acknowledged");
    if (!finish(relay, horizon, err))
        return false;
    fault_point("relay.deleted");
    tell_owner(relay);
    const struct err *failure = first_failure(relay);
    if (failure)
        *err = *failure;
    *more = relay->rows_n == limit;
    return !failure;
}

static void note_failure(struct relay *relay, const struct err *err)
{
    atomic_store(&relay->healthy, false);
    relay->mark = 0; /* the next connection may be to another server, whose transactions count from elsewhere */
    if (!relay->failing)
        log_line(LOG_WARN, "relay.waiting", LOG_STR("schema", relay->config.schema), LOG_ERR(err));
    relay->failing = true;
}

static void note_success(struct relay *relay)
{
    atomic_store(&relay->healthy, true);
    if (relay->failing)
        log_line(LOG_INFO, "relay.recovered", LOG_STR("schema", relay->config.schema));
    relay->failing = false;
}

static bool renew_producer(struct relay *relay, struct err *err)
{
    if (relay->producer && !kafka_producer_is_fatal(relay->producer))
        return true;
    pthread_rwlock_wrlock(&relay->producer_lock);
    kafka_producer_free(relay->producer);
    relay->producer = kafka_producer_new(relay->config.brokers, relay->config.name, on_report, relay, err);
    pthread_rwlock_unlock(&relay->producer_lock);
    return relay->producer != NULL;
}

/* A producer connects on its first message only, and that one would wait a second for it. */
static void warm_up(struct relay *relay)
{
    (void)kafka_reachable(relay->producer, WARM_UP_MS);
}

/* Sleeps until a wake-up, a report, or `until_ms`; true when it was woken to look for rows. */
static bool sleep_until(struct relay *relay, int64_t until_ms)
{
    int64_t left_ms = until_ms - clock_mono_ms();
    struct pollfd fds[] = {{.fd = relay->wake_fd, .events = POLLIN},
                           {.fd = kafka_producer_fd(relay->producer), .events = POLLIN}};
    if (poll(fds, 2, left_ms > 0 ? (int)left_ms : 0) <= 0)
        return false;
    if (fds[1].revents)
        wake_clear(fds[1].fd);
    if (fds[0].revents)
        wake_clear(fds[0].fd);
    return fds[0].revents != 0;
}

/* One pull of rows; *next_ms is when to pull again if nobody wakes us. */
static void pull(struct relay *relay, int64_t *next_ms)
{
    struct err err;
    bool more = false;
    bool ok = round_trip(relay, &more, &err);
    if (ok)
        note_success(relay);
    else
        note_failure(relay, &err);
    *next_ms = more && ok ? 0 : clock_mono_ms() + (ok ? relay->config.poll_ms : PAUSE_MS);
}

static void settle(struct relay *relay, int64_t *pull_ms, int64_t *settle_ms)
{
    struct err err;
    bool gave_back = false;
    *settle_ms = 0;
    if (handed_due_ms(&relay->handed) > clock_mono_ms())
        return;
    if (!handed_settle(&relay->handed, relay->pg, &gave_back, &err)) {
        note_failure(relay, &err);
        *settle_ms = clock_mono_ms() + PAUSE_MS;
    }
    if (gave_back)
        *pull_ms = 0;
}

/* What was sent and is not reported yet: its report comes, or the message is given up. */
static void finish_handed(struct relay *relay)
{
    struct err err;
    bool gave_back;
    while (kafka_open(relay->producer))
        kafka_push(relay->producer, PUSH_MS);
    if (!handed_settle(&relay->handed, relay->pg, &gave_back, &err))
        log_line(LOG_WARN, "relay.left_over", LOG_STR("schema", relay->config.schema), LOG_ERR(&err));
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void *run(void *argument)
{
    struct relay *relay = argument;
    int64_t pull_ms = 0, settle_ms = 0; /* when to do which next */
    warm_up(relay);
    while (!atomic_load(&relay->stopping)) {
        struct err err;
        if (!renew_producer(relay, &err)) {
            note_failure(relay, &err);
            wake_wait(relay->wake_fd, PAUSE_MS);
            continue;
        }
        kafka_push(relay->producer, PUSH_MS);
        if (settle_ms <= clock_mono_ms())
            settle(relay, &pull_ms, &settle_ms);
        if (pull_ms <= clock_mono_ms())
            pull(relay, &pull_ms);
        int64_t due_ms = settle_ms ? settle_ms : handed_due_ms(&relay->handed);
        if (kafka_open(relay->producer)) /* more than kafka_push waited for: it goes on */
            due_ms = 0;
        if (sleep_until(relay, earlier(pull_ms, due_ms)))
            pull_ms = relay->failing ? pull_ms : 0;
    }
    if (relay->producer)
        finish_handed(relay);
    return NULL;
}

static void free_parts(struct relay *relay)
{
    kafka_producer_free(relay->producer); /* its last reports go to `handed` */
    handed_free(&relay->handed);
    pthread_rwlock_destroy(&relay->producer_lock);
    pg_free(relay->pg);
    arena_free(&relay->arena);
    close(relay->wake_fd);
    free(relay);
}

struct relay *relay_start(const struct relay_config *config, struct err *err)
{
    struct relay *relay = mem_alloc(sizeof *relay);
    relay->config = *config;
    relay->config.poll_ms = config->poll_ms ? config->poll_ms : IDLE_POLL_MS;
    relay->limit = ROWS_MAX;
    relay->wake_fd = wake_new();
    handed_init(&relay->handed);
    pthread_rwlock_init(&relay->producer_lock, NULL);
    relay->pg = pg_new(config->database_url, config->schema, config->name, PG_HOT);
    if (renew_producer(relay, err)) {
        if (pthread_create(&relay->thread, NULL, run, relay) == 0)
            return relay;
        err_set(err, ERR_FATAL, "no thread for the relay");
    }
    free_parts(relay);
    return NULL;
}

void relay_wake(struct relay *relay)
{
    wake_ring(relay->wake_fd);
}

void relay_stop(struct relay *relay)
{
    if (!relay || atomic_exchange(&relay->stopping, true))
        return;
    relay_wake(relay);
    pthread_join(relay->thread, NULL);
}

void relay_free(struct relay *relay)
{
    if (!relay)
        return;
    relay_stop(relay);
    free_parts(relay);
}

void relay_stats(struct relay *relay, struct relay_stats *stats)
{
    *stats = (struct relay_stats){atomic_load(&relay->published), atomic_load(&relay->dead), atomic_load(&relay->failed),
                                  atomic_load(&relay->healthy)};
}
