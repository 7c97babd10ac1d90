#include "settle.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

#define GATHER_MS 20 /* nobody waits for a deletion, so it waits for others */
#define GATHER_MAX 500

/* A row's place may be another row's by now, if the lease has passed: so the id must agree too. A crash of the server may
 * undo what is done here, without harm: a row that comes back is sent again. So its commit does not wait for the disk. */
/* clang-format off */
static const struct pg_statement settle[FATES_N] = {
    [FATE_SENT] = {"settle_sent", "DELETE FROM outbox WHERE ctid = ANY($1) AND id = ANY($2)"},
    [FATE_UNSENT] = {"settle_unsent", "UPDATE outbox SET leased_until = NULL WHERE ctid = ANY($1) AND id = ANY($2)"},
    [FATE_DOUBTFUL] = {"settle_doubtful", "UPDATE outbox SET leased_until = now() WHERE ctid = ANY($1) AND id = ANY($2)"},
};
/* clang-format on */

void settle_open(struct settle *s)
{
    *s = (struct settle){0};
    pthread_mutex_init(&s->lock, NULL);
}

void settle_close(struct settle *s)
{
    for (int fate = 0; fate < FATES_N; fate++)
        free(s->sets[fate].rows);
    pthread_mutex_destroy(&s->lock);
}

enum fate settle_fate(const struct err *err)
{
    if (!err)
        return FATE_SENT;
    return err->in_doubt ? FATE_DOUBTFUL : FATE_UNSENT;
}

static size_t waiting(const struct settle *s)
{
    return s->sets[FATE_SENT].n + s->sets[FATE_UNSENT].n + s->sets[FATE_DOUBTFUL].n;
}

static void add(struct settle *s, enum fate fate, const struct settled_row *rows, size_t n)
{
    struct settled_rows *set = &s->sets[fate];
    if (!waiting(s))
        s->since_ms = clock_mono_ms();
    if (set->n + n > set->cap) {
        set->cap = set->n + n > 256 ? 2 * (set->n + n) : 256;
        set->rows = mem_grow(set->rows, set->cap, sizeof *set->rows);
    }
    memcpy(set->rows + set->n, rows, n * sizeof *rows);
    set->n += n;
}

void settle_add(struct settle *s, enum fate fate, const struct settled_row *row)
{
    pthread_mutex_lock(&s->lock);
    add(s, fate, row, 1);
    pthread_mutex_unlock(&s->lock);
}

int64_t settle_due_ms(struct settle *s)
{
    pthread_mutex_lock(&s->lock);
    size_t n = waiting(s), sent = s->sets[FATE_SENT].n;
    int64_t due_ms = n > sent || sent >= GATHER_MAX ? 0 : sent ? s->since_ms + GATHER_MS : INT64_MAX;
    pthread_mutex_unlock(&s->lock);
    return due_ms;
}

/* Empties the sets into ones that the caller works on without the lock. */
static void take(struct settle *s, struct settled_rows *taken)
{
    pthread_mutex_lock(&s->lock);
    memcpy(taken, s->sets, sizeof s->sets);
    memset(s->sets, 0, sizeof s->sets);
    pthread_mutex_unlock(&s->lock);
}

static void put_back(struct settle *s, const struct settled_rows *taken)
{
    pthread_mutex_lock(&s->lock);
    for (int fate = 0; fate < FATES_N; fate++) {
        if (taken[fate].n)
            add(s, fate, taken[fate].rows, taken[fate].n);
    }
    pthread_mutex_unlock(&s->lock);
}

static void fill(struct pg_params *params, const struct settled_rows *set)
{
    struct pg_column *tids = pg_param_array(params, PG_TID), *ids = pg_param_array(params, PG_UUID);
    for (size_t i = 0; i < set->n; i++) {
        pg_add_tid(tids, set->rows[i].tid);
        pg_add_uuid(ids, &set->rows[i].id);
    }
}

static bool run(struct pg *pg, const struct settled_rows *sets, struct err *err)
{
    struct pg_params params[FATES_N] = {0};
    struct pg_call calls[FATES_N + 1] = {{&PG_NO_WAIT, NULL, NULL}};
    size_t n = 1;
    for (int fate = 0; fate < FATES_N; fate++) {
        if (!sets[fate].n)
            continue;
        fill(&params[fate], &sets[fate]);
        calls[n++] = (struct pg_call){&settle[fate], &params[fate], NULL};
    }
    bool ok = n == 1 || pg_run(pg, calls, n, err);
    for (size_t i = 0; i < n; i++)
        pg_rows_free(calls[i].rows);
    for (int fate = 0; fate < FATES_N; fate++)
        pg_params_free(&params[fate]);
    return ok;
}

bool settle_run(struct settle *s, struct pg *pg, bool *gave_back, struct err *err)
{
    struct settled_rows taken[FATES_N];
    take(s, taken);
    bool ok = run(pg, taken, err);
    if (ok)
        *gave_back = taken[FATE_UNSENT].n + taken[FATE_DOUBTFUL].n > 0;
    else
        put_back(s, taken);
    for (int fate = 0; fate < FATES_N; fate++)
        free(taken[fate].rows);
    return ok;
}
