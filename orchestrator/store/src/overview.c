/* Figures for operators. */
#include <inttypes.h>

#include "store/store.h"

/* Each branch has an index of its own: a table of ended sagas costs nothing. */
static const struct pg_statement gauges_sagas = {
    "gauges_sagas", "SELECT count(*) FILTER (WHERE state = 'RUNNING'), count(*) FILTER (WHERE state = 'COMPENSATING'),"
                    " count(*) FILTER (WHERE state = 'STALLED'), count(*) FILTER (WHERE state = 'QUEUED'),"
                    " count(*) FILTER (WHERE state = 'SCHEDULED'), count(*) FILTER (WHERE paused),"
                    " greatest((extract(epoch FROM now() - min(begun_at) FILTER (WHERE state NOT IN ('QUEUED', 'SCHEDULED'))) * 1000)::bigint, 0) FROM"
                    " (SELECT state, paused, greatest(created_at, start_at) AS begun_at FROM saga WHERE wake_at IS NOT NULL AND state NOT IN ('COMPENSATING', 'STALLED')"
                    "   AND NOT (paused OR state IN ('SCHEDULED', 'QUEUED'))"
                    "  UNION ALL SELECT state, paused, greatest(created_at, start_at) FROM saga WHERE state IN ('COMPENSATING', 'STALLED')"
                    "  UNION ALL SELECT state, paused, greatest(created_at, start_at) FROM saga WHERE ended_at IS NULL AND (paused OR state IN ('SCHEDULED', 'QUEUED'))"
                    "   AND state NOT IN ('COMPENSATING', 'STALLED')) AS live"};
static const struct pg_statement gauges_outbox = {
    "gauges_outbox", "SELECT count(*), coalesce((extract(epoch FROM now() - min(created_at)) * 1000)::bigint, 0) FROM outbox"};
static const struct pg_statement minutes_put = {
    "minutes_put", "INSERT INTO saga_minute (minute, process, definition, started, completed, compensated, stalled, durations)"
                   " SELECT minute, $1, definition, started, completed, compensated, stalled, durations::bigint[]"
                   " FROM unnest($2::timestamptz[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::text[])"
                   " AS t(minute, definition, started, completed, compensated, stalled, durations)"
                   " ON CONFLICT (minute, process, definition) DO UPDATE SET started = excluded.started,"
                   " completed = excluded.completed, compensated = excluded.compensated, stalled = excluded.stalled,"
                   " durations = excluded.durations"};
static const struct pg_statement minutes_forget = {
    "minutes_forget", "DELETE FROM saga_minute WHERE minute < now() - interval '1 day'"};
static const struct pg_statement minutes_get = {
    "minutes_get", "SELECT minute, sum(started)::bigint, sum(completed)::bigint, sum(compensated)::bigint, sum(stalled)::bigint"
                   " FROM saga_minute WHERE minute BETWEEN $1 AND now() GROUP BY minute ORDER BY minute"};
static const struct pg_statement durations_get = {
    "durations_get", "SELECT bucket, sum(n)::bigint FROM saga_minute, unnest(durations) WITH ORDINALITY AS t(n, bucket)"
                     " WHERE minute BETWEEN $1 AND now() GROUP BY bucket"};
static const struct pg_statement processes_get = {
    "processes_get", "SELECT program, version, host, roles, pid, healthy, seen_at > now() - interval '30 s', started_at, seen_at"
                     " FROM process WHERE seen_at > now() - interval '1 hour' ORDER BY program, started_at, id"};

bool store_gauges(struct pg *pg, struct store_gauges *out, struct err *err)
{
    struct pg_call calls[] = {{&gauges_sagas, NULL, NULL}, {&gauges_outbox, NULL, NULL}};
    if (!pg_run(pg, calls, 2, err))
        return false;
    *out = (struct store_gauges){pg_get_int(calls[0].rows, 0, 0), pg_get_int(calls[0].rows, 0, 1),
                                 pg_get_int(calls[0].rows, 0, 2), pg_get_int(calls[0].rows, 0, 3),
                                 pg_get_int(calls[0].rows, 0, 4), pg_get_int(calls[0].rows, 0, 5),
                                 pg_get_int(calls[0].rows, 0, 6),
                                 pg_get_int(calls[1].rows, 0, 0), pg_get_int(calls[1].rows, 0, 1)};
    pg_rows_free(calls[0].rows);
    pg_rows_free(calls[1].rows);
    return true;
}

static void add_durations(struct pg_column *column, const uint64_t *durations)
{
    struct buf text = buf_new(4096);
    for (size_t i = 0; i <= histogram_fine.bounds_n; i++)
        buf_printf(&text, "%c%" PRIu64, i ? ',' : '{', durations[i]);
    buf_char(&text, '}');
    pg_add_text(column, buf_text(&text));
    buf_free(&text);
}

bool store_put_minutes(struct pg *pg, const struct uuid *process, const struct store_minute *minutes, size_t n,
                       struct err *err)
{
    struct pg_params params = {0};
    static const enum pg_type types[] = {PG_TIME, PG_TEXT, PG_INT8, PG_INT8, PG_INT8, PG_INT8, PG_TEXT};
    struct pg_column *c[7];
    pg_param_uuid(&params, process);
    for (int i = 0; i < 7; i++)
        c[i] = pg_param_array(&params, types[i]);
    for (size_t i = 0; i < n; i++) {
        pg_add_time(c[0], minutes[i].minute_ms);
        pg_add_text(c[1], minutes[i].definition);
        pg_add_int(c[2], minutes[i].started);
        pg_add_int(c[3], minutes[i].completed);
        pg_add_int(c[4], minutes[i].compensated);
        pg_add_int(c[5], minutes[i].stalled);
        add_durations(c[6], minutes[i].durations);
    }
    struct pg_call calls[] = {{&PG_NO_WAIT, NULL, NULL}, {&minutes_put, &params, NULL}, {&minutes_forget, NULL, NULL}};
    bool ok = pg_run(pg, calls, 3, err);
    pg_params_free(&params);
    for (size_t i = 0; i < 3; i++)
        pg_rows_free(calls[i].rows);
    return ok;
}

static void read_durations(const struct pg_rows *rows, struct histogram *out)
{
    for (size_t i = 0; i < pg_rows_count(rows); i++) {
        int64_t bucket = pg_get_int(rows, i, 0) - 1;
        if (bucket >= 0 && (size_t)bucket <= out->shape->bounds_n)
            out->counts[bucket] = (uint64_t)pg_get_int(rows, i, 1);
    }
}

bool store_get_minutes(struct pg *pg, struct arena *arena, int64_t since_ms, struct store_minute **out, size_t *n,
                       struct histogram *durations, struct err *err)
{
    struct pg_params params = {0};
    pg_param_time(&params, since_ms);
    struct pg_call calls[] = {{&minutes_get, &params, NULL}, {&durations_get, &params, NULL}};
    bool ok = pg_run(pg, calls, 2, err);
    pg_params_free(&params);
    if (!ok)
        return false;
    *n = pg_rows_count(calls[0].rows);
    *out = arena_array(arena, *n, sizeof **out);
    for (size_t i = 0; i < *n; i++)
        (*out)[i] = (struct store_minute){.minute_ms = pg_get_time(calls[0].rows, i, 0),
                                          .started = pg_get_int(calls[0].rows, i, 1),
                                          .completed = pg_get_int(calls[0].rows, i, 2),
                                          .compensated = pg_get_int(calls[0].rows, i, 3),
                                          .stalled = pg_get_int(calls[0].rows, i, 4)};
    read_durations(calls[1].rows, durations);
    pg_rows_free(calls[0].rows);
    pg_rows_free(calls[1].rows);
    return true;
}

bool store_get_processes(struct pg *pg, struct arena *arena, struct store_process **out, size_t *n, struct err *err)
{
    struct pg_rows *rows = NULL;
    if (!pg_call(pg, &processes_get, NULL, &rows, err))
        return false;
    *n = pg_rows_count(rows);
    *out = arena_array(arena, *n, sizeof **out);
    for (size_t i = 0; i < *n; i++)
        (*out)[i] = (struct store_process){.program = arena_strdup(arena, pg_get_text(rows, i, 0, NULL)),
                                           .version = arena_strdup(arena, pg_get_text(rows, i, 1, NULL)),
                                           .host = arena_strdup(arena, pg_get_text(rows, i, 2, NULL)),
                                           .roles = arena_strdup(arena, pg_get_text(rows, i, 3, NULL)),
                                           .pid = (int)pg_get_int(rows, i, 4),
                                           .healthy = pg_get_bool(rows, i, 5),
                                           .live = pg_get_bool(rows, i, 6),
                                           .started_ms = pg_get_time(rows, i, 7),
                                           .seen_ms = pg_get_time(rows, i, 8)};
    pg_rows_free(rows);
    return true;
}
