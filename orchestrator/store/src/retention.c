/* Letting ended sagas go: a root with all the sagas that are its steps, at once, in one statement; a crash leaves all of them or none.
 * No index is kept for it: ids are in the order of time, so those that are old enough stand at the beginning, among the few that are old and live. */
#include "store/store.h"

#define PAGE 500

static const struct pg_statement retention_page = {
    "retention_page", "SELECT id, parent_id IS NULL AND coalesce(ended_at < $3, false) FROM saga WHERE id > $1 AND id < $2 ORDER BY id LIMIT $4"};
/* A saga's clock names the entities that it has touched. Each touch is looked up by its whole key: an entity may have very many. What is written to a
 * saga in the very moment in which it is deleted, a late reply, may leave rows behind; nobody reads them. */
static const struct pg_statement retention_purge = {
    "retention_purge",
    "WITH RECURSIVE tree AS (SELECT id, id AS root, ended_at, clock FROM saga WHERE id = ANY($1)"
    "  UNION ALL SELECT saga.id, tree.root, saga.ended_at, saga.clock FROM tree JOIN saga ON saga.parent_id = tree.id),"
    " gone AS MATERIALIZED (SELECT id, clock FROM tree WHERE root IN (SELECT root FROM tree GROUP BY root HAVING bool_and(coalesce(ended_at < $2, false)))),"
    " touches AS (DELETE FROM entity_touch WHERE ctid = ANY(ARRAY(SELECT touched.ctid FROM gone, json_object_keys(gone.clock) AS keys(key),"
    "  LATERAL (SELECT t.ctid FROM entity_touch AS t WHERE t.namespace = $3 AND t.key = keys.key AND t.saga_id = gone.id OFFSET 0) AS touched))),"
    " entries AS (DELETE FROM history WHERE saga_id IN (SELECT id FROM gone)),"
    " steps AS (DELETE FROM step WHERE saga_id IN (SELECT id FROM gone))"
    " DELETE FROM saga WHERE id IN (SELECT id FROM gone)"};

static bool purge(struct pg *pg, struct pg_params *params, size_t *purged, struct err *err)
{
    struct pg_rows *rows = NULL;
    bool ok = pg_call(pg, &retention_purge, params, &rows, err);
    *purged = ok ? pg_rows_affected(rows) : 0;
    pg_rows_free(rows);
    return ok;
}

bool store_purge(struct pg *pg, int64_t before_ms, struct uuid *after, size_t *purged, bool *more, struct err *err)
{
    struct pg_params page = {0}, params = {0};
    struct pg_rows *rows = NULL;
    struct uuid end = uuid_v7_first(before_ms);
    pg_param_uuid(&page, after);
    pg_param_uuid(&page, &end);
    pg_param_time(&page, before_ms);
    pg_param_int(&page, PG_INT8, PAGE);
    bool ok = pg_call(pg, &retention_page, &page, &rows, err);
    size_t n = ok ? pg_rows_count(rows) : 0, roots = 0;
    struct pg_column *ids = pg_param_array(&params, PG_UUID);
    for (size_t i = 0; i < n; i++) {
        *after = pg_get_uuid(rows, i, 0);
        if (!pg_get_bool(rows, i, 1))
            continue;
        pg_add_uuid(ids, after);
        roots++;
    }
    pg_param_time(&params, before_ms);
    pg_param_text(&params, PG_TEXT, STORE_NAMESPACE);
    *purged = 0;
    *more = n == PAGE;
    if (ok && roots)
        ok = purge(pg, &params, purged, err);
    pg_rows_free(rows);
    pg_params_free(&page);
    pg_params_free(&params);
    return ok;
}
