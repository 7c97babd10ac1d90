/* What each statement of the programs does to the simulated tables. The simulator refuses to run when the SQL of a statement
 * is not the one that was modelled here. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "postgres.h"

#define A(argument, i) (&args->of[argument].cells[i])

static struct cell given(const struct cell *cell)
{
    struct cell copy = *cell;
    if (copy.text)
        copy.text = mem_strndup(cell->text, cell->len);
    return copy;
}

static bool is_text(const struct cell *cell, const char *text)
{
    return !cell->null && strcmp(cell->text, text) == 0;
}

static bool nothing(struct session *session, const struct args *args, struct pg_rows *rows)
{
    (void)session, (void)args;
    sim_affected(rows, 0);
    return true;
}

/* Locks a row for a change: *image is a copy of what it is then, unless it is gone (or NULL). False: given up. */
static bool take(struct session *session, struct row *row, struct image *image, bool *there)
{
    const struct image *seen = NULL;
    if (row && !row_lock(session, row, &seen))
        return false;
    *there = seen != NULL;
    if (seen)
        image_copy(image, row, seen);
    return true;
}

/* ---- definitions ---- */

static const struct image *definition_of(struct session *session, const struct cell *name, int64_t version)
{
    const struct image *latest = NULL;
    for (struct row *row = NULL; (row = row_next(session, T_DEFINITION, name, row));) {
        const struct image *image = row_seen(session, row);
        if (!image || !cell_equal(&image->cells[D_NAME], name) || (version && image->cells[D_VERSION].n != version))
            continue;
        if (!latest || image->cells[D_VERSION].n > latest->cells[D_VERSION].n)
            latest = image;
    }
    return latest;
}

static bool definition_latest(struct session *session, const struct args *args, struct pg_rows *rows)
{
    const struct image *image = definition_of(session, A(1, 0), 0);
    if (!image)
        return true;
    struct cell *out = sim_result(rows, 2);
    out[0] = given(&image->cells[D_VERSION]);
    out[1] = given(&image->cells[D_CANONICAL]);
    return true;
}

static bool definition_insert(struct session *session, const struct args *args, struct pg_rows *rows)
{
    const struct cell cells[] = {*A(1, 0), *A(2, 0), *A(3, 0), *A(4, 0), cell_time(sim_server_ms())};
    bool inserted;
    if (!row_insert(session, T_DEFINITION, cells, 2, &inserted))
        return false;
    sim_affected(rows, inserted);
    return true;
}

static bool definition_get(struct session *session, const struct args *args, struct pg_rows *rows)
{
    const struct image *image = definition_of(session, A(1, 0), A(2, 0)->n);
    if (!image)
        return true;
    struct cell *out = sim_result(rows, 4);
    out[0] = given(&image->cells[D_NAME]);
    out[1] = given(&image->cells[D_VERSION]);
    out[2] = given(&image->cells[D_SOURCE]);
    out[3] = given(&image->cells[D_CREATED]);
    return true;
}

/* ---- sagas ---- */

static bool server_start(struct session *session, const struct args *args, struct pg_rows *rows)
{
    (void)session, (void)args;
    *sim_result(rows, 1) = cell_int(sim_postgres_epoch());
    return true;
}

static int by_value(const void *a, const void *b)
{
    return cell_compare(a, b);
}

/* The elements of an argument in order. */
static struct cell *ordered(const struct arg *arg)
{
    struct cell *cells = mem_array(arg->n + 1, sizeof *cells);
    memcpy(cells, arg->cells, arg->n * sizeof *cells);
    qsort(cells, arg->n, sizeof *cells, by_value);
    return cells;
}

/* The newest row of a saga's history that is seen. */
static int64_t last_seq(struct session *session, const struct cell *saga)
{
    const struct row *row = row_find(session, T_HISTORY, saga, 1);
    return row ? row_seen(session, row)->cells[H_SEQ].n : 0;
}

static bool saga_load(struct session *session, const struct args *args, struct pg_rows *rows)
{
    static const int columns[] = {S_ID,      S_DEFINITION, S_VERSION,  S_STATE, S_CANCELLED, S_INPUT,
                                  S_CREATED, S_ENDED,      S_DEADLINE, S_WAKE,  S_KEY,       S_TRACE,
                                  S_PAUSED,  S_START,      S_ABOUT,    S_LABELS,
                                  S_PARENT,  S_PARENT_STEP, S_ORDER,   S_PARENT_ROUND, S_CLOCK};
    struct cell *ids = ordered(&args->of[0]);
    for (size_t i = 0; i < args->of[0].n; i++) {
        const struct row *row = row_find(session, T_SAGA, &ids[i], 1);
        if (!row)
            continue;
        struct cell *out = sim_result(rows, 22);
        for (size_t k = 0; k < 21; k++)
            out[k] = given(&row_seen(session, row)->cells[columns[k]]);
        out[21] = cell_int(last_seq(session, &ids[i]));
    }
    free(ids);
    return true;
}

static bool step_load(struct session *session, const struct args *args, struct pg_rows *rows)
{
    struct cell *ids = ordered(&args->of[0]);
    for (size_t i = 0; i < args->of[0].n; i++) {
        for (struct row *row = NULL; (row = row_next(session, T_STEP, &ids[i], row));) {
            const struct image *image = row_seen(session, row);
            if (!image || !cell_equal(&image->cells[P_SAGA], &ids[i]))
                continue;
            struct cell *out = sim_result(rows, P_XID);
            for (size_t k = 0; k < P_XID; k++)
                out[k] = given(&image->cells[k]);
        }
    }
    free(ids);
    return true;
}

static bool insert_new(struct session *session, enum table_name table, const struct cell *cells, size_t keys_n)
{
    bool inserted;
    if (!row_insert(session, table, cells, keys_n, &inserted))
        return false;
    return inserted || sql_error(session, "23505", "duplicate key value violates unique constraint");
}

static bool saga_insert(struct session *session, const struct args *args, struct pg_rows *rows)
{
    (void)rows;
    for (size_t i = 0; i < args->of[1].n; i++) {
        const struct cell cells[] = {*A(1, i), *A(2, i), *A(3, i), *A(4, i),  *A(5, i),  *A(6, i),
                                     *A(7, i), *A(8, i), *A(9, i), *A(10, i), *A(11, i), *A(12, i),
                                     cell_int(0), *A(13, i), *A(14, i), *A(15, i), *A(16, i), *A(17, i), *A(18, i), *A(19, i), *A(20, i)};
        const struct cell key[] = {*A(6, i), *A(1, i)}, live[] = {*A(14, i), *A(2, i), *A(1, i)};
        if (!insert_new(session, T_SAGA, cells, 1) || (!key[0].null && !insert_new(session, T_SAGA_KEY, key, 1)) ||
            (!live[0].null && A(9, i)->null && !insert_new(session, T_SAGA_LIVE, live, 2)))
            return false;
    }
    return true;
}

/* A saga that ends leaves the index of those that live. */
static bool leave_live(struct session *session, const struct image *saga)
{
    const struct cell key[] = {saga->cells[S_ABOUT], saga->cells[S_DEFINITION]};
    struct row *row = key[0].null ? NULL : row_find(session, T_SAGA_LIVE, key, 2);
    struct image image;
    bool there = false;
    if (!take(session, row, &image, &there))
        return false;
    if (there)
        row_write(session, row, NULL);
    return true;
}

static bool saga_update(struct session *session, const struct args *args, struct pg_rows *rows)
{
    (void)rows;
    for (size_t i = 0; i < args->of[0].n; i++) {
        struct row *row = row_find(session, T_SAGA, A(0, i), 1);
        struct image image;
        bool there;
        if (!take(session, row, &image, &there))
            return false;
        if (!there)
            continue;
        image.cells[S_STATE] = *A(1, i);
        image.cells[S_CANCELLED] = *A(2, i);
        image.cells[S_ENDED] = *A(3, i);
        image.cells[S_WAKE] = *A(4, i);
        image.cells[S_PAUSED] = *A(5, i);
        image.cells[S_DEADLINE] = *A(6, i);
        image.cells[S_ORDER] = *A(7, i);
        image.cells[S_PARENT_ROUND] = *A(8, i);
        image.cells[S_CLOCK] = *A(9, i);
        row_write(session, row, image.cells);
        if (!image.cells[S_ENDED].null && !leave_live(session, &image))
            return false;
    }
    return true;
}

static bool touch_insert(struct session *session, const struct args *args, struct pg_rows *rows)
{
    (void)rows;
    for (size_t i = 0; i < args->of[1].n; i++) {
        const struct cell cells[] = {*A(1, i), *A(2, i), *A(3, i), *A(4, i), *A(5, i), *A(6, i)};
        bool inserted;
        if (!row_insert(session, T_TOUCH, cells, 4, &inserted))
            return false;
    }
    return true;
}

static bool step_insert(struct session *session, const struct args *args, struct pg_rows *rows)
{
    (void)rows;
    for (size_t i = 0; i < args->of[0].n; i++) {
        struct cell cells[P_XID + 1];
        for (size_t k = 0; k < P_XID; k++)
            cells[k] = *A(k, i);
        cells[P_XID] = cell_int(sim_xid(session));
        if (!insert_new(session, T_STEP, cells, 2))
            return false;
    }
    return true;
}

static bool step_update(struct session *session, const struct args *args, struct pg_rows *rows)
{
    (void)rows;
    for (size_t i = 0; i < args->of[0].n; i++) {
        const struct cell key[] = {*A(0, i), *A(1, i)};
        struct row *row = row_find(session, T_STEP, key, 2);
        struct image image;
        bool there;
        if (!take(session, row, &image, &there))
            return false;
        if (!there)
            continue;
        bool same_command = cell_equal(&image.cells[P_COMMAND], A(7, i));
        for (size_t k = 2; k < P_XID; k++)
            image.cells[k] = *A(k, i);
        if (!same_command)
            image.cells[P_XID] = cell_int(sim_xid(session));
        row_write(session, row, image.cells);
    }
    return true;
}

static bool history_insert(struct session *session, const struct args *args, struct pg_rows *rows)
{
    (void)rows;
    for (size_t i = 0; i < args->of[0].n; i++) {
        const struct cell cells[] = {*A(0, i), *A(1, i), *A(2, i)};
        if (!insert_new(session, T_HISTORY, cells, 2))
            return false;
    }
    return true;
}

static bool saga_by_key(struct session *session, const struct args *args, struct pg_rows *rows)
{
    for (size_t i = 0; i < args->of[1].n; i++) {
        const struct row *key = row_find(session, T_SAGA_KEY, A(1, i), 1);
        if (!key)
            continue;
        const struct image *saga = row_seen(session, row_find(session, T_SAGA, &row_seen(session, key)->cells[K_SAGA], 1));
        struct cell *out = sim_result(rows, 4);
        out[0] = given(&saga->cells[S_KEY]);
        out[1] = given(&saga->cells[S_ID]);
        out[2] = given(&saga->cells[S_DEFINITION]);
        out[3] = given(&saga->cells[S_INPUT]);
    }
    return true;
}

static bool saga_generations(struct session *session, const struct args *args, struct pg_rows *rows)
{
    for (size_t i = 0; i < args->of[0].n; i++) {
        const struct row *row = row_find(session, T_SAGA, A(0, i), 1);
        if (!row)
            continue;
        const struct image *saga = row_seen(session, row);
        struct cell *out = sim_result(rows, 4);
        out[0] = cell_int((int64_t)i + 1);
        out[1] = given(&saga->cells[S_STATE]);
        out[2] = given(&saga->cells[S_ORDER]);
        out[3] = given(&saga->cells[S_PARENT_ROUND]);
    }
    return true;
}

static bool saga_by_live_key(struct session *session, const struct args *args, struct pg_rows *rows)
{
    for (size_t i = 0; i < args->of[1].n; i++) {
        const struct cell key[] = {*A(2, i), *A(1, i)};
        const struct row *row = row_find(session, T_SAGA_LIVE, key, 2);
        if (!row)
            continue;
        struct cell *out = sim_result(rows, 2);
        out[0] = cell_int((int64_t)i + 1);
        out[1] = given(&row_seen(session, row)->cells[L_SAGA]);
    }
    return true;
}

static bool saga_glance(struct session *session, const struct args *args, struct pg_rows *rows)
{
    for (size_t i = 0; i < args->of[0].n; i++) {
        const struct row *row = row_find(session, T_SAGA, A(0, i), 1);
        if (!row)
            continue;
        const struct cell *state = &row_seen(session, row)->cells[S_STATE];
        struct cell *out = sim_result(rows, 3);
        out[0] = cell_int((int64_t)i + 1);
        out[1] = cell_int(is_text(state, "COMPLETED") || is_text(state, "COMPENSATED") || is_text(state, "STALLED"));
        out[2] = cell_int(last_seq(session, A(0, i)));
    }
    return true;
}

/* ---- entities ---- */

static bool entity_lock(struct session *session, const struct args *args, struct pg_rows *rows)
{
    struct cell *buckets = ordered(&args->of[0]);
    bool ok = true;
    for (size_t i = 0; i < args->of[0].n && ok; i++) {
        const struct image *seen;
        if (i && cell_equal(&buckets[i], &buckets[i - 1]))
            continue;
        ok = row_lock(session, row_find(session, T_ENTITY_LOCK, &buckets[i], 1), &seen);
        if (ok)
            *sim_result(rows, 1) = buckets[i];
    }
    free(buckets);
    return ok;
}

static const struct image *head_of(struct session *session, const struct cell *key)
{
    const struct image *head = NULL;
    for (struct row *row = NULL; (row = row_next(session, T_CLAIM, key, row));) {
        const struct image *image = row_seen(session, row);
        if (image && cell_equal(&image->cells[C_KEY], key) && (!head || image->cells[C_SEQ].n < head->cells[C_SEQ].n))
            head = image;
    }
    return head;
}

static bool entity_heads(struct session *session, const struct args *args, struct pg_rows *rows)
{
    for (size_t i = 0; i < args->of[1].n; i++) {
        const struct image *head = head_of(session, A(1, i));
        if (!head)
            continue;
        struct cell *out = sim_result(rows, 2);
        out[0] = cell_int((int64_t)i + 1);
        out[1] = head->cells[C_SAGA];
    }
    return true;
}

static bool entity_claim(struct session *session, const struct args *args, struct pg_rows *rows)
{
    static int64_t seq;
    (void)rows;
    for (size_t i = 0; i < args->of[1].n; i++) {
        const struct cell cells[] = {*A(1, i), cell_int(++seq), *A(2, i)};
        if (!insert_new(session, T_CLAIM, cells, 2))
            return false;
    }
    return true;
}

static int by_key_and_seq(const void *a, const void *b)
{
    const struct row *const *x = a, *const *y = b;
    const struct image *one = (*x)->committed ? (*x)->committed : (*x)->pending, *other = (*y)->committed ? (*y)->committed : (*y)->pending;
    int order = cell_compare(&one->cells[C_KEY], &other->cells[C_KEY]);
    return order ? order : cell_compare(&one->cells[C_SEQ], &other->cells[C_SEQ]);
}

/* The claims of the sagas that the session sees, in the order of the primary key. */
static struct row **claims_of(struct session *session, const struct arg *sagas, size_t *n)
{
    const struct table *table = &session->schema->tables[T_CLAIM];
    struct row **found = mem_array(table->rows_n + 1, sizeof *found);
    *n = 0;
    for (size_t bucket = 0; bucket < table->buckets_n; bucket++) {
        for (struct row *row = table->buckets[bucket]; row; row = row->next) {
            const struct image *image = row_seen(session, row);
            bool is_theirs = false;
            for (size_t i = 0; image && i < sagas->n && !is_theirs; i++)
                is_theirs = cell_equal(&image->cells[C_SAGA], &sagas->cells[i]);
            if (is_theirs)
                found[(*n)++] = row;
        }
    }
    qsort(found, *n, sizeof(struct row *), by_key_and_seq);
    return found;
}

static bool entity_release(struct session *session, const struct args *args, struct pg_rows *rows)
{
    size_t n;
    struct row **found = claims_of(session, &args->of[0], &n);
    bool ok = true;
    (void)rows;
    for (size_t i = 0; i < n && ok; i++) {
        struct image image;
        bool there = false;
        ok = take(session, found[i], &image, &there);
        if (there)
            row_write(session, found[i], NULL);
    }
    free(found);
    return ok;
}

static bool entity_wake(struct session *session, const struct args *args, struct pg_rows *rows)
{
    for (size_t i = 0; i < args->of[1].n; i++) {
        const struct image *head = head_of(session, A(1, i));
        struct row *row = head ? row_find(session, T_SAGA, &head->cells[C_SAGA], 1) : NULL;
        struct image image;
        bool there;
        if (!take(session, row, &image, &there))
            return false;
        if (!there || !is_text(&image.cells[S_STATE], "QUEUED") || image.cells[S_PAUSED].n)
            continue;
        image.cells[S_WAKE] = *A(2, 0);
        row_write(session, row, image.cells);
        *sim_result(rows, 1) = image.cells[S_ID];
    }
    return true;
}

static bool saga_due(struct session *session, const struct args *args, struct pg_rows *rows)
{
    const struct row *row;
    size_t at = 0;
    for (int64_t i = 0; i < A(0, 0)->n && (row = row_in_order(session, T_SAGA, &at)); i++) {
        struct cell *out = sim_result(rows, 2);
        out[0] = row_seen(session, row)->cells[S_ID];
        out[1] = row_seen(session, row)->cells[S_WAKE];
    }
    return true;
}

/* ---- the orchestrator's outbox ---- */

static int64_t next_tid(void)
{
    static int64_t last;
    return ++last;
}

static bool put_message(struct session *session, const struct args *args, size_t first, size_t i, const struct cell *lease,
                        int64_t *tid)
{
    *tid = next_tid();
    const struct cell cells[] = {*A(first, i), *A(first + 1, i), *A(first + 2, i), *A(first + 3, i), *A(first + 4, i), *lease,
                                 cell_int(sim_xid(session)), cell_time(sim_server_ms()), cell_int(*tid)};
    return insert_new(session, T_OUTBOX, cells, 0);
}

static bool outbox_insert(struct session *session, const struct args *args, struct pg_rows *rows)
{
    int64_t lease_ms = A(5, 0)->n;
    struct cell lease = cell_time(lease_ms > 0 ? sim_server_ms() + lease_ms : 0);
    for (size_t i = 0; i < args->of[0].n; i++) {
        int64_t tid;
        if (!put_message(session, args, 0, i, &lease, &tid))
            return false;
        *sim_result(rows, 1) = cell_int(tid);
    }
    return true;
}

/* The outbox row of the command that a step sent last. */
static struct row *waiting_command(struct session *session, const struct cell *saga, const struct cell *position)
{
    const struct cell key[] = {*saga, *position};
    const struct row *step = row_find(session, T_STEP, key, 2);
    if (!step)
        return NULL;
    const struct image *image = row_seen(session, step);
    struct row *row = row_find(session, T_OUTBOX, &image->cells[P_COMMAND], 1);
    return row && row_seen(session, row)->cells[O_XID].n == image->cells[P_XID].n ? row : NULL;
}

static bool command_waits(struct session *session, const struct args *args, struct pg_rows *rows)
{
    for (size_t i = 0; i < args->of[0].n; i++) {
        if (waiting_command(session, A(0, i), A(1, i)))
            *sim_result(rows, 1) = cell_int((int64_t)i + 1);
    }
    return true;
}

static bool command_withdraw(struct session *session, const struct args *args, struct pg_rows *rows)
{
    for (size_t i = 0; i < args->of[0].n; i++) {
        struct row *row = waiting_command(session, A(0, i), A(1, i));
        if (!row || row_is_locked(session, row) || !row_seen(session, row)->cells[O_LEASE].null)
            continue;
        row_write(session, row, NULL);
        *sim_result(rows, 1) = cell_int((int64_t)i + 1);
    }
    return true;
}

/* ---- relays ---- */

static bool outbox_horizon(struct session *session, const struct args *args, struct pg_rows *rows)
{
    (void)session, (void)args;
    *sim_result(rows, 1) = cell_int(sim_xmin());
    return true;
}

static bool is_from(const struct image *image, const struct args *args)
{
    return image->cells[O_XID].n >= A(0, 0)->n;
}

static bool outbox_first(struct session *session, const struct args *args, struct pg_rows *rows)
{
    const struct row *row;
    for (size_t at = 0; (row = row_in_order(session, T_OUTBOX, &at));) {
        if (!is_from(row_seen(session, row), args))
            continue;
        *sim_result(rows, 1) = row_seen(session, row)->cells[O_XID];
        return true;
    }
    return true;
}

static bool is_claimable(const struct image *image, const struct args *args)
{
    const struct cell *lease = &image->cells[O_LEASE];
    for (size_t i = 0; i < args->of[2].n; i++) {
        if (cell_equal(&image->cells[O_TOPIC], A(2, i)))
            return false;
    }
    return is_from(image, args) && (lease->null || lease->n < sim_server_ms());
}

static void claim(struct session *session, struct row *row, int64_t lease_ms, struct pg_rows *rows)
{
    struct image image;
    image_copy(&image, row, row_seen(session, row));
    bool tried = !image.cells[O_LEASE].null;
    image.cells[O_LEASE] = cell_time(sim_server_ms() + lease_ms);
    image.cells[O_TID] = cell_int(next_tid());
    struct cell *out = sim_result(rows, 9);
    static const int columns[] = {O_TID, O_XID, O_ID, O_TOPIC, O_KEY, O_HEADERS, O_VALUE, O_CREATED};
    for (size_t k = 0; k < 8; k++)
        out[k] = given(&image.cells[columns[k]]);
    out[8] = cell_int(tried);
    row_write(session, row, image.cells);
}

static bool outbox_claim(struct session *session, const struct args *args, struct pg_rows *rows)
{
    struct row *row;
    size_t at = 0;
    for (int64_t taken = 0; taken < A(1, 0)->n && (row = row_in_order(session, T_OUTBOX, &at));) {
        if (row_is_locked(session, row) || !is_claimable(row_seen(session, row), args))
            continue;
        claim(session, row, A(3, 0)->n, rows);
        taken++;
    }
    return true;
}

/* The rows at these places, if they still have these ids: the change is `lease`, or NULL: they are deleted. */
static bool settle(struct session *session, const struct args *args, const struct cell *lease)
{
    for (size_t i = 0; i < args->of[1].n; i++) {
        struct row *row = row_find(session, T_OUTBOX, A(1, i), 1);
        const struct image *seen = NULL;
        if (!row || row_seen(session, row)->cells[O_TID].n != A(0, i)->n)
            continue;
        if (!row_lock(session, row, &seen))
            return false;
        if (!seen)
            continue; /* a row that was moved meanwhile is followed, as EvalPlanQual does, and has another place then */
        if (seen->cells[O_TID].n != A(0, i)->n)
            continue;
        struct image image;
        image_copy(&image, row, seen);
        if (lease) {
            image.cells[O_LEASE] = *lease;
            image.cells[O_TID] = cell_int(next_tid());
        }
        row_write(session, row, lease ? image.cells : NULL);
    }
    return true;
}

static bool settle_sent(struct session *session, const struct args *args, struct pg_rows *rows)
{
    (void)rows;
    return settle(session, args, NULL);
}

static bool settle_unsent(struct session *session, const struct args *args, struct pg_rows *rows)
{
    (void)rows;
    struct cell lease = {.null = true};
    return settle(session, args, &lease);
}

static bool settle_doubtful(struct session *session, const struct args *args, struct pg_rows *rows)
{
    (void)rows;
    struct cell lease = cell_time(sim_server_ms());
    return settle(session, args, &lease);
}

/* ---- participants ---- */

static bool put_inbox(struct session *session, const struct cell *saga, const struct cell *step, const char *kind, int64_t round,
                      const char *verdict)
{
    const struct cell cells[] = {*saga, *step, cell_text(kind), cell_int(round), cell_text(verdict), cell_text(NULL), cell_text(NULL)};
    bool inserted;
    return row_insert(session, T_INBOX, cells, 3, &inserted);
}

/* The places of the keys (saga, step, kind) in their order, in which rows are inserted. */
static size_t *in_key_order(const struct args *args)
{
    size_t n = args->of[1].n, *order = mem_array(n + 1, sizeof *order);
    for (size_t i = 0; i < n; i++) {
        size_t at = i;
        for (; at; at--) {
            size_t other = order[at - 1];
            int c = cell_compare(A(1, other), A(1, i));
            c = c ? c : cell_compare(A(2, other), A(2, i));
            c = c || args->n < 4 ? c : cell_compare(A(3, other), A(3, i));
            if (c <= 0)
                break;
            order[at] = other;
        }
        order[at] = i;
    }
    return order;
}

/* ON CONFLICT DO UPDATE ... WHERE verdict = 'failed' */
static bool fence_failed(struct session *session, const struct cell *saga, const struct cell *step)
{
    const struct cell key[] = {*saga, *step, cell_text("action")};
    struct row *row = row_find(session, T_INBOX, key, 3);
    struct image image;
    bool there;
    if (!take(session, row, &image, &there))
        return false;
    if (!there || !is_text(&image.cells[I_VERDICT], "failed"))
        return true;
    image.cells[I_ROUND] = cell_int(INT32_MAX);
    image.cells[I_VERDICT] = cell_text("refused");
    row_write(session, row, image.cells);
    return true;
}

static bool inbox_fence(struct session *session, const struct args *args, struct pg_rows *rows)
{
    (void)rows;
    size_t *order = in_key_order(args);
    bool ok = true;
    for (size_t i = 0; i < args->of[1].n && ok; i++)
        ok = put_inbox(session, A(1, order[i]), A(2, order[i]), "action", INT32_MAX, "refused") &&
             fence_failed(session, A(1, order[i]), A(2, order[i]));
    free(order);
    return ok;
}

static bool inbox_insert(struct session *session, const struct args *args, struct pg_rows *rows)
{
    (void)rows;
    size_t *order = in_key_order(args);
    bool ok = true;
    for (size_t i = 0; i < args->of[1].n && ok; i++)
        ok = put_inbox(session, A(1, order[i]), A(2, order[i]), A(3, order[i])->text, A(4, order[i])->n, NULL);
    free(order);
    return ok;
}

static bool inbox_read(struct session *session, const struct args *args, struct pg_rows *rows)
{
    for (size_t i = 0; i < args->of[1].n; i++) {
        for (struct row *row = NULL; (row = row_next(session, T_INBOX, A(1, i), row));) {
            const struct image *seen = row_seen(session, row);
            if (!seen || !cell_equal(&seen->cells[I_SAGA], A(1, i)) || !cell_equal(&seen->cells[I_STEP], A(2, i)))
                continue;
            if (!row_lock(session, row, &seen))
                return false;
            if (!seen)
                continue;
            struct cell *out = sim_result(rows, 6);
            out[0] = cell_int((int64_t)i + 1);
            out[1] = given(&seen->cells[I_KIND]);
            out[2] = given(&seen->cells[I_ROUND]);
            out[3] = given(&seen->cells[I_VERDICT]);
            out[4] = given(&seen->cells[I_REPLY]);
            out[5] = given(&seen->cells[I_CLOCK]);
        }
    }
    return true;
}

static struct row *inbox_row(struct session *session, const struct args *args, size_t i)
{
    const struct cell key[] = {*A(1, i), *A(2, i), *A(3, i)};
    return row_find(session, T_INBOX, key, 3);
}

static bool inbox_record(struct session *session, const struct args *args, struct pg_rows *rows)
{
    (void)rows;
    for (size_t i = 0; i < args->of[1].n; i++) {
        struct row *row = inbox_row(session, args, i);
        struct image image;
        bool there;
        if (!take(session, row, &image, &there))
            return false;
        if (!there)
            continue;
        image.cells[I_ROUND] = *A(4, i);
        image.cells[I_VERDICT] = *A(5, i);
        image.cells[I_REPLY] = *A(6, i);
        image.cells[I_CLOCK] = *A(7, i);
        row_write(session, row, image.cells);
    }
    return true;
}

static bool inbox_drop(struct session *session, const struct args *args, struct pg_rows *rows)
{
    (void)rows;
    for (size_t i = 0; i < args->of[1].n; i++) {
        struct row *row = inbox_row(session, args, i);
        if (row && row_seen(session, row)->cells[I_VERDICT].null)
            row_write(session, row, NULL);
    }
    return true;
}

static bool clock_tick(struct session *session, const struct args *args, struct pg_rows *rows)
{
    for (size_t i = 0; i < args->of[1].n; i++) {
        const struct cell cells[] = {*A(1, i), *A(2, i)};
        struct image image = {.cells = {*A(1, i), *A(2, i)}};
        bool inserted, there = false;
        if (!row_insert(session, T_CLOCK, cells, 1, &inserted))
            return false;
        struct row *row = inserted ? NULL : row_find(session, T_CLOCK, cells, 1);
        if (row && !take(session, row, &image, &there))
            return false;
        if (there) {
            image.cells[N_NUMBER].n += A(2, i)->n;
            row_write(session, row, image.cells);
        }
        *sim_result(rows, 1) = cell_int(image.cells[N_NUMBER].n);
    }
    return true;
}

static bool replies_insert(struct session *session, const struct args *args, struct pg_rows *rows)
{
    (void)rows;
    const struct cell lease = {.null = true};
    int64_t tid;
    for (size_t i = 0; i < args->of[0].n; i++) {
        if (!put_message(session, args, 0, i, &lease, &tid))
            return false;
    }
    return true;
}

static bool save(struct session *session, const struct args *args, struct pg_rows *rows)
{
    (void)args, (void)rows;
    tx_save(session);
    return true;
}

static bool return_to(struct session *session, const struct args *args, struct pg_rows *rows)
{
    (void)args, (void)rows;
    tx_return(session);
    return true;
}

/* What a simulated handler does to its tables. Nothing forbids to do it twice: that is what the checks look for. */
static bool effect(struct session *session, const struct args *args, struct pg_rows *rows)
{
    static int64_t number;
    (void)rows;
    const struct cell cells[] = {*A(0, 0), *A(1, 0), *A(2, 0), cell_int(++number)};
    return insert_new(session, T_EFFECT, cells, 0);
}

/* ---- what only operators look at ---- */

static bool presence_wanted(struct session *session, const struct args *args, struct pg_rows *rows)
{
    (void)session, (void)args;
    *sim_result(rows, 1) = cell_int(0);
    return true;
}

static bool zeros(struct session *session, const struct args *args, struct pg_rows *rows)
{
    (void)session, (void)args;
    struct cell *out = sim_result(rows, 7);
    for (size_t i = 0; i < 7; i++)
        out[i] = cell_int(0);
    return true;
}

const struct model sim_models[] = {
    {"definition_latest", 0x7f9b2654, definition_latest},
    {"definition_insert", 0x3c8f373d, definition_insert},
    {"definition_get", 0xd8b719bf, definition_get},
    {"server_start", 0x4e444919, server_start},
    {"saga_load", 0x97163af4, saga_load},
    {"step_load", 0xd83c98a2, step_load},
    {"saga_insert", 0x869f97c6, saga_insert},
    {"saga_update", 0x5b893a04, saga_update},
    {"step_insert", 0x62a03bf4, step_insert},
    {"step_update", 0x51c221cc, step_update},
    {"touch_insert", 0x1c8bb8b6, touch_insert},
    {"history_insert", 0xcd156f99, history_insert},
    {"saga_by_key", 0x7c6cba90, saga_by_key},
    {"saga_generations", 0xa9af178e, saga_generations},
    {"entity_lock", 0x62085175, entity_lock},
    {"entity_heads", 0x91876779, entity_heads},
    {"entity_claim", 0x3e1cfbec, entity_claim},
    {"entity_release", 0x3a13d2f2, entity_release},
    {"entity_wake", 0x7814ffa6, entity_wake},
    {"saga_by_live_key", 0xf821c34c, saga_by_live_key},
    {"saga_glance", 0xdfd44a1f, saga_glance},
    {"saga_due", 0x4e95931b, saga_due},
    {"outbox_insert", 0x4e038c38, outbox_insert},
    {"command_waits", 0x8bba8886, command_waits},
    {"command_withdraw", 0x7f25455c, command_withdraw},
    {"outbox_horizon", 0x6e7db2d6, outbox_horizon},
    {"outbox_first", 0x38d16807, outbox_first},
    {"outbox_claim", 0x4e281b7a, outbox_claim},
    {"settle_sent", 0x6d029f43, settle_sent},
    {"settle_unsent", 0x109ca293, settle_unsent},
    {"settle_doubtful", 0xfc26574f, settle_doubtful},
    {"inbox_fence", 0xe3344ce1, inbox_fence},
    {"inbox_insert", 0x44c5e5ba, inbox_insert},
    {"inbox_read", 0x78481253, inbox_read},
    {"inbox_record", 0xa80e941c, inbox_record},
    {"inbox_drop", 0xe26c17d5, inbox_drop},
    {"clock_tick", 0xa841588c, clock_tick},
    {"replies_insert", 0x9c650a26, replies_insert},
    {"handler_savepoint", 0x37642618, save},
    {"handler_rollback", 0xcb273665, return_to},
    {"handler_alive", 0x450aa1e1, nothing},
    {"handler_release", 0x6b0cfb60, nothing},
    {"sim_effect", 0x9d880f89, effect},
    {"presence_wanted", 0, presence_wanted},
    {"presence_forget", 0x332b63f1, nothing},
    {"presence_say", 0xd6e60e21, nothing},
    {"presence_leave", 0x20c8d030, nothing},
    {"gauges_sagas", 0x0f9ed30c, zeros},
    {"gauges_outbox", 0xcdfbe460, zeros},
    {"minutes_put", 0x749ef052, nothing},
    {"minutes_forget", 0x958af2ef, nothing},
    {NULL, 0, NULL},
};
