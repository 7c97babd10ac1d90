/* The inbox. Claim, effect, verdict and reply are one transaction: a crash anywhere leaves either all of them or none,
 * and then the command comes again. */
#include <string.h>

#include "base/clock.h"
#include "task.h"

/* clang-format off */
/* A recorded `failed` would be reopened by a higher round, so it becomes a fence as well. */
static const struct pg_statement inbox_fence = {
    "inbox_fence",
    "INSERT INTO inbox (namespace, saga_id, step, kind, round, verdict)"
    " SELECT namespace, saga_id, step, 'action', 2147483647, 'refused'"
    " FROM unnest($1::text[], $2::uuid[], $3::text[]) AS t(namespace, saga_id, step)"
    " ORDER BY namespace, saga_id, step ON CONFLICT (namespace, saga_id, step, kind)"
    " DO UPDATE SET round = excluded.round, verdict = excluded.verdict WHERE inbox.verdict = 'failed'"};
static const struct pg_statement inbox_insert = {
    "inbox_insert",
    "INSERT INTO inbox (namespace, saga_id, step, kind, round)"
    " SELECT namespace, saga_id, step, kind, round"
    " FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::int[]) AS t(namespace, saga_id, step, kind, round)"
    " ORDER BY namespace, saga_id, step, kind ON CONFLICT DO NOTHING"};
static const struct pg_statement inbox_read = {
    "inbox_read",
    "SELECT t.n, i.kind, i.round, i.verdict, i.reply, i.clock"
    " FROM unnest($1::text[], $2::uuid[], $3::text[]) WITH ORDINALITY AS t(namespace, saga_id, step, n)"
    " JOIN inbox i ON i.namespace = t.namespace AND i.saga_id = t.saga_id AND i.step = t.step FOR UPDATE OF i"};
static const struct pg_statement inbox_record = {
    "inbox_record",
    "UPDATE inbox SET round = t.round, verdict = t.verdict, reply = t.reply, clock = t.clock, recorded_at = now()"
    " FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::int[], $6::text[], $7::text[], $8::text[])"
    " AS t(namespace, saga_id, step, kind, round, verdict, reply, clock)"
    " WHERE inbox.namespace = t.namespace AND inbox.saga_id = t.saga_id AND inbox.step = t.step AND inbox.kind = t.kind"};
static const struct pg_statement inbox_drop = {
    "inbox_drop",
    "DELETE FROM inbox USING unnest($1::text[], $2::uuid[], $3::text[], $4::text[]) AS t(namespace, saga_id, step, kind)"
    " WHERE inbox.namespace = t.namespace AND inbox.saga_id = t.saga_id AND inbox.step = t.step AND inbox.kind = t.kind"
    " AND inbox.verdict IS NULL"};
static const struct pg_statement replies_insert = {
    "replies_insert",
    "INSERT INTO outbox (id, topic, key, headers, value)"
    " SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::json[], $5::text[])"};
/* clang-format on */

struct keys {
    struct pg_column *namespace_, *saga_id, *step;
};

static struct keys open_keys(struct pg_params *params)
{
    struct keys keys;
    keys.namespace_ = pg_param_array(params, PG_TEXT);
    keys.saga_id = pg_param_array(params, PG_UUID);
    keys.step = pg_param_array(params, PG_TEXT);
    return keys;
}

static void add_key(struct keys *keys, const struct wire_about *about)
{
    pg_add_text(keys->namespace_, about->namespace_);
    pg_add_uuid(keys->saga_id, &about->saga_id);
    pg_add_text(keys->step, about->step);
}

bool task_is_action(const struct task *task)
{
    return strcmp(task->command.about.kind, "action") == 0;
}

bool task_is_probe(const struct task *task)
{
    return strcmp(task->command.about.kind, "probe") == 0;
}

struct claim {
    struct pg_params fence, insert, read;
    size_t compensations;
};

static void fill_claim(struct claim *claim, const struct task *tasks, size_t n)
{
    struct keys fence = open_keys(&claim->fence), insert = open_keys(&claim->insert), read = open_keys(&claim->read);
    struct pg_column *kinds = pg_param_array(&claim->insert, PG_TEXT), *rounds = pg_param_array(&claim->insert, PG_INT4);
    for (size_t i = 0; i < n; i++) {
        const struct wire_about *about = &tasks[i].command.about;
        add_key(&read, about); /* twins too, so that places in the answer are places in the batch */
        if (tasks[i].twin >= 0 || task_is_probe(&tasks[i]))
            continue;
        add_key(&insert, about);
        pg_add_text(kinds, about->kind);
        pg_add_int(rounds, about->round);
        if (!task_is_action(&tasks[i])) {
            add_key(&fence, about);
            claim->compensations++;
        }
    }
}

/* The rows of one (saga, step): of its action and of its compensation. */
struct found {
    int round;
    const char *verdict, *reply, *clock;
};

static void repeat(struct task *task, const struct found *record)
{
    task->way = WAY_REPEAT;
    task->body = record->reply;
    task->body_len = record->reply ? strlen(record->reply) : 0;
    task->clock = record->clock;
}

/* An action that another transaction is at is not seen either: sent again, it waits for that one's key. */
static void decide_probe(struct task *task, const struct found *action)
{
    task->way = WAY_NOT_SEEN;
    if (!action->verdict || task->command.about.round > action->round)
        return;
    if (strcmp(action->verdict, "refused") == 0)
        task->way = WAY_FENCED;
    else
        repeat(task, action);
}

static void decide(struct task *task, const struct found *action, const struct found *compensation)
{
    const struct found *own = task_is_action(task) ? action : compensation;
    const char *verdict = own->verdict;
    task->way = WAY_RUN;
    if (!verdict) { /* the row is this transaction's own */
        if (!task_is_action(task) && (!action->verdict || strcmp(action->verdict, "succeeded") != 0))
            task->way = WAY_NOT_NEEDED;
        return;
    }
    if (strcmp(verdict, "refused") == 0) {
        task->way = WAY_FENCED;
        return;
    }
    if (strcmp(verdict, "failed") == 0 && task->command.about.round > own->round) {
        task->reopened = true;
        return;
    }
    repeat(task, own);
}

static void read_rows(struct arena *arena, const struct pg_rows *rows, struct task *tasks, size_t n)
{
    struct found(*found)[2] = arena_array(arena, n, sizeof *found);
    for (size_t row = 0; row < pg_rows_count(rows); row++) {
        size_t at = (size_t)pg_get_int(rows, row, 0) - 1;
        bool action = strcmp(pg_get_text(rows, row, 1, NULL), "action") == 0;
        found[at][action ? 0 : 1] = (struct found){(int)pg_get_int(rows, row, 2),
                                                   arena_strdup(arena, pg_get_text(rows, row, 3, NULL)),
                                                   arena_strdup(arena, pg_get_text(rows, row, 4, NULL)),
                                                   arena_strdup(arena, pg_get_text(rows, row, 5, NULL))};
    }
    for (size_t i = 0; i < n; i++) {
        if (task_is_probe(&tasks[i]))
            decide_probe(&tasks[i], &found[i][0]);
        else if (tasks[i].twin < 0)
            decide(&tasks[i], &found[i][0], &found[i][1]);
    }
}

bool inbox_claim(struct pg *pg, struct arena *arena, struct task *tasks, size_t n, struct err *err)
{
    struct claim claim = {0};
    struct pg_call calls[4];
    size_t calls_n = 0;
    fill_claim(&claim, tasks, n);
    calls[calls_n++] = (struct pg_call){&PG_BEGIN, NULL, NULL};
    if (claim.compensations)
        calls[calls_n++] = (struct pg_call){&inbox_fence, &claim.fence, NULL};
    calls[calls_n++] = (struct pg_call){&inbox_insert, &claim.insert, NULL};
    calls[calls_n++] = (struct pg_call){&inbox_read, &claim.read, NULL};
    bool ok = pg_run(pg, calls, calls_n, err);
    if (ok)
        read_rows(arena, calls[calls_n - 1].rows, tasks, n);
    for (size_t i = 0; ok && i < calls_n; i++)
        pg_rows_free(calls[i].rows);
    pg_params_free(&claim.fence);
    pg_params_free(&claim.insert);
    pg_params_free(&claim.read);
    return ok;
}

static size_t fill_records(struct pg_params *params, const struct task *tasks, size_t n)
{
    struct keys keys = open_keys(params);
    struct pg_column *kinds = pg_param_array(params, PG_TEXT), *rounds = pg_param_array(params, PG_INT4);
    struct pg_column *verdicts = pg_param_array(params, PG_TEXT), *replies = pg_param_array(params, PG_TEXT);
    struct pg_column *clocks = pg_param_array(params, PG_TEXT);
    size_t rows = 0;
    for (size_t i = 0; i < n; i++) {
        if (!tasks[i].verdict)
            continue;
        add_key(&keys, &tasks[i].command.about);
        pg_add_text(kinds, tasks[i].command.about.kind);
        pg_add_int(rounds, tasks[i].command.about.round);
        pg_add_text(verdicts, tasks[i].verdict);
        pg_add_bytes(replies, tasks[i].body, tasks[i].body_len);
        pg_add_text(clocks, tasks[i].clock);
        rows++;
    }
    return rows;
}

static size_t fill_drops(struct pg_params *params, const struct task *tasks, size_t n)
{
    struct keys keys = open_keys(params);
    struct pg_column *kinds = pg_param_array(params, PG_TEXT);
    size_t rows = 0;
    for (size_t i = 0; i < n; i++) {
        const struct task *task = &tasks[i];
        if (task->verdict || task->twin >= 0 || task->reopened || task->way != WAY_RUN)
            continue;
        add_key(&keys, &task->command.about);
        pg_add_text(kinds, task->command.about.kind);
        rows++;
    }
    return rows;
}

static void fill_replies(struct pg_params *params, struct arena *arena, const struct task *tasks, size_t n, const char *topic,
                         const char *service)
{
    struct pg_column *ids = pg_param_array(params, PG_UUID), *topics = pg_param_array(params, PG_TEXT);
    struct pg_column *keys = pg_param_array(params, PG_TEXT), *headers = pg_param_array(params, PG_JSON);
    struct pg_column *values = pg_param_array(params, PG_TEXT);
    struct buf text = buf_new(WIRE_HEADERS_TEXT_MAX);
    int64_t now_ms = clock_real_ms();
    for (size_t i = 0; i < n; i++) {
        struct uuid id = uuid_v7();
        struct wire_message message;
        struct wire_reply reply = {.about = tasks[i].command.about, .traceparent = tasks[i].command.traceparent,
                                   .clock = tasks[i].clock};
        buf_reset(&text);
        wire_reply_message(arena, &reply, &id, service, now_ms, &message);
        wire_headers_text(&text, &message);
        pg_add_uuid(ids, &id);
        pg_add_text(topics, topic);
        pg_add_text(keys, message.key);
        pg_add_text(headers, buf_text(&text));
        pg_add_bytes(values, tasks[i].body, tasks[i].body_len);
    }
    buf_free(&text);
}

bool inbox_finish(struct pg *pg, struct arena *arena, const struct task *tasks, size_t n, const char *reply_topic,
                  const char *service, struct err *err)
{
    struct pg_params records = {0}, drops = {0}, replies = {0};
    struct pg_call calls[4];
    size_t calls_n = 0;
    if (fill_records(&records, tasks, n))
        calls[calls_n++] = (struct pg_call){&inbox_record, &records, NULL};
    if (fill_drops(&drops, tasks, n))
        calls[calls_n++] = (struct pg_call){&inbox_drop, &drops, NULL};
    fill_replies(&replies, arena, tasks, n, reply_topic, service);
    calls[calls_n++] = (struct pg_call){&replies_insert, &replies, NULL};
    calls[calls_n++] = (struct pg_call){&PG_COMMIT, NULL, NULL};
    bool ok = pg_in_transaction(pg) ? pg_run(pg, calls, calls_n, err)
                                    : err_set(err, ERR_RETRY, "PostgreSQL: the transaction was lost");
    for (size_t i = 0; ok && i < calls_n; i++)
        pg_rows_free(calls[i].rows);
    pg_params_free(&records);
    pg_params_free(&drops);
    pg_params_free(&replies);
    return ok;
}

bool inbox_accept(struct pg *pg, struct arena *arena, const struct task *task, const char *reply_topic, const char *service, struct err *err)
{
    struct pg_params params = {0};
    struct task said = *task;
    set_body(arena, &said, "accepted", NULL, NULL);
    said.clock = NULL;
    fill_replies(&params, arena, &said, 1, reply_topic, service);
    bool ok = pg_call(pg, &replies_insert, &params, NULL, err);
    pg_params_free(&params);
    return ok;
}

bool inbox_bury(struct pg *pg, const char *topic, const struct wire_dead_letter *letter, struct err *err)
{
    static const struct pg_statement bury = {
        "bury", "INSERT INTO outbox (id, topic, key, headers, value) VALUES ($1, $2, $3, $4, $5)"};
    struct pg_params params = {0};
    struct uuid id = uuid_v7();
    pg_param_uuid(&params, &id);
    pg_param_text(&params, PG_TEXT, topic);
    pg_param_text(&params, PG_TEXT, letter->key);
    pg_param_text(&params, PG_JSON, letter->headers);
    pg_param_text(&params, PG_TEXT, letter->value);
    bool ok = pg_call(pg, &bury, &params, NULL, err);
    pg_params_free(&params);
    return ok;
}
