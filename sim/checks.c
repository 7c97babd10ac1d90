/* The invariants when all is at rest: what the watch has noted of each saga, and what the database says. */
#include <stdio.h>
#include <string.h>

#include "broker.h"
#include "known.h"
#include "postgres.h"

#define LOOK_US 20000

static char unrest[256];

const char *checks_unrest(void)
{
    return unrest;
}

static bool outboxes_empty(void)
{
    for (size_t i = 0; sim_schema_at(i); i++) {
        struct cursor at = {0};
        if (sim_committed(sim_schema_at(i), T_OUTBOX, &at)) {
            snprintf(unrest, sizeof unrest, "the outbox of %s is not empty", sim_schema_at(i)->name);
            return false;
        }
    }
    return true;
}

static const struct image *state_of(const struct known *known)
{
    struct session session = {.schema = sim_schema(SIM_SCHEMA)};
    struct cell id = cell_id(&known->id);
    return row_seen(&session, row_find(&session, T_SAGA, &id, 1));
}

static bool in_state(const struct known *known, const char *state)
{
    return strcmp(state_of(known)->cells[S_STATE].text, state) == 0;
}

/* Marks the sagas that wait for a thing of one that is stuck, or for itself. Whether more were found. */
static bool spread_stuck(struct known *stuck)
{
    bool more = false;
    for (struct known *other = known_first(); other; other = other->next_of_all) {
        bool is_parent = stuck->is_child && uuid_equal(&stuck->parent, &other->id);
        if (other->stuck || other->ended || (!is_parent && (!share(stuck, other) || !in_state(other, "QUEUED"))))
            continue;
        other->stuck = more = true;
        other->asks = is_parent;
    }
    return more;
}

/* Stalled sagas, and those that wait for what they hold. */
static void mark_stuck(void)
{
    bool more = true;
    for (struct known *known = known_first(); known; known = known->next_of_all)
        known->stuck = in_state(known, "STALLED"), known->asks = false;
    while (more) {
        more = false;
        for (struct known *known = known_first(); known; known = known->next_of_all)
            more = (known->stuck && spread_stuck(known)) || more;
    }
}

/* It has ended, or it is stuck and nothing of it is under way any more. */
static bool is_at_rest(const struct known *known)
{
    return (known->ended || known->stuck) && (known->asks || state_of(known)->cells[S_WAKE].null);
}

/* Something of it is under way: whether others are stuck makes no difference. */
static bool is_busy(const struct known *known)
{
    return !known->ended && !known->has_child && !in_state(known, "STALLED") && !in_state(known, "QUEUED");
}

/* False, with what is said of it. */
static bool has_no_rest(const struct known *known)
{
    char id[UUID_TEXT_MAX];
    snprintf(unrest, sizeof unrest, "saga %s is %s", uuid_format(&known->id, id), state_of(known)->cells[S_STATE].text);
    return false;
}

static bool sagas_at_rest(void)
{
    static const struct known *busy; /* when last looked */
    if (!busy || !is_busy(busy))
        busy = known_first();
    while (busy && !is_busy(busy))
        busy = busy->next_of_all;
    if (busy)
        return has_no_rest(busy);
    mark_stuck();
    for (const struct known *known = known_first(); known; known = known->next_of_all) {
        if (!is_at_rest(known))
            return has_no_rest(known);
    }
    return true;
}

bool checks_at_rest(void)
{
    static int64_t next_us;
    if (sim_now_us() < next_us)
        return false;
    next_us = sim_now_us() + LOOK_US;
    snprintf(unrest, sizeof unrest, "replies or commands are not read");
    return client_done() && sagas_at_rest() && outboxes_empty() && sim_broker_at_rest();
}

static void check_completed(const struct known *known)
{
    for (size_t i = 0; i < known->definition->steps_n; i++) {
        bool calls = acts(known, (int)i) && !known->facts[i].skipped;
        if (!known->facts[i].touched && (known->facts[i].actions != calls || known->facts[i].compensations))
            violated(2, known, (int)i, "a completed saga has a step that did not take effect exactly once");
    }
}

static void check_compensated(const struct known *known)
{
    for (size_t i = 0; i < known->definition->steps_n; i++) {
        if (!known->facts[i].touched && acts(known, (int)i) && known->definition->steps[i].compensation && known->facts[i].actions != known->facts[i].compensations)
            violated(3, known, (int)i, "a compensated saga has left an effect");
    }
}

static void check_inboxes(void)
{
    for (size_t i = 0; sim_schema_at(i); i++) {
        struct cursor at = {0};
        for (const struct image *image; (image = sim_committed(sim_schema_at(i), T_INBOX, &at));) {
            if (image->cells[I_VERDICT].null)
                sim_fail("an inbox has a row without verdict");
        }
    }
}

struct tallied checks_tally(void)
{
    struct tallied tallied = {0};
    for (const struct known *known = known_first(); known; known = known->next_of_all) {
        const char *state = state_of(known)->cells[S_STATE].text;
        tallied.completed += strcmp(state, "COMPLETED") == 0;
        tallied.compensated += strcmp(state, "COMPENSATED") == 0;
        tallied.stalled += strcmp(state, "STALLED") == 0;
    }
    return tallied;
}

/* What became of a child agrees with what became of its parent. */
static void check_child(const struct known *child)
{
    const struct known *parent = known_of(&child->parent);
    int step = definition_step(parent->definition, child->parent_step);
    const struct image *image = state_of(child);
    bool superseded = strcmp(image->cells[S_ORDER].text, "superseded") == 0;
    if (parent->facts[step].touched || superseded)
        return;
    if (in_state(parent, "COMPENSATED") && !in_state(child, "COMPENSATED"))
        violated(3, child, -1, "its parent was compensated, and it was not");
    if (in_state(parent, "COMPLETED") && !in_state(child, "COMPLETED"))
        violated(2, child, -1, "its parent has completed, and it has not");
}

void checks_finish(size_t sagas)
{
    size_t roots = 0;
    for (const struct known *known = known_first(); known; known = known->next_of_all)
        roots += !known->is_child;
    if (roots != client_sagas())
        sim_fail("invariant 1 is violated: %zu sagas were accepted, %zu are there", client_sagas(), roots);
    for (size_t i = 0; i < sagas; i++) {
        if (!known_of(client_saga(i)))
            sim_fail("invariant 1 is violated: a saga that was accepted is lost");
    }
    for (const struct known *known = known_first(); known; known = known->next_of_all) {
        const char *state = state_of(known)->cells[S_STATE].text;
        if (known->is_child)
            check_child(known);
        if (strcmp(state, "COMPLETED") == 0)
            check_completed(known);
        if (strcmp(state, "COMPENSATED") == 0)
            check_compensated(known);
    }
    check_inboxes();
    clocks_finish();
}
