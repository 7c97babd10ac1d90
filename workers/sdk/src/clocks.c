/* The vector clock's component of this service: a counter for each entity. It is counted up in the transaction of the effect, and its row's
 * lock is held until that commits: so the numbers are in the order of the effects. A crash before the commit leaves them as they were. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/vclock.h"
#include "task.h"

/* clang-format off */
static const struct pg_statement clock_tick = {
    "clock_tick",
    "INSERT INTO entity_clock (namespace, key, n)"
    " SELECT namespace, key, n FROM unnest($1::text[], $2::text[], $3::bigint[]) WITH ORDINALITY AS t(namespace, key, n, place)"
    " ORDER BY place ON CONFLICT (namespace, key) DO UPDATE SET n = entity_clock.n + excluded.n RETURNING n"};
/* clang-format on */

/* One entity of one effect. */
struct touch {
    const char *namespace_, *key;
    size_t task;
    int64_t n; /* its number */
};

struct touches {
    struct touch *all;
    size_t n;
};

/* A refused action and a compensation that was not needed have changed nothing. */
static bool has_effect(const struct task *task)
{
    return task->command.clock && task->way == WAY_RUN && task->twin < 0 && task->verdict && strcmp(task->verdict, "succeeded") == 0;
}

static void add_touches(struct touches *touches, struct arena *arena, const struct task *tasks, size_t i)
{
    struct err err;
    const char *key;
    json_t *counters, *clock = vclock_read(tasks[i].command.clock, strlen(tasks[i].command.clock), &err); /* was checked when the command was read */
    json_object_foreach(clock, key, counters)
        touches->all[touches->n++] = (struct touch){tasks[i].command.about.namespace_, arena_strdup(arena, key), i, 0};
    json_decref(clock);
}

/* All workers of the service take the locks in this order. */
static int by_key_then_task(const void *a, const void *b)
{
    const struct touch *x = a, *y = b;
    int order = strcmp(x->namespace_, y->namespace_);
    order = order ? order : strcmp(x->key, y->key);
    return order ? order : (x->task > y->task) - (x->task < y->task);
}

static struct touches find_touches(struct arena *arena, const struct task *tasks, size_t n)
{
    size_t effects = 0;
    for (size_t i = 0; i < n; i++)
        effects += has_effect(&tasks[i]);
    struct touches touches = {.all = arena_array(arena, effects * VCLOCK_ENTITIES_MAX, sizeof *touches.all)};
    for (size_t i = 0; i < n; i++) {
        if (has_effect(&tasks[i]))
            add_touches(&touches, arena, tasks, i);
    }
    if (touches.n)
        qsort(touches.all, touches.n, sizeof *touches.all, by_key_then_task);
    return touches;
}

/* The end of the run of touches of one entity that begins at `first`. */
static size_t end_of_entity(const struct touches *touches, size_t first)
{
    size_t end = first;
    while (end < touches->n && strcmp(touches->all[end].key, touches->all[first].key) == 0 &&
           strcmp(touches->all[end].namespace_, touches->all[first].namespace_) == 0)
        end++;
    return end;
}

static bool count_up(struct pg *pg, struct touches *touches, struct err *err)
{
    struct pg_params params = {0};
    struct pg_rows *rows = NULL;
    struct pg_column *namespaces = pg_param_array(&params, PG_TEXT), *keys = pg_param_array(&params, PG_TEXT);
    struct pg_column *numbers = pg_param_array(&params, PG_INT8);
    for (size_t first = 0, end; first < touches->n; first = end) {
        end = end_of_entity(touches, first);
        pg_add_text(namespaces, touches->all[first].namespace_);
        pg_add_text(keys, touches->all[first].key);
        pg_add_int(numbers, (int64_t)(end - first));
    }
    bool ok = pg_in_transaction(pg) ? pg_call(pg, &clock_tick, &params, &rows, err)
                                    : err_set(err, ERR_RETRY, "PostgreSQL: the transaction was lost");
    pg_params_free(&params);
    size_t row = 0;
    for (size_t first = 0, end; ok && first < touches->n; first = end, row++) {
        end = end_of_entity(touches, first);
        for (size_t i = first; i < end; i++)
            touches->all[i].n = pg_get_int(rows, row, 0) - (int64_t)(end - 1 - i);
    }
    pg_rows_free(rows);
    return ok;
}

static void set_clock(struct arena *arena, struct task *task, const struct touches *touches, size_t index, const char *service)
{
    json_t *clock = json_object();
    for (size_t i = 0; i < touches->n; i++) {
        if (touches->all[i].task == index)
            (void)vclock_set(clock, touches->all[i].key, service, touches->all[i].n);
    }
    struct buf text = buf_new(VCLOCK_TEXT_MAX);
    json_write(&text, clock);
    task->clock = arena_strdup(arena, buf_text(&text));
    buf_free(&text);
    json_decref(clock);
}

bool clocks_tick(struct pg *pg, struct arena *arena, struct task *tasks, size_t n, const char *service, struct err *err)
{
    struct touches touches = find_touches(arena, tasks, n);
    if (!touches.n)
        return true;
    if (!count_up(pg, &touches, err))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (has_effect(&tasks[i]))
            set_clock(arena, &tasks[i], &touches, i, service);
    }
    return true;
}
