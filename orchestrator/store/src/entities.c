/* The queues of entity keys. A crash before the commit leaves them as they were; claims and the saga that has them are written in one
 * transaction, as are their release and the saga's end. */
#include "entities.h"

#include <string.h>

#include "base/hash.h"

#define BUCKETS 256 /* rows of entity_lock */

/* clang-format off */
const struct pg_statement entity_lock = {
    "entity_lock", "SELECT bucket FROM entity_lock WHERE bucket = ANY($1) ORDER BY bucket FOR UPDATE"};
static const struct pg_statement entity_heads = {
    "entity_heads",
    "SELECT t.n, head.saga_id FROM unnest($2::text[]) WITH ORDINALITY AS t(key, n) CROSS JOIN LATERAL"
    " (SELECT saga_id FROM entity_claim c WHERE c.namespace = $1 AND c.key = t.key ORDER BY seq LIMIT 1) AS head"};
static const struct pg_statement entity_claim = {
    "entity_claim",
    "INSERT INTO entity_claim (namespace, key, saga_id)"
    " SELECT $1, key, saga_id FROM unnest($2::text[], $3::uuid[]) WITH ORDINALITY AS t(key, saga_id, n) ORDER BY n"};
const struct pg_statement entity_release = {"entity_release", "DELETE FROM entity_claim WHERE saga_id = ANY($1)"};
const struct pg_statement entity_wake = {
    "entity_wake",
    "UPDATE saga SET wake_at = $3 FROM (SELECT DISTINCT head.saga_id FROM unnest($2::text[]) AS t(key) CROSS JOIN LATERAL"
    "  (SELECT saga_id FROM entity_claim c WHERE c.namespace = $1 AND c.key = t.key ORDER BY seq LIMIT 1) AS head) AS next"
    " WHERE saga.id = next.saga_id AND saga.state = 'QUEUED' AND NOT saga.paused RETURNING saga.id"};
static const struct pg_statement entity_queue = {
    "entity_queue",
    "SELECT c.saga_id, saga.definition, saga.state, c.claimed_at FROM entity_claim c JOIN saga ON saga.id = c.saga_id"
    " WHERE c.namespace = $1 AND c.key = $2 ORDER BY c.seq LIMIT $3"};
/* The roots of those that touched the key last, and all that they and their children did to it. OFFSET 0 has each saga looked up by its key. */
static const struct pg_statement entity_touches = {
    "entity_touches",
    "WITH RECURSIVE latest AS (SELECT saga_id FROM entity_touch WHERE namespace = $1 AND key = $2 ORDER BY touched_at DESC LIMIT $3),"
    " up AS (SELECT s.id, s.parent_id FROM (SELECT DISTINCT saga_id FROM latest) AS t,"
    "   LATERAL (SELECT id, parent_id FROM saga WHERE id = t.saga_id OFFSET 0) AS s"
    "  UNION SELECT s.id, s.parent_id FROM up, LATERAL (SELECT id, parent_id FROM saga WHERE id = up.parent_id OFFSET 0) AS s),"
    " root AS (SELECT s.* FROM up, LATERAL (SELECT id, definition, state, created_at FROM saga WHERE id = up.id OFFSET 0) AS s"
    "  WHERE up.parent_id IS NULL ORDER BY s.created_at DESC, s.id DESC LIMIT $4),"
    " down AS (SELECT id AS root_id, id FROM root"
    "  UNION ALL SELECT down.root_id, s.id FROM down, LATERAL (SELECT id FROM saga WHERE parent_id = down.id OFFSET 0) AS s)"
    " SELECT root.id, root.definition, root.state, (SELECT count(*) FROM latest) = $3, t.* FROM down JOIN root ON root.id = down.root_id,"
    " LATERAL (SELECT saga_id, step, kind, service, number FROM entity_touch"
    "  WHERE namespace = $1 AND key = $2 AND saga_id = down.id OFFSET 0) AS t"
    " ORDER BY root.created_at, root.id, t.number"};
/* clang-format on */

static int bucket_of(const char *key)
{
    return (int)(hash_bytes(key, strlen(key), 0) % BUCKETS);
}

/* ---- asking ---- */

struct asking {
    struct store_ask *asks;
    size_t n;
    const struct uuid **heads; /* of all keys, one ask's after another's; NULL: nobody holds it */
};

static size_t keys_of(const struct store_ask *asks, size_t n)
{
    size_t keys = 0;
    for (size_t i = 0; i < n; i++)
        keys += asks[i].keys_n;
    return keys;
}

/* Every key's head, under the locks of all of them. */
static bool read_heads(struct pg *pg, struct arena *arena, struct asking *all, struct err *err)
{
    struct pg_params lock = {0}, heads = {0};
    struct pg_column *buckets = pg_param_array(&lock, PG_INT4);
    pg_param_text(&heads, PG_TEXT, STORE_NAMESPACE);
    struct pg_column *keys = pg_param_array(&heads, PG_TEXT);
    for (size_t i = 0; i < all->n; i++) {
        for (size_t k = 0; k < all->asks[i].keys_n; k++) {
            pg_add_int(buckets, bucket_of(all->asks[i].keys[k]));
            pg_add_text(keys, all->asks[i].keys[k]);
        }
    }
    struct pg_call calls[3];
    size_t calls_n = 0;
    if (!pg_in_transaction(pg))
        calls[calls_n++] = (struct pg_call){&PG_BEGIN, NULL, NULL};
    calls[calls_n++] = (struct pg_call){&entity_lock, &lock, NULL};
    calls[calls_n++] = (struct pg_call){&entity_heads, &heads, NULL};
    bool ok = pg_run(pg, calls, calls_n, err);
    pg_params_free(&lock);
    pg_params_free(&heads);
    const struct pg_rows *rows = calls[calls_n - 1].rows;
    for (size_t i = 0; ok && i < pg_rows_count(rows); i++) {
        struct uuid *head = arena_alloc(arena, sizeof *head);
        *head = pg_get_uuid(rows, i, 1);
        all->heads[pg_get_int(rows, i, 0) - 1] = head;
    }
    for (size_t i = 0; ok && i < calls_n; i++)
        pg_rows_free(calls[i].rows);
    return ok;
}

/* Somebody who asked earlier in this batch has joined the key's queue. */
static bool joined_before(const struct asking *all, size_t ask, const char *key)
{
    for (size_t i = 0; i < ask; i++) {
        for (size_t k = 0; k < all->asks[i].keys_n && all->asks[i].joined; k++) {
            if (strcmp(all->asks[i].keys[k], key) == 0)
                return true;
        }
    }
    return false;
}

/* Nobody holds it, or the saga itself does already. */
static bool is_free(const struct uuid *head, const struct uuid *saga)
{
    return !head || uuid_equal(head, saga);
}

static void decide(struct asking *all, size_t at, const struct uuid *const *heads)
{
    struct store_ask *ask = &all->asks[at];
    bool first = true, there = false;
    for (size_t k = 0; k < ask->keys_n; k++) {
        there = there || (heads[k] && uuid_equal(heads[k], &ask->saga_id));
        if (ask->joins)
            first = first && is_free(heads[k], &ask->saga_id) && !joined_before(all, at, ask->keys[k]);
        else
            first = first && heads[k] && uuid_equal(heads[k], &ask->saga_id);
    }
    ask->has = first;
    ask->joined = ask->joins && !there && (first || !ask->only_if_free);
}

static bool join_queues(struct pg *pg, const struct store_ask *asks, size_t n, struct err *err)
{
    struct pg_params params = {0};
    pg_param_text(&params, PG_TEXT, STORE_NAMESPACE);
    struct pg_column *keys = pg_param_array(&params, PG_TEXT), *ids = pg_param_array(&params, PG_UUID);
    size_t rows = 0;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < asks[i].keys_n && asks[i].joined; k++, rows++) {
            pg_add_text(keys, asks[i].keys[k]);
            pg_add_uuid(ids, &asks[i].saga_id);
        }
    }
    bool ok = !rows || (pg_in_transaction(pg) ? pg_call(pg, &entity_claim, &params, NULL, err)
                                              : err_set(err, ERR_RETRY, "PostgreSQL: the transaction was lost"));
    pg_params_free(&params);
    return ok;
}

bool store_take_entities(struct pg *pg, struct arena *arena, struct store_ask *asks, size_t n, struct err *err)
{
    struct asking all = {asks, n, arena_array(arena, keys_of(asks, n), sizeof *all.heads)};
    const struct uuid **heads = all.heads;
    if (!read_heads(pg, arena, &all, err))
        return false;
    for (size_t i = 0; i < n; heads += asks[i++].keys_n)
        decide(&all, i, heads);
    return join_queues(pg, asks, n, err);
}

/* ---- letting go ---- */

size_t fill_entity_lock(struct pg_params *params, const struct store_change *changes, size_t n)
{
    struct pg_column *buckets = pg_param_array(params, PG_INT4);
    size_t keys = 0;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < changes[i].released_n; k++, keys++)
            pg_add_int(buckets, bucket_of(changes[i].released[k]));
    }
    return keys;
}

size_t fill_entity_release(struct pg_params *params, const struct store_change *changes, size_t n)
{
    struct pg_column *ids = pg_param_array(params, PG_UUID);
    size_t sagas = 0;
    for (size_t i = 0; i < n; i++) {
        if (changes[i].released_n) {
            pg_add_uuid(ids, &changes[i].saga->id);
            sagas++;
        }
    }
    return sagas;
}

size_t fill_entity_wake(struct pg_params *params, const struct store_change *changes, size_t n)
{
    pg_param_text(params, PG_TEXT, STORE_NAMESPACE);
    struct pg_column *keys = pg_param_array(params, PG_TEXT);
    size_t keys_n = 0;
    int64_t at_ms = 0;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < changes[i].released_n; k++, keys_n++)
            pg_add_text(keys, changes[i].released[k]);
        at_ms = changes[i].released_n ? changes[i].saga->ended_ms : at_ms;
    }
    pg_param_time(params, at_ms);
    return keys_n;
}

/* ---- looking ---- */

bool store_get_queue(struct pg *pg, struct arena *arena, const char *key, int limit, struct store_claim **out, size_t *n, struct err *err)
{
    struct pg_params params = {0};
    struct pg_rows *rows = NULL;
    pg_param_text(&params, PG_TEXT, STORE_NAMESPACE);
    pg_param_text(&params, PG_TEXT, key);
    pg_param_int(&params, PG_INT4, limit);
    bool ok = pg_call(pg, &entity_queue, &params, &rows, err);
    pg_params_free(&params);
    if (!ok)
        return false;
    *n = pg_rows_count(rows);
    *out = arena_array(arena, *n, sizeof **out);
    for (size_t i = 0; i < *n; i++)
        (*out)[i] = (struct store_claim){.saga_id = pg_get_uuid(rows, i, 0),
                                         .definition = arena_strdup(arena, pg_get_text(rows, i, 1, NULL)),
                                         .state = arena_strdup(arena, pg_get_text(rows, i, 2, NULL)),
                                         .claimed_ms = pg_get_time(rows, i, 3)};
    pg_rows_free(rows);
    return true;
}

static struct store_touch read_touch(struct arena *arena, const struct pg_rows *rows, size_t row)
{
    return (struct store_touch){.root_id = pg_get_uuid(rows, row, 0),
                                .definition = arena_strdup(arena, pg_get_text(rows, row, 1, NULL)),
                                .state = arena_strdup(arena, pg_get_text(rows, row, 2, NULL)),
                                .effect = {.saga_id = pg_get_uuid(rows, row, 4),
                                           .step = arena_strdup(arena, pg_get_text(rows, row, 5, NULL)),
                                           .undo = strcmp(pg_get_text(rows, row, 6, NULL), "compensation") == 0,
                                           .service = arena_strdup(arena, pg_get_text(rows, row, 7, NULL)),
                                           .number = pg_get_int(rows, row, 8)}};
}

bool store_get_touches(struct pg *pg, struct arena *arena, const char *key, const struct store_touch_bounds *bounds, struct store_touch **out,
                       size_t *n, bool *more, struct err *err)
{
    struct pg_params params = {0};
    struct pg_rows *rows = NULL;
    pg_param_text(&params, PG_TEXT, STORE_NAMESPACE);
    pg_param_text(&params, PG_TEXT, key);
    pg_param_int(&params, PG_INT8, bounds->effects);
    pg_param_int(&params, PG_INT8, bounds->sagas);
    bool ok = pg_call(pg, &entity_touches, &params, &rows, err);
    pg_params_free(&params);
    if (!ok)
        return false;
    *n = pg_rows_count(rows);
    *more = *n && pg_get_bool(rows, 0, 3);
    *out = arena_array(arena, *n, sizeof **out);
    for (size_t i = 0; i < *n; i++)
        (*out)[i] = read_touch(arena, rows, i);
    pg_rows_free(rows);
    return true;
}
