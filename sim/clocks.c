/* The order of effects on entities: what the services' counters, their records and what the orchestrator has kept of them must
 * agree on. */
#include <string.h>

#include "base/vclock.h"
#include "known.h"
#include "postgres.h"

#define COUNTERS_MAX 4096

/* One entity at one service, as its inbox has told so far. */
struct counter {
    const struct schema *service;
    char entity[32];
    int64_t n, sum; /* how many numbers, and their sum */
    int64_t highest, before; /* of all, and of all but the last transaction */
    int64_t xid;
};
static struct counter counters[COUNTERS_MAX];
static size_t counters_n;

static struct counter *counter_of(const struct schema *service, const char *entity)
{
    for (size_t i = 0; i < counters_n; i++) {
        if (counters[i].service == service && strcmp(counters[i].entity, entity) == 0)
            return &counters[i];
    }
    if (counters_n == COUNTERS_MAX || strlen(entity) >= sizeof counters[0].entity)
        sim_fail("the simulator has no room for the counters of entities");
    counters[counters_n] = (struct counter){.service = service};
    strcpy(counters[counters_n].entity, entity);
    return &counters[counters_n++];
}

static json_t *clock_of(const struct cell *cell)
{
    struct err err;
    json_t *clock = cell->null ? NULL : vclock_read(cell->text, cell->len, &err);
    if (!cell->null && !clock)
        sim_fail("a clock that cannot be read: %s", cell->text);
    return clock;
}

/* A later transaction has higher numbers than all before it. */
static void note(const struct known *known, const struct schema *service, const char *entity, int64_t number, int64_t xid)
{
    struct counter *counter = counter_of(service, entity);
    if (counter->xid != xid)
        counter->before = counter->highest;
    counter->xid = xid;
    if (number <= counter->before)
        violated(5, known, -1, "the numbers of an entity's effects are not in the order of the effects");
    counter->highest = number > counter->highest ? number : counter->highest;
    counter->n++;
    counter->sum += number;
}

void clocks_recorded(const struct schema *service, const struct image *before, const struct image *after, int64_t xid)
{
    const struct known *known = known_of(&after->cells[I_SAGA].id);
    if (before && cell_equal(&before->cells[I_CLOCK], &after->cells[I_CLOCK]))
        return;
    json_t *clock = clock_of(&after->cells[I_CLOCK]), *numbers;
    const char *entity;
    if (clock && strcmp(after->cells[I_VERDICT].text, "succeeded") != 0)
        violated(5, known, -1, "a verdict without effect has counted up an entity's effects");
    json_object_foreach(clock, entity, numbers)
        note(known, service, entity, vclock_get(clock, entity, service->name), xid);
    json_decref(clock);
}

/* Every number from 1 on was given, and once. */
static void check_counters(void)
{
    for (size_t i = 0; i < counters_n; i++) {
        const struct counter *counter = &counters[i];
        struct session session = {.schema = sim_schema(counter->service->name)};
        struct cell key = cell_text(counter->entity);
        struct row *row = row_find(&session, T_CLOCK, &key, 1);
        int64_t n = row ? row_seen(&session, row)->cells[N_NUMBER].n : 0;
        if (counter->n != n || counter->sum != n * (n + 1) / 2)
            violated(5, NULL, -1, "the effects on an entity are not numbered one by one");
    }
}

/* Of a step, as the service has it; 0: it has none. */
static int64_t recorded_number(const struct image *touch)
{
    struct session session = {.schema = sim_schema(touch->cells[U_SERVICE].text)};
    const struct cell key[] = {touch->cells[U_SAGA], touch->cells[U_STEP], touch->cells[U_KIND]};
    struct row *row = row_find(&session, T_INBOX, key, 3);
    json_t *clock = row ? clock_of(&row_seen(&session, row)->cells[I_CLOCK]) : NULL;
    int64_t number = vclock_get(clock, touch->cells[U_KEY].text, touch->cells[U_SERVICE].text);
    json_decref(clock);
    return number;
}

static const struct image *saga_of(const struct known *known)
{
    struct session session = {.schema = sim_schema(SIM_SCHEMA)};
    struct cell key = cell_id(&known->id);
    return row_seen(&session, row_find(&session, T_SAGA, &key, 1));
}

/* What the orchestrator has kept is what the service did, and the saga knows of it. */
static void check_touches(void)
{
    struct cursor at = {0};
    for (const struct image *touch; (touch = sim_committed(sim_schema(SIM_SCHEMA), T_TOUCH, &at));) {
        const struct known *known = known_of(&touch->cells[U_SAGA].id);
        json_t *clock = clock_of(&saga_of(known)->cells[S_CLOCK]);
        if (recorded_number(touch) != touch->cells[U_NUMBER].n)
            violated(7, known, -1, "an effect is kept under another number than the service gave it");
        if (vclock_get(clock, touch->cells[U_KEY].text, touch->cells[U_SERVICE].text) < touch->cells[U_NUMBER].n)
            violated(7, known, -1, "a saga's clock is behind one of its own effects");
        json_decref(clock);
    }
}

static void check_told(const struct known *known, const char *entity, size_t step, const char *kind)
{
    struct session session = {.schema = sim_schema(SIM_SCHEMA)};
    const struct cell key[] = {cell_text(entity), cell_id(&known->id), cell_text(known->definition->steps[step].name), cell_text(kind)};
    if (!row_find(&session, T_TOUCH, key, 4))
        violated(7, known, (int)step, "an effect on an entity is not kept");
}

/* Each effect was told by the reply to it, at the latest after the saga's end. An operator's word stands before later ones. */
static void check_ended(const struct known *known)
{
    json_t *clock = clock_of(&saga_of(known)->cells[S_CLOCK]), *numbers;
    const char *entity;
    json_object_foreach(clock, entity, numbers) {
        for (size_t i = 0; i < known->definition->steps_n; i++) {
            const struct fact *fact = &known->facts[i];
            if (fact->actions && !fact->touched)
                check_told(known, entity, i, "action");
            if (fact->compensations && !fact->touched)
                check_told(known, entity, i, "compensation");
        }
    }
    if (known->definition->entities_n && json_object_size(clock) == 0)
        violated(7, known, -1, "a saga's clock does not name its entities");
    json_decref(clock);
}

void clocks_finish(void)
{
    check_counters();
    check_touches();
    for (const struct known *known = known_first(); known; known = known->next_of_all) {
        if (known->ended)
            check_ended(known);
    }
}
