/* Loading and saving sagas in batches: one round trip each, whatever the number of sagas. Nothing is locked in between:
 * the rows of history, written first and in the order of the sagas' ids, are the locks. Until the commit nothing has
 * happened; after it the state, its history and its outbox rows are there together. */
#include <string.h>

#include "base/clock.h"
#include "entities.h"

#define STEP_COLUMNS 12
#define ENTRIES_MAX (64u * 1024 * 1024)

/* clang-format off */
/* A saga and its steps as of one moment. */
static const struct pg_statement begin_snapshot = {"begin_snapshot", "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"};
static const struct pg_statement server_start = {
    "server_start", "SELECT (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint"};
static const struct pg_statement saga_load = {
    "saga_load",
    "SELECT id, definition, version, state, cancelled, input, created_at, ended_at, deadline_at, wake_at, idempotency_key,"
    " traceparent, paused, start_at, key, labels::text, parent_id, parent_step, parent_order, parent_round, clock, (SELECT coalesce(max(seq), 0) FROM history WHERE saga_id = id) FROM saga WHERE id = ANY($1) ORDER BY id"};
static const struct pg_statement step_load = {
    "step_load",
    "SELECT saga_id, position, state, round, attempt, paused, due_at, command_id, output, error, waived, probing"
    " FROM step WHERE saga_id = ANY($1) ORDER BY saga_id"};
static const struct pg_statement saga_insert = {
    "saga_insert",
    "INSERT INTO saga (id, namespace, definition, version, state, cancelled, idempotency_key, input, created_at, ended_at,"
    "                  deadline_at, wake_at, traceparent, start_at, key, labels, parent_id, parent_step, parent_order,"
    "                  parent_round, clock)"
    " SELECT id, $1, definition, version, state, cancelled, ikey, input, created_at, ended_at, deadline_at, wake_at, trace, start_at,"
    "        key, labels::jsonb, parent_id, parent_step, parent_order, parent_round, clock"
    " FROM unnest($2::uuid[], $3::text[], $4::int[], $5::text[], $6::bool[], $7::text[], $8::json[],"
    "             $9::timestamptz[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[], $13::text[],"
    "             $14::timestamptz[], $15::text[], $16::text[], $17::uuid[], $18::text[], $19::text[], $20::int[],"
    "             $21::json[])"
    " AS t(id, definition, version, state, cancelled, ikey, input, created_at, ended_at, deadline_at, wake_at, trace, start_at, key, labels,"
    "      parent_id, parent_step, parent_order, parent_round, clock)"};
static const struct pg_statement saga_update = {
    "saga_update",
    "UPDATE saga SET state = t.state, cancelled = t.cancelled, ended_at = t.ended_at, wake_at = t.wake_at, paused = t.paused,"
    " deadline_at = t.deadline_at, parent_order = t.parent_order, parent_round = t.parent_round,"
    " clock = t.clock"
    " FROM unnest($1::uuid[], $2::text[], $3::bool[], $4::timestamptz[], $5::timestamptz[], $6::bool[], $7::timestamptz[], $8::text[],"
    "             $9::int[], $10::json[])"
    " AS t(id, state, cancelled, ended_at, wake_at, paused, deadline_at, parent_order, parent_round, clock) WHERE saga.id = t.id"};
static const struct pg_statement step_insert = {
    "step_insert",
    "INSERT INTO step (saga_id, position, state, round, attempt, paused, due_at, command_id, output, error, waived,"
    "                  probing)"
    " SELECT * FROM unnest($1::uuid[], $2::int[], $3::text[], $4::int[], $5::int[], $6::bool[], $7::timestamptz[],"
    "                      $8::uuid[], $9::json[], $10::json[], $11::bool[], $12::bool[])"};
static const struct pg_statement step_update = {
    "step_update",
    "UPDATE step SET state = t.state, round = t.round, attempt = t.attempt, paused = t.paused, due_at = t.due_at,"
    " command_id = t.command_id, output = t.output, error = t.error, waived = t.waived, probing = t.probing,"
    " command_xid = CASE WHEN step.command_id = t.command_id THEN step.command_xid ELSE pg_current_xact_id() END"
    " FROM unnest($1::uuid[], $2::int[], $3::text[], $4::int[], $5::int[], $6::bool[], $7::timestamptz[], $8::uuid[],"
    "             $9::json[], $10::json[], $11::bool[], $12::bool[])"
    " AS t(saga_id, position, state, round, attempt, paused, due_at, command_id, output, error, waived, probing)"
    " WHERE step.saga_id = t.saga_id AND step.position = t.position"};
static const struct pg_statement history_insert = {
    "history_insert",
    "INSERT INTO history (saga_id, seq, entries) SELECT * FROM unnest($1::uuid[], $2::bigint[], $3::json[])"};
static const struct pg_statement touch_insert = {
    "touch_insert",
    "INSERT INTO entity_touch (namespace, key, saga_id, step, kind, service, number)"
    " SELECT $1, key, saga_id, step, kind, service, number"
    " FROM unnest($2::text[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::bigint[])"
    " AS t(key, saga_id, step, kind, service, number) ON CONFLICT DO NOTHING"};
static const struct pg_statement outbox_insert = {
    "outbox_insert",
    "INSERT INTO outbox (id, topic, key, headers, value, leased_until)"
    " SELECT t.*, CASE WHEN $6 > 0 THEN now() + $6 * interval '1 ms' END"
    " FROM unnest($1::uuid[], $2::text[], $3::text[], $4::json[], $5::text[]) AS t RETURNING ctid"};
static const struct pg_statement saga_due = {
    "saga_due", "SELECT id, wake_at FROM saga WHERE wake_at IS NOT NULL ORDER BY wake_at LIMIT $1"};
static const struct pg_statement command_waits = {
    "command_waits",
    "SELECT t.n FROM unnest($1::uuid[], $2::int[]) WITH ORDINALITY AS t(saga_id, position, n)"
    " JOIN step ON step.saga_id = t.saga_id AND step.position = t.position"
    " JOIN outbox ON outbox.xid = step.command_xid AND outbox.id = step.command_id"};
static const struct pg_statement command_withdraw = {
    "command_withdraw",
    "WITH mine AS (SELECT t.n, outbox.ctid FROM unnest($1::uuid[], $2::int[]) WITH ORDINALITY AS t(saga_id, position, n)"
    "  JOIN step ON step.saga_id = t.saga_id AND step.position = t.position"
    "  JOIN outbox ON outbox.xid = step.command_xid AND outbox.id = step.command_id"
    "  WHERE outbox.leased_until IS NULL FOR UPDATE OF outbox SKIP LOCKED),"
    " gone AS (DELETE FROM outbox USING mine WHERE outbox.ctid = mine.ctid RETURNING mine.n) SELECT n FROM gone"};
/* clang-format on */

/* ---- loading ---- */

static const char *keep_text(struct arena *arena, const struct pg_rows *rows, size_t row, int column, size_t *len)
{
    size_t n;
    const char *text = pg_get_text(rows, row, column, &n);
    if (len)
        *len = text ? n : 0;
    return text ? arena_strndup(arena, text, n) : NULL;
}

static bool read_saga(struct arena *arena, const struct pg_rows *rows, size_t row, const struct definition *definition,
                      struct saga *saga, struct err *err)
{
    *saga = (struct saga){.id = pg_get_uuid(rows, row, 0),
                          .definition = definition,
                          .cancelled = pg_get_bool(rows, row, 4),
                          .created_ms = pg_get_time(rows, row, 6),
                          .ended_ms = pg_get_time(rows, row, 7),
                          .deadline_ms = pg_get_time(rows, row, 8),
                          .wake_ms = pg_get_time(rows, row, 9),
                          .paused = pg_get_bool(rows, row, 12),
                          .start_ms = pg_get_time(rows, row, 13),
                          .parent_id = pg_get_uuid(rows, row, 16),
                          .parent_round = (int)pg_get_int(rows, row, 19),
                          .version = pg_get_int(rows, row, 21)};
    saga->input = keep_text(arena, rows, row, 5, &saga->input_len);
    saga->idempotency_key = keep_text(arena, rows, row, 10, NULL);
    saga->traceparent = keep_text(arena, rows, row, 11, NULL);
    saga->key = keep_text(arena, rows, row, 14, NULL);
    saga->labels = keep_text(arena, rows, row, 15, NULL);
    saga->parent_step = keep_text(arena, rows, row, 17, NULL);
    saga->clock = keep_text(arena, rows, row, 20, NULL);
    saga->steps = arena_array(arena, definition->steps_n, sizeof *saga->steps);
    if (!parent_order_parse(pg_get_text(rows, row, 18, NULL), &saga->order))
        return err_set(err, ERR_REFUSED, "a saga has the unknown order '%s'", pg_get_text(rows, row, 18, NULL));
    if (saga_state_parse(pg_get_text(rows, row, 3, NULL), &saga->state))
        return true;
    return err_set(err, ERR_REFUSED, "a saga has the unknown state '%s'", pg_get_text(rows, row, 3, NULL));
}

static bool read_sagas(struct pg *pg, struct arena *arena, struct catalog *catalog, const struct pg_rows *rows,
                       struct saga *sagas, struct err *err)
{
    for (size_t i = 0; i < pg_rows_count(rows); i++) {
        const struct definition *definition =
            catalog_get(catalog, pg, pg_get_text(rows, i, 1, NULL), (int)pg_get_int(rows, i, 2), err);
        if (!definition || !read_saga(arena, rows, i, definition, &sagas[i], err))
            return false;
    }
    return true;
}

static bool read_step(struct arena *arena, const struct pg_rows *rows, size_t row, struct saga *saga, struct err *err)
{
    int64_t position = pg_get_int(rows, row, 1);
    if (position < 0 || (size_t)position >= saga->definition->steps_n)
        return err_set(err, ERR_REFUSED, "a saga has a step that its definition has not");
    struct saga_step *step = &saga->steps[position];
    step->round = (int)pg_get_int(rows, row, 3);
    step->attempt = (int)pg_get_int(rows, row, 4);
    step->paused = pg_get_bool(rows, row, 5);
    step->due_ms = pg_get_time(rows, row, 6);
    step->command_id = pg_get_uuid(rows, row, 7);
    step->output = keep_text(arena, rows, row, 8, &step->output_len);
    step->error = keep_text(arena, rows, row, 9, NULL);
    step->waived = pg_get_bool(rows, row, 10);
    step->probing = pg_get_bool(rows, row, 11);
    step->stored = true;
    if (step_state_parse(pg_get_text(rows, row, 2, NULL), &step->state))
        return true;
    return err_set(err, ERR_REFUSED, "a step has the unknown state '%s'", pg_get_text(rows, row, 2, NULL));
}

/* Both lists are in the order of the sagas' ids. */
static bool read_steps(struct arena *arena, const struct pg_rows *rows, struct saga *sagas, size_t n, struct err *err)
{
    size_t at = 0;
    for (size_t row = 0; row < pg_rows_count(rows); row++) {
        struct uuid id = pg_get_uuid(rows, row, 0);
        while (at < n && uuid_compare(&sagas[at].id, &id) < 0)
            at++;
        if (at < n && uuid_equal(&sagas[at].id, &id) && !read_step(arena, rows, row, &sagas[at], err))
            return false;
    }
    return true;
}

bool store_server(struct pg *pg, int64_t *server, struct err *err)
{
    struct pg_rows *rows = NULL;
    if (!pg_call(pg, &server_start, NULL, &rows, err))
        return false;
    *server = pg_get_int(rows, 0, 0);
    pg_rows_free(rows);
    return true;
}

bool store_load(struct pg *pg, struct arena *arena, struct catalog *catalog, const struct uuid *ids, size_t n,
                struct saga **sagas, size_t *sagas_n, struct err *err)
{
    struct pg_params params = {0};
    struct pg_column *column = pg_param_array(&params, PG_UUID);
    for (size_t i = 0; i < n; i++)
        pg_add_uuid(column, &ids[i]);
    struct pg_call calls[] = {{&begin_snapshot, NULL, NULL}, {&saga_load, &params, NULL}, {&step_load, &params, NULL},
                              {&PG_COMMIT, NULL, NULL}};
    bool ok = pg_run(pg, calls, 4, err);
    pg_params_free(&params);
    if (!ok)
        return false;
    size_t found = pg_rows_count(calls[1].rows);
    struct saga *all = arena_array(arena, found, sizeof *all);
    ok = read_sagas(pg, arena, catalog, calls[1].rows, all, err) &&
         read_steps(arena, calls[2].rows, all, found, err);
    for (size_t i = 0; i < 4; i++)
        pg_rows_free(calls[i].rows);
    if (!ok)
        return false;
    *sagas = all;
    *sagas_n = found;
    return true;
}

/* ---- saving ---- */

static size_t fill_saga_insert(struct pg_params *params, const struct store_change *changes, size_t n)
{
    static const enum pg_type types[] = {PG_UUID, PG_TEXT, PG_INT4, PG_TEXT, PG_BOOL, PG_TEXT,
                                         PG_JSON, PG_TIME, PG_TIME, PG_TIME, PG_TIME, PG_TEXT, PG_TIME, PG_TEXT, PG_TEXT,
                                         PG_UUID, PG_TEXT, PG_TEXT, PG_INT4, PG_JSON};
    struct pg_column *c[20];
    size_t rows = 0;
    pg_param_text(params, PG_TEXT, STORE_NAMESPACE);
    for (size_t i = 0; i < 20; i++)
        c[i] = pg_param_array(params, types[i]);
    for (size_t i = 0; i < n; i++) {
        const struct saga *saga = changes[i].saga;
        if (!changes[i].is_new)
            continue;
        pg_add_uuid(c[0], &saga->id);
        pg_add_text(c[1], saga->definition->name);
        pg_add_int(c[2], saga->definition->version);
        pg_add_text(c[3], saga_state_name(saga->state));
        pg_add_int(c[4], saga->cancelled);
        pg_add_text(c[5], saga->idempotency_key);
        pg_add_bytes(c[6], saga->input, saga->input_len);
        pg_add_time(c[7], saga->created_ms);
        pg_add_time(c[8], saga->ended_ms);
        pg_add_time(c[9], saga->deadline_ms);
        pg_add_time(c[10], saga->wake_ms);
        pg_add_text(c[11], saga->traceparent);
        pg_add_time(c[12], saga->start_ms);
        pg_add_text(c[13], saga->key);
        pg_add_text(c[14], saga->labels);
        if (saga->order != ORDER_NONE)
            pg_add_uuid(c[15], &saga->parent_id);
        else
            pg_add_null(c[15]);
        pg_add_text(c[16], saga->parent_step);
        pg_add_text(c[17], parent_order_name(saga->order));
        pg_add_int(c[18], saga->parent_round);
        pg_add_text(c[19], saga->clock);
        rows++;
    }
    return rows;
}

static size_t fill_saga_update(struct pg_params *params, const struct store_change *changes, size_t n)
{
    static const enum pg_type types[] = {PG_UUID, PG_TEXT, PG_BOOL, PG_TIME, PG_TIME, PG_BOOL, PG_TIME, PG_TEXT, PG_INT4, PG_JSON};
    struct pg_column *c[10];
    size_t rows = 0;
    for (size_t i = 0; i < 10; i++)
        c[i] = pg_param_array(params, types[i]);
    for (size_t i = 0; i < n; i++) {
        const struct saga *saga = changes[i].saga;
        if (changes[i].is_new || !saga->changed)
            continue;
        pg_add_uuid(c[0], &saga->id);
        pg_add_text(c[1], saga_state_name(saga->state));
        pg_add_int(c[2], saga->cancelled);
        pg_add_time(c[3], saga->ended_ms);
        pg_add_time(c[4], saga->wake_ms);
        pg_add_int(c[5], saga->paused);
        pg_add_time(c[6], saga->deadline_ms);
        pg_add_text(c[7], parent_order_name(saga->order));
        pg_add_int(c[8], saga->parent_round);
        pg_add_text(c[9], saga->clock);
        rows++;
    }
    return rows;
}

static void add_step(struct pg_column **c, const struct saga *saga, size_t position)
{
    const struct saga_step *step = &saga->steps[position];
    pg_add_uuid(c[0], &saga->id);
    pg_add_int(c[1], (int64_t)position);
    pg_add_text(c[2], step_state_name(step->state));
    pg_add_int(c[3], step->round);
    pg_add_int(c[4], step->attempt);
    pg_add_int(c[5], step->paused);
    pg_add_time(c[6], step->due_ms);
    pg_add_uuid(c[7], &step->command_id);
    if (step->output)
        pg_add_bytes(c[8], step->output, step->output_len);
    else
        pg_add_null(c[8]);
    pg_add_text(c[9], step->error);
    pg_add_int(c[10], step->waived);
    pg_add_int(c[11], step->probing);
}

static size_t fill_steps(struct pg_params *params, const struct store_change *changes, size_t n, bool stored)
{
    static const enum pg_type types[] = {PG_UUID, PG_INT4, PG_TEXT, PG_INT4, PG_INT4,
                                         PG_BOOL, PG_TIME, PG_UUID, PG_JSON, PG_JSON, PG_BOOL, PG_BOOL};
    struct pg_column *c[STEP_COLUMNS];
    size_t rows = 0;
    for (size_t i = 0; i < STEP_COLUMNS; i++)
        c[i] = pg_param_array(params, types[i]);
    for (size_t i = 0; i < n; i++) {
        const struct saga *saga = changes[i].saga;
        for (size_t k = 0; k < saga->definition->steps_n; k++) {
            if (!saga->steps[k].changed || saga->steps[k].stored != stored)
                continue;
            add_step(c, saga, k);
            rows++;
        }
    }
    return rows;
}

/* Event and step are names, which need no escaping. */
static void add_entry(struct buf *out, const struct saga *saga, const struct history_entry *entry)
{
    char time[CLOCK_TEXT_MAX];
    buf_str(out, out->len > 1 ? ",{\"at\":\"" : "{\"at\":\"");
    buf_str(out, clock_format(entry->at_ms, time));
    buf_str(out, "\",\"event\":\"");
    buf_str(out, entry->event);
    buf_char(out, '"');
    if (entry->step >= 0) {
        buf_str(out, ",\"step\":\"");
        buf_str(out, saga->definition->steps[entry->step].name);
        buf_char(out, '"');
    }
    if (entry->attempt)
        buf_printf(out, ",\"attempt\":%d", entry->attempt);
    if (entry->detail) {
        buf_str(out, ",\"detail\":");
        buf_str(out, entry->detail);
    }
    buf_char(out, '}');
}

/* A row for every change, also for one that has nothing to tell: it is the saga's next version. */
static void fill_history(struct pg_params *params, const struct store_change *changes, size_t n)
{
    struct pg_column *ids = pg_param_array(params, PG_UUID);
    struct pg_column *seqs = pg_param_array(params, PG_INT8);
    struct pg_column *texts = pg_param_array(params, PG_JSON);
    struct buf text = buf_new(ENTRIES_MAX);
    for (size_t i = 0; i < n; i++) {
        buf_reset(&text);
        buf_char(&text, '[');
        for (const struct history_entry *entry = changes[i].history; entry; entry = entry->next)
            add_entry(&text, changes[i].saga, entry);
        buf_char(&text, ']');
        pg_add_uuid(ids, &changes[i].saga->id);
        pg_add_int(seqs, changes[i].saga->version + 1);
        pg_add_bytes(texts, buf_text(&text), text.len);
    }
    buf_free(&text);
}

static size_t fill_touches(struct pg_params *params, const struct store_change *changes, size_t n)
{
    pg_param_text(params, PG_TEXT, STORE_NAMESPACE);
    struct pg_column *keys = pg_param_array(params, PG_TEXT), *ids = pg_param_array(params, PG_UUID);
    struct pg_column *steps = pg_param_array(params, PG_TEXT), *kinds = pg_param_array(params, PG_TEXT);
    struct pg_column *services = pg_param_array(params, PG_TEXT), *numbers = pg_param_array(params, PG_INT8);
    size_t rows = 0;
    for (size_t i = 0; i < n; i++) {
        const struct saga *saga = changes[i].saga;
        for (const struct touch *touch = changes[i].touches; touch; touch = touch->next, rows++) {
            pg_add_text(keys, touch->entity);
            pg_add_uuid(ids, &saga->id);
            pg_add_text(steps, saga->definition->steps[touch->step].name);
            pg_add_text(kinds, command_kind_name(touch->kind));
            pg_add_text(services, saga->definition->steps[touch->step].service);
            pg_add_int(numbers, touch->number);
        }
    }
    return rows;
}

struct outbox_columns {
    struct pg_column *id, *topic, *key, *headers, *value;
};

static struct outbox_columns open_outbox(struct pg_params *params)
{
    struct outbox_columns c;
    c.id = pg_param_array(params, PG_UUID);
    c.topic = pg_param_array(params, PG_TEXT);
    c.key = pg_param_array(params, PG_TEXT);
    c.headers = pg_param_array(params, PG_JSON);
    c.value = pg_param_array(params, PG_TEXT);
    return c;
}

static size_t add_messages(const struct outbox_columns *c, const struct store_message *messages)
{
    size_t rows = 0;
    for (const struct store_message *message = messages; message; message = message->next, rows++) {
        pg_add_uuid(c->id, &message->id);
        pg_add_text(c->topic, message->topic);
        pg_add_text(c->key, message->key);
        pg_add_text(c->headers, message->headers);
        if (message->value)
            pg_add_bytes(c->value, message->value, message->value_len);
        else
            pg_add_null(c->value);
    }
    return rows;
}

static size_t fill_outbox(struct pg_params *params, const struct store_change *changes, size_t n, int64_t lease_ms)
{
    struct outbox_columns columns = open_outbox(params);
    size_t rows = 0;
    for (size_t i = 0; i < n; i++)
        rows += add_messages(&columns, changes[i].messages);
    pg_param_int(params, PG_INT8, lease_ms);
    return rows;
}

/* The rows come back in the order in which they were given. */
static void note_places(const struct pg_rows *rows, struct store_change *changes, size_t n)
{
    size_t row = 0;
    for (size_t i = 0; i < n; i++) {
        for (struct store_message *message = changes[i].messages; message; message = message->next)
            message->tid = pg_get_tid(rows, row++, 0);
    }
}

bool store_put_messages(struct pg *pg, const struct store_message *messages, struct err *err)
{
    struct pg_params params = {0};
    struct outbox_columns columns = open_outbox(&params);
    add_messages(&columns, messages);
    pg_param_int(&params, PG_INT8, 0);
    bool ok = pg_call(pg, &outbox_insert, &params, NULL, err);
    pg_params_free(&params);
    return ok;
}

static bool any_new(const struct store_change *changes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (changes[i].is_new)
            return true;
    }
    return false;
}

static void note_saved(struct store_change *changes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct saga *saga = changes[i].saga;
        saga->version++;
        saga->changed = false;
        for (size_t k = 0; k < saga->definition->steps_n; k++) {
            saga->steps[k].stored = saga->steps[k].stored || saga->steps[k].changed;
            saga->steps[k].changed = false;
        }
    }
}

#define WRITES_MAX 10
struct writer {
    struct pg_params params[WRITES_MAX];
    struct pg_call calls[WRITES_MAX + 1];
    size_t calls_n;
};

static void add_call(struct writer *w, const struct pg_statement *statement, const struct pg_params *params, size_t rows)
{
    if (rows)
        w->calls[w->calls_n++] = (struct pg_call){statement, params, NULL};
}

bool store_save(struct pg *pg, struct store_change *changes, size_t n, struct store_terms *terms, struct err *err)
{
    struct writer w = {0};
    if (terms->begun && !pg_in_transaction(pg)) /* what was done in it is undone */
        return err_set(err, ERR_RETRY, "PostgreSQL: the transaction was lost");
    if (!n)
        return !terms->begun || pg_call(pg, &PG_COMMIT, NULL, NULL, err);
    add_call(&w, &entity_lock, &w.params[6], fill_entity_lock(&w.params[6], changes, n));
    fill_history(&w.params[0], changes, n);
    add_call(&w, &history_insert, &w.params[0], n);
    add_call(&w, &saga_insert, &w.params[1], fill_saga_insert(&w.params[1], changes, n));
    add_call(&w, &saga_update, &w.params[2], fill_saga_update(&w.params[2], changes, n));
    add_call(&w, &entity_release, &w.params[7], fill_entity_release(&w.params[7], changes, n));
    size_t released = fill_entity_wake(&w.params[8], changes, n), wake_at = w.calls_n;
    add_call(&w, &entity_wake, &w.params[8], released);
    add_call(&w, &step_insert, &w.params[3], fill_steps(&w.params[3], changes, n, false));
    add_call(&w, &step_update, &w.params[4], fill_steps(&w.params[4], changes, n, true));
    add_call(&w, &touch_insert, &w.params[9], fill_touches(&w.params[9], changes, n));
    size_t messages = fill_outbox(&w.params[5], changes, n, terms->lease_ms), outbox_at = w.calls_n;
    add_call(&w, &outbox_insert, &w.params[5], messages);
    if (terms->begun)
        w.calls[w.calls_n++] = (struct pg_call){&PG_COMMIT, NULL, NULL};
    bool ok = pg_run(pg, w.calls, w.calls_n, err);
    if (ok && messages)
        note_places(w.calls[outbox_at].rows, changes, n);
    terms->woke = ok && released && pg_rows_count(w.calls[wake_at].rows) > 0;
    for (size_t i = 0; i < w.calls_n && ok; i++)
        pg_rows_free(w.calls[i].rows);
    for (size_t i = 0; i < WRITES_MAX; i++)
        pg_params_free(&w.params[i]);
    if (ok)
        note_saved(changes, n);
    else if (store_is_stale(err) && !any_new(changes, n))
        err->kind = ERR_RETRY;
    return ok;
}

bool store_is_stale(const struct err *err)
{
    return strcmp(err->code, STORE_STALE) == 0;
}

/* ---- timers ---- */

bool store_due(struct pg *pg, int64_t now_ms, struct uuid *ids, size_t limit, size_t *n, int64_t *next_ms,
               struct err *err)
{
    struct pg_params params = {0};
    struct pg_rows *rows = NULL;
    pg_param_int(&params, PG_INT8, (int64_t)limit + 1);
    bool ok = pg_call(pg, &saga_due, &params, &rows, err);
    pg_params_free(&params);
    if (!ok)
        return false;
    size_t found = 0;
    *next_ms = 0;
    for (size_t i = 0; i < pg_rows_count(rows) && !*next_ms; i++) {
        int64_t wake_ms = pg_get_time(rows, i, 1);
        if (wake_ms > now_ms || found == limit)
            *next_ms = wake_ms;
        else
            ids[found++] = pg_get_uuid(rows, i, 0);
    }
    *n = found;
    pg_rows_free(rows);
    return true;
}

/* For which of the pairs the last of the calls returns their number. */
static bool find_pairs(struct pg *pg, struct pg_call *calls, size_t calls_n, const struct uuid *saga_ids,
                       const int *positions, size_t n, bool *found, struct err *err)
{
    struct pg_params params = {0};
    struct pg_column *ids = pg_param_array(&params, PG_UUID), *steps = pg_param_array(&params, PG_INT4);
    for (size_t i = 0; i < n; i++) {
        pg_add_uuid(ids, &saga_ids[i]);
        pg_add_int(steps, positions[i]);
        found[i] = false;
    }
    calls[calls_n - 1].params = &params;
    bool ok = pg_run(pg, calls, calls_n, err);
    pg_params_free(&params);
    const struct pg_rows *rows = calls[calls_n - 1].rows;
    for (size_t i = 0; ok && i < pg_rows_count(rows); i++)
        found[pg_get_int(rows, i, 0) - 1] = true;
    for (size_t i = 0; i < calls_n; i++)
        pg_rows_free(calls[i].rows);
    return ok;
}

bool store_unreleased(struct pg *pg, const struct uuid *saga_ids, const int *positions, size_t n, bool *unreleased,
                      struct err *err)
{
    struct pg_call calls[] = {{&command_waits, NULL, NULL}};
    return find_pairs(pg, calls, 1, saga_ids, positions, n, unreleased, err);
}

bool store_withdraw(struct pg *pg, const struct uuid *saga_ids, const int *positions, size_t n, bool *withdrawn,
                    struct err *err)
{
    struct pg_call calls[] = {{&PG_BEGIN, NULL, NULL}, {&command_withdraw, NULL, NULL}};
    size_t begun = pg_in_transaction(pg) ? 1 : 0;
    return find_pairs(pg, calls + begun, 2 - begun, saga_ids, positions, n, withdrawn, err);
}
