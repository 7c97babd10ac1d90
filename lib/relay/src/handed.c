#include "handed.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

#define GATHER_MS 20 /* nobody waits for a deletion, so it waits for others */
#define GATHER_MAX 500

/* A row's place may be another row's by now, if the lease has passed: so the id must agree too. */
/* clang-format off */
static const struct pg_statement handed_delete = {
    "handed_delete", "DELETE FROM outbox WHERE ctid = ANY($1) AND id = ANY($2)"};
static const struct pg_statement handed_give_back = {
    "handed_give_back", "UPDATE outbox SET leased_until = NULL WHERE ctid = ANY($1) AND id = ANY($2)"};
/* clang-format on */

void handed_init(struct handed *handed)
{
    *handed = (struct handed){0};
    pthread_mutex_init(&handed->lock, NULL);
}

static void forget(struct handed_set *set)
{
    for (size_t i = 0; i < set->n; i++)
        free(set->rows[i]);
    set->n = 0;
}

void handed_free(struct handed *handed)
{
    forget(&handed->acked);
    forget(&handed->back);
    free(handed->acked.rows);
    free(handed->back.rows);
    pthread_mutex_destroy(&handed->lock);
}

static void add(struct handed *handed, struct handed_set *set, struct handed_row *row)
{
    pthread_mutex_lock(&handed->lock);
    if (!handed->acked.n && !handed->back.n)
        handed->since_ms = clock_mono_ms();
    if (set->n == set->cap) {
        set->cap = set->cap ? set->cap * 2 : 256;
        set->rows = mem_grow(set->rows, set->cap, sizeof(struct handed_row *));
    }
    set->rows[set->n++] = row;
    pthread_mutex_unlock(&handed->lock);
}

void handed_acked(struct handed *handed, struct handed_row *row)
{
    add(handed, &handed->acked, row);
}

void handed_back(struct handed *handed, struct handed_row *row)
{
    add(handed, &handed->back, row);
}

int64_t handed_due_ms(struct handed *handed)
{
    pthread_mutex_lock(&handed->lock);
    size_t waiting = handed->acked.n;
    int64_t due_ms = handed->back.n || waiting >= GATHER_MAX ? 0 : waiting ? handed->since_ms + GATHER_MS : INT64_MAX;
    pthread_mutex_unlock(&handed->lock);
    return due_ms;
}

/* Empties the set into one that the caller works on without the lock. */
static struct handed_set take(struct handed *handed, struct handed_set *set)
{
    pthread_mutex_lock(&handed->lock);
    struct handed_set taken = *set;
    *set = (struct handed_set){0};
    pthread_mutex_unlock(&handed->lock);
    return taken;
}

static bool run(struct handed *handed, struct pg *pg, struct handed_set *set, const struct pg_statement *statement,
                size_t *n, struct err *err)
{
    struct pg_params params = {0};
    struct pg_rows *rows = NULL;
    struct handed_set taken = take(handed, set);
    *n = taken.n;
    if (!taken.n)
        return true;
    struct pg_column *tids = pg_param_array(&params, PG_TID), *ids = pg_param_array(&params, PG_UUID);
    for (size_t i = 0; i < taken.n; i++) {
        pg_add_tid(tids, taken.rows[i]->tid);
        pg_add_uuid(ids, &taken.rows[i]->id);
    }
    bool ok = pg_call(pg, statement, &params, &rows, err);
    pg_params_free(&params);
    pg_rows_free(rows);
    if (ok)
        forget(&taken);
    for (size_t i = 0; i < taken.n; i++)
        add(handed, set, taken.rows[i]);
    free(taken.rows);
    return ok;
}

bool handed_settle(struct handed *handed, struct pg *pg, bool *gave_back, struct err *err)
{
    size_t deleted, returned;
    if (!run(handed, pg, &handed->acked, &handed_delete, &deleted, err) ||
        !run(handed, pg, &handed->back, &handed_give_back, &returned, err))
        return false;
    *gave_back = returned > 0;
    return true;
}
