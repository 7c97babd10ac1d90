/* The definition is simplified first: one attempt for each action, and inputs without values. */
#include "verify/verify.h"

#include <stdio.h>
#include <string.h>

#include "core/logic.h"
#include "explore.h"

/* A condition that looks at something holds or not: the input says it. */
static void simplify_step(json_t *step, size_t index)
{
    json_t *when = json_object_get(step, "when");
    char path[32];
    snprintf(path, sizeof path, "input.w%zu", index);
    if (when && !logic_is_constant(when))
        json_object_set_new(step, "when", json_pack("{s:s}", "var", path));
    if (!json_object_get(step, "service") && !json_object_get(step, "saga"))
        return;
    json_object_del(step, "input");
    json_object_del(step, "on_timeout"); /* with one attempt silence means the same, whatever it says */
    json_object_set_new(step, "retry", json_pack("{s:i}", "max_attempts", 1));
}

static struct definition *simplify(const struct definition *definition)
{
    struct problems problems = {0};
    size_t i;
    json_t *source = json_deep_copy(definition->source), *step;
    json_array_foreach(json_object_get(source, "steps"), i, step)
        simplify_step(step, i);
    struct definition *simple = definition_read(source, &problems);
    json_decref(source);
    return simple;
}

static bool is_running(const struct position *p, int step)
{
    return p->steps[step].state == STEP_RUNNING;
}

/* A step other than `failing` that can be answered now; -1: none. */
static int answerable(const struct position *p, int failing)
{
    for (size_t i = 0; i < p->saga.definition->steps_n; i++) {
        if ((int)i != failing && step_in_flight(p->steps[i].state))
            return (int)i;
    }
    return -1;
}

/* What ends the step, well or badly. A delay cannot end badly. */
static struct happening end_of(const struct position *p, int step, bool fails)
{
    struct happening h = {.type = EVENT_REPLY, .step = step, .outcome = fails ? OUTCOME_FAILED : OUTCOME_SUCCEEDED};
    enum step_kind kind = p->saga.definition->steps[step].kind;
    if (p->steps[step].state == STEP_COMPENSATING)
        h.kind = KIND_COMPENSATION;
    if (kind == STEP_DELAYS || (kind == STEP_WAITS && fails))
        h.type = EVENT_TIMER;
    else if (kind == STEP_WAITS)
        h.type = EVENT_SIGNAL;
    return h;
}

/* Everybody succeeds, but for the one step that says no. */
static void follow_failure(const struct definition *definition, int failing, struct verify_failure *out)
{
    struct position p;
    struct arena arena = {0};
    *out = (struct verify_failure){.step = failing};
    (void)!position_start(&p, definition, &(struct step_set){0}); /* explore has told of faults */
    for (int step; (step = answerable(&p, failing)) >= 0 || is_running(&p, failing);) {
        bool fails = step < 0;
        struct happening h = end_of(&p, fails ? failing : step, fails);
        (void)!position_move(&p, &h, &arena, out);
        arena_reset(&arena);
    }
    out->cannot_fail = p.saga.state == SAGA_COMPLETED;
    out->stalls = p.saga.state == SAGA_STALLED;
    out->left = p.may;
    arena_free(&arena);
}

bool verify(const struct definition *definition, const struct verify_bounds *bounds, struct verification *out)
{
    *out = (struct verification){0};
    struct definition *simple = simplify(definition);
    if (!simple)
        return false;
    explore(simple, bounds, out);
    for (size_t i = 0; i < simple->steps_n && !out->violation; i++) /* a broken core may go round in circles */
        follow_failure(simple, (int)i, &out->failures[i]);
    definition_free(simple);
    return true;
}

void verify_free(struct verification *verification)
{
    arena_free(&verification->arena);
}
