/* What the API and the intake ask about sagas. */
#include <string.h>

#include "store/store.h"

#define SAGA_COLUMNS                                                                                                   \
    "id, definition, version, state, cancelled, idempotency_key, input, created_at, ended_at, deadline_at, traceparent,"   \
    " paused, start_at, key, labels::text, parent_id, parent_step"

static const struct pg_statement saga_get = {
    "saga_get", "SELECT " SAGA_COLUMNS ", (SELECT max(seq) FROM history WHERE saga_id = id) FROM saga WHERE id = $1"};
static const struct pg_statement saga_list = {
    "saga_list", "SELECT " SAGA_COLUMNS " FROM saga WHERE id >= $1 AND id < $2 AND ($3::text IS NULL OR state = $3)"
                 " AND ($4::text IS NULL OR definition = $4) ORDER BY id DESC LIMIT $5"};
static const struct pg_statement saga_list_labelled = {
    "saga_list_labelled", "SELECT " SAGA_COLUMNS " FROM saga WHERE id >= $1 AND id < $2 AND ($3::text IS NULL OR state = $3)"
                          " AND ($4::text IS NULL OR definition = $4) AND labels @> $6::text::jsonb ORDER BY id DESC LIMIT $5"};
static const struct pg_statement saga_list_children = {
    "saga_list_children", "SELECT " SAGA_COLUMNS " FROM saga WHERE id >= $1 AND id < $2 AND ($3::text IS NULL OR state = $3)"
                          " AND ($4::text IS NULL OR definition = $4) AND parent_id = $6 ORDER BY id DESC LIMIT $5"};
static const struct pg_statement saga_by_live_key = {
    "saga_by_live_key", "SELECT t.n, saga.id FROM unnest($2::text[], $3::text[]) WITH ORDINALITY AS t(definition, key, n)"
                        " JOIN saga ON saga.namespace = $1 AND saga.definition = t.definition AND saga.key = t.key"
                        " WHERE saga.ended_at IS NULL"};
static const struct pg_statement saga_generations = {
    "saga_generations", "SELECT t.n, saga.state, saga.parent_order, saga.parent_round"
                        " FROM unnest($1::uuid[]) WITH ORDINALITY AS t(id, n) JOIN saga ON saga.id = t.id"};
static const struct pg_statement saga_by_key = {
    "saga_by_key", "SELECT idempotency_key, id, definition, input FROM saga"
                   " WHERE namespace = $1 AND idempotency_key = ANY($2)"};
static const struct pg_statement saga_glance = {
    "saga_glance", "SELECT t.n, state IN ('COMPLETED', 'COMPENSATED', 'STALLED'),"
                   " (SELECT max(seq) FROM history WHERE saga_id = saga.id)"
                   " FROM unnest($1::uuid[]) WITH ORDINALITY AS t(id, n) JOIN saga ON saga.id = t.id"};
static const struct pg_statement steps_get = {
    "steps_get", "SELECT position, state, round, attempt, output, error, waived FROM step WHERE saga_id = $1"};
static const struct pg_statement history_get = {
    "history_get", "SELECT seq, entries FROM history WHERE saga_id = $1 AND seq > $2 ORDER BY seq LIMIT $3"};

static const char *text_of(struct arena *arena, const struct pg_rows *rows, size_t row, int column)
{
    return arena_strdup(arena, pg_get_text(rows, row, column, NULL));
}

static void read_view(struct arena *arena, const struct pg_rows *rows, size_t row, struct store_saga_view *out)
{
    *out = (struct store_saga_view){.id = pg_get_uuid(rows, row, 0),
                                    .definition = text_of(arena, rows, row, 1),
                                    .version = (int)pg_get_int(rows, row, 2),
                                    .state = text_of(arena, rows, row, 3),
                                    .cancelled = pg_get_bool(rows, row, 4),
                                    .idempotency_key = text_of(arena, rows, row, 5),
                                    .input = text_of(arena, rows, row, 6),
                                    .created_ms = pg_get_time(rows, row, 7),
                                    .ended_ms = pg_get_time(rows, row, 8),
                                    .deadline_ms = pg_get_time(rows, row, 9),
                                    .traceparent = text_of(arena, rows, row, 10),
                                    .paused = pg_get_bool(rows, row, 11),
                                    .start_ms = pg_get_time(rows, row, 12),
                                    .key = text_of(arena, rows, row, 13),
                                    .labels = text_of(arena, rows, row, 14),
                                    .parent_id = pg_get_uuid(rows, row, 15),
                                    .parent_step = text_of(arena, rows, row, 16)};
}

bool store_get_saga(struct pg *pg, struct arena *arena, const struct uuid *id, struct store_saga_view *out,
                    bool *found, struct err *err)
{
    struct pg_params params = {0};
    struct pg_rows *rows = NULL;
    pg_param_uuid(&params, id);
    bool ok = pg_call(pg, &saga_get, &params, &rows, err);
    pg_params_free(&params);
    if (!ok)
        return false;
    *found = pg_rows_count(rows) == 1;
    if (*found) {
        read_view(arena, rows, 0, out);
        out->revision = pg_get_int(rows, 0, 17);
    }
    pg_rows_free(rows);
    return true;
}

/* An id tells when its saga was started: times are bounds of ids. */
static void add_bounds(struct pg_params *params, const struct store_filter *filter)
{
    struct uuid low = uuid_v7_first(filter->from_ms), high, none;
    memset(&none, 0xff, sizeof none);
    high = filter->to_ms ? uuid_v7_first(filter->to_ms) : none;
    if (filter->before && uuid_compare(filter->before, &high) < 0)
        high = *filter->before;
    pg_param_uuid(params, &low);
    pg_param_uuid(params, &high);
}

bool store_list_sagas(struct pg *pg, struct arena *arena, const struct store_filter *filter, int limit,
                      struct store_saga_view **out, size_t *n, struct err *err)
{
    struct pg_params params = {0};
    struct pg_rows *rows = NULL;
    add_bounds(&params, filter);
    pg_param_text(&params, PG_TEXT, filter->state);
    pg_param_text(&params, PG_TEXT, filter->definition);
    pg_param_int(&params, PG_INT4, limit);
    const struct pg_statement *statement = filter->labels ? &saga_list_labelled : filter->parent ? &saga_list_children : &saga_list;
    if (filter->labels)
        pg_param_text(&params, PG_TEXT, filter->labels);
    else if (filter->parent)
        pg_param_uuid(&params, filter->parent);
    bool ok = pg_call(pg, statement, &params, &rows, err);
    pg_params_free(&params);
    if (!ok)
        return false;
    *n = pg_rows_count(rows);
    *out = arena_array(arena, *n, sizeof **out);
    for (size_t i = 0; i < *n; i++)
        read_view(arena, rows, i, &(*out)[i]);
    pg_rows_free(rows);
    return true;
}

bool store_find_keys(struct pg *pg, struct arena *arena, const char *const *keys, size_t n, struct store_key_view *out,
                     struct err *err)
{
    struct pg_params params = {0};
    struct pg_rows *rows = NULL;
    pg_param_text(&params, PG_TEXT, STORE_NAMESPACE);
    struct pg_column *column = pg_param_array(&params, PG_TEXT);
    for (size_t i = 0; i < n; i++) {
        pg_add_text(column, keys[i]);
        out[i] = (struct store_key_view){0};
    }
    bool ok = pg_call(pg, &saga_by_key, &params, &rows, err);
    pg_params_free(&params);
    for (size_t row = 0; ok && row < pg_rows_count(rows); row++) {
        for (size_t i = 0; i < n; i++) {
            if (strcmp(keys[i], pg_get_text(rows, row, 0, NULL)) == 0)
                out[i] = (struct store_key_view){true, pg_get_uuid(rows, row, 1), text_of(arena, rows, row, 2),
                                                 text_of(arena, rows, row, 3)};
        }
    }
    pg_rows_free(rows);
    return ok;
}

bool store_find_live(struct pg *pg, const char *const *definitions, const char *const *keys, size_t n, struct store_live_view *out,
                     struct err *err)
{
    struct pg_params params = {0};
    struct pg_rows *rows = NULL;
    pg_param_text(&params, PG_TEXT, STORE_NAMESPACE);
    struct pg_column *names = pg_param_array(&params, PG_TEXT), *column = pg_param_array(&params, PG_TEXT);
    for (size_t i = 0; i < n; i++) {
        pg_add_text(names, definitions[i]);
        pg_add_text(column, keys[i]);
        out[i] = (struct store_live_view){0};
    }
    bool ok = pg_call(pg, &saga_by_live_key, &params, &rows, err);
    pg_params_free(&params);
    for (size_t row = 0; ok && row < pg_rows_count(rows); row++)
        out[pg_get_int(rows, row, 0) - 1] = (struct store_live_view){true, pg_get_uuid(rows, row, 1)};
    pg_rows_free(rows);
    return ok;
}

bool store_find_generations(struct pg *pg, const struct uuid *ids, size_t n, struct store_generation *out, struct err *err)
{
    struct pg_params params = {0};
    struct pg_rows *rows = NULL;
    struct pg_column *column = pg_param_array(&params, PG_UUID);
    for (size_t i = 0; i < n; i++) {
        pg_add_uuid(column, &ids[i]);
        out[i] = (struct store_generation){0};
    }
    bool ok = pg_call(pg, &saga_generations, &params, &rows, err);
    pg_params_free(&params);
    for (size_t row = 0; ok && row < pg_rows_count(rows); row++) {
        struct store_generation *one = &out[pg_get_int(rows, row, 0) - 1];
        one->found = saga_state_parse(pg_get_text(rows, row, 1, NULL), &one->state) &&
                     parent_order_parse(pg_get_text(rows, row, 2, NULL), &one->order);
        one->round = (int)pg_get_int(rows, row, 3);
    }
    pg_rows_free(rows);
    return ok;
}

bool store_glance(struct pg *pg, const struct uuid *ids, size_t n, struct store_glance *out, struct err *err)
{
    struct pg_params params = {0};
    struct pg_rows *rows = NULL;
    struct pg_column *column = pg_param_array(&params, PG_UUID);
    for (size_t i = 0; i < n; i++) {
        pg_add_uuid(column, &ids[i]);
        out[i] = (struct store_glance){.id = ids[i]};
    }
    bool ok = pg_call(pg, &saga_glance, &params, &rows, err);
    pg_params_free(&params);
    for (size_t row = 0; ok && row < pg_rows_count(rows); row++) {
        struct store_glance *glance = &out[pg_get_int(rows, row, 0) - 1];
        glance->found = true;
        glance->settled = pg_get_bool(rows, row, 1);
        glance->version = pg_get_int(rows, row, 2);
    }
    pg_rows_free(rows);
    return ok;
}

bool store_get_steps(struct pg *pg, struct arena *arena, const struct uuid *id, struct store_step_row *out, size_t n,
                     struct err *err)
{
    struct pg_params params = {0};
    struct pg_rows *rows = NULL;
    pg_param_uuid(&params, id);
    bool ok = pg_call(pg, &steps_get, &params, &rows, err);
    pg_params_free(&params);
    for (size_t i = 0; i < n; i++)
        out[i] = (struct store_step_row){0};
    for (size_t row = 0; ok && row < pg_rows_count(rows); row++) {
        int64_t position = pg_get_int(rows, row, 0);
        if (position < 0 || (size_t)position >= n)
            continue;
        out[position] = (struct store_step_row){.state = text_of(arena, rows, row, 1),
                                                .round = (int)pg_get_int(rows, row, 2),
                                                .attempt = (int)pg_get_int(rows, row, 3),
                                                .output = text_of(arena, rows, row, 4),
                                                .error = text_of(arena, rows, row, 5),
                                                .waived = pg_get_bool(rows, row, 6)};
    }
    pg_rows_free(rows);
    return ok;
}

bool store_get_history(struct pg *pg, struct arena *arena, const struct uuid *id, int64_t after, int limit,
                       const char ***entries, size_t *n, int64_t *last, struct err *err)
{
    struct pg_params params = {0};
    struct pg_rows *rows = NULL;
    pg_param_uuid(&params, id);
    pg_param_int(&params, PG_INT8, after);
    pg_param_int(&params, PG_INT4, limit);
    bool ok = pg_call(pg, &history_get, &params, &rows, err);
    pg_params_free(&params);
    if (!ok)
        return false;
    *n = pg_rows_count(rows);
    *last = after;
    *entries = arena_array(arena, *n, sizeof **entries);
    for (size_t i = 0; i < *n; i++) {
        *last = pg_get_int(rows, i, 0);
        (*entries)[i] = text_of(arena, rows, i, 1);
    }
    pg_rows_free(rows);
    return true;
}
