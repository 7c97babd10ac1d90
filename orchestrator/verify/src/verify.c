/* The definition is simplified first: one attempt for each action, and inputs without values. */
#include "verify/verify.h"

#include <stdio.h>
#include <string.h>

#include "condition.h"
#include "core/logic.h"
#include "explore.h"

static struct step_set find_never_true(const struct definition *definition)
{
    struct step_set never = {0};
    size_t work = CONDITION_WORK;
    for (size_t i = 0; i < definition->steps_n; i++) {
        int step = definition->order[i];
        const json_t *when = definition->steps[step].when;
        if (when && !condition_can_hold(definition, when, &never, &work))
            step_set_add(&never, (size_t)step);
    }
    return never;
}

/* A condition that looks at something holds or not: the input says it. */
static void simplify_step(json_t *step, size_t index, bool never_true)
{
    json_t *when = json_object_get(step, "when");
    char path[32];
    snprintf(path, sizeof path, "input.w%zu", index);
    if (never_true)
        json_object_set_new(step, "when", json_false());
    else if (when && !logic_is_constant(when))
        json_object_set_new(step, "when", json_pack("{s:s}", "var", path));
    if (!json_object_get(step, "service") && !json_object_get(step, "saga"))
        return;
    json_object_del(step, "input");
    json_object_del(step, "on_timeout"); /* with one attempt silence means the same, whatever it says */
    json_object_set_new(step, "retry", json_pack("{s:i}", "max_attempts", 1));
}

static struct definition *simplify(const struct definition *definition, const struct step_set *never_true)
{
    struct problems problems = {0};
    size_t i;
    json_t *source = json_deep_copy(definition->source), *step;
    json_array_foreach(json_object_get(source, "steps"), i, step)
        simplify_step(step, i, step_set_has(never_true, i));
    struct definition *simple = definition_read(source, &problems);
    json_decref(source);
    return simple;
}

static bool is_running(const struct position *p, int step)
{
    return p->steps[step].state == STEP_RUNNING;
}

/* A step that can be answered now, the one that is not to succeed if there is no other; -1: none. */
static int answerable(const struct position *p, int failing)
{
    for (size_t i = 0; i < p->saga.definition->steps_n; i++) {
        bool fails = (int)i == failing && is_running(p, failing);
        if (!fails && step_in_flight(p->steps[i].state))
            return (int)i;
    }
    return is_running(p, failing) ? failing : -1;
}

enum ending { SUCCEEDS, FAILS, IS_SILENT };

/* What ends the step so. A delay cannot end badly. */
static struct happening end_of(const struct position *p, int step, enum ending ending)
{
    struct happening h = {.type = EVENT_REPLY, .step = step, .outcome = ending == SUCCEEDS ? OUTCOME_SUCCEEDED : OUTCOME_FAILED};
    enum step_kind kind = p->saga.definition->steps[step].kind;
    if (p->steps[step].state == STEP_COMPENSATING)
        h.kind = KIND_COMPENSATION;
    if (kind == STEP_DELAYS || ending == IS_SILENT || (kind == STEP_WAITS && ending == FAILS))
        h.type = EVENT_TIMER;
    else if (kind == STEP_WAITS)
        h.type = EVENT_SIGNAL;
    return h;
}

/* Those that follow a step were undone before it. */
static void find_stages(const struct definition *definition, struct verify_failure *failure)
{
    for (size_t i = 0; i < failure->undone_n; i++) {
        failure->stages[i] = 0;
        for (size_t k = 0; k < i; k++) {
            bool waited = step_set_has(&definition->steps[failure->undone[i]].descendants, (size_t)failure->undone[k]);
            if (waited && failure->stages[k] >= failure->stages[i])
                failure->stages[i] = failure->stages[k] + 1;
        }
    }
}

/* Everybody succeeds, but for the one step. */
static void follow_failure(const struct definition *definition, int failing, enum ending ending, struct verify_failure *out)
{
    struct position p;
    struct arena arena = {0};
    *out = (struct verify_failure){.step = failing};
    (void)!position_start(&p, definition, &(struct step_set){0}); /* explore has told of faults */
    for (int step; (step = answerable(&p, failing)) >= 0;) {
        bool ends_badly = step == failing && is_running(&p, failing);
        struct happening h = end_of(&p, step, ends_badly ? ending : SUCCEEDS);
        (void)!position_move(&p, &h, &arena, out);
        arena_reset(&arena);
    }
    out->cannot_fail = p.saga.state == SAGA_COMPLETED;
    out->stalls = p.saga.state == SAGA_STALLED;
    out->left = p.may;
    find_stages(definition, out);
    arena_free(&arena);
}

/* No participant carries it out; or a saga does, which is asked without end how it is. */
static bool is_always_heard(const struct step_definition *step)
{
    return step->kind != STEP_CALLS || (step->child && !step->retry.max_attempts);
}

bool verify(const struct definition *definition, const struct verify_bounds *bounds, struct verification *out)
{
    *out = (struct verification){0};
    out->never_true = find_never_true(definition);
    struct definition *simple = simplify(definition, &out->never_true);
    if (!simple)
        return false;
    explore(simple, bounds, out);
    for (size_t i = 0; i < simple->steps_n && !out->violation; i++) { /* a broken core may go round in circles */
        follow_failure(simple, (int)i, FAILS, &out->failed[i]);
        follow_failure(simple, (int)i, IS_SILENT, &out->unknown[i]);
        if (is_always_heard(&definition->steps[i]))
            out->unknown[i].cannot_fail = true;
    }
    definition_free(simple);
    return true;
}

void verify_free(struct verification *verification)
{
    arena_free(&verification->arena);
}
