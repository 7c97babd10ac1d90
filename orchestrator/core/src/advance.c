/* What the saga does next: forwards every step whose predecessors are done, backwards every step whose successors are undone. */
#include "move.h"

void turn(struct move *m, const char *detail)
{
    if (m->saga->state != SAGA_RUNNING && !saga_waits(m->saga->state))
        return;
    if (saga_is_bound(m->saga))
        stall(m, detail);
    else
        set_saga(m, SAGA_COMPENSATING, "saga_compensating", detail);
}

void stall(struct move *m, const char *detail)
{
    if (m->saga->state != SAGA_STALLED)
        set_saga(m, SAGA_STALLED, "saga_stalled", detail);
}

bool holds_up(enum step_state state, bool backward)
{
    return state == STEP_COMPENSATION_FAILED || (!backward && (state == STEP_FAILED || state == STEP_UNKNOWN));
}

/* A stalled saga goes on once nothing holds it up any more: backward when its pivot was refused meanwhile. */
static void resume(struct move *m)
{
    bool backward = saga_is_backward(m->saga);
    for (size_t i = 0; i < m->saga->definition->steps_n; i++) {
        if (holds_up(m->saga->steps[i].state, backward))
            return;
    }
    if (backward)
        set_saga(m, SAGA_COMPENSATING, "saga_compensating", NULL);
    else
        set_saga(m, SAGA_RUNNING, "saga_running", NULL);
}

bool is_done(enum step_state state)
{
    return state == STEP_SUCCEEDED || state == STEP_SKIPPED || state == STEP_WAIVED;
}

static bool all_done(const struct move *m, const struct step_set *steps)
{
    for (size_t i = 0; i < m->saga->definition->steps_n; i++) {
        if (step_set_has(steps, i) && !is_done(m->saga->steps[i].state))
            return false;
    }
    return true;
}

bool is_nothing(enum step_state state)
{
    return state == STEP_PENDING || state == STEP_FAILED || state == STEP_SKIPPED || state == STEP_COMPENSATED || state == STEP_WAIVED;
}

bool all_nothing(const struct saga *saga, const struct step_set *steps)
{
    for (size_t i = 0; i < saga->definition->steps_n; i++) {
        if (step_set_has(steps, i) && !is_nothing(saga->steps[i].state))
            return false;
    }
    return true;
}

/* Begins every step whose predecessors are done. */
static void advance_forward(struct move *m)
{
    const struct definition *definition = m->saga->definition;
    bool done = true;
    for (size_t k = 0; k < definition->steps_n && !saga_is_backward(m->saga); k++) {
        int i = definition->order[k];
        if (m->saga->steps[i].state == STEP_PENDING && all_done(m, &definition->steps[i].after))
            step_begin(m, i);
        done = done && is_done(m->saga->steps[i].state);
    }
    if (!done || m->saga->state != SAGA_RUNNING)
        return;
    const char *fault = m->saga->order == ORDER_NONE ? NULL : child_output_fault(m);
    if (fault && !saga_is_bound(m->saga))
        turn(m, fault);
    else
        set_saga(m, SAGA_COMPLETED, "saga_completed", NULL);
}

/* Undoes a step once everything that followed it is undone. */
static void undo(struct move *m, int i)
{
    struct saga_step *s = &m->saga->steps[i];
    if (s->state == STEP_RUNNING && !step_calls(m, i))
        step_move(m, i, ON_CALL_OFF, NULL, 0);
    if (s->state == STEP_RUNNING && step_of(m, i)->child) /* it is told to turn back, and not waited for */
        step_move(m, i, ON_GIVE_UP, NULL, 0);
    if (s->state == STEP_RUNNING && s->paused) /* no new attempt goes out on the way back */
        step_move(m, i, ON_GIVE_UP, NULL, 0);
    if (s->state != STEP_SUCCEEDED && s->state != STEP_UNKNOWN)
        return; /* there is nothing to undo; or it waits for a verdict, for silence, or for an operator */
    if (!all_nothing(m->saga, &step_of(m, i)->descendants))
        return;
    if (step_of(m, i)->compensation)
        step_send(m, i, ON_COMPENSATE);
    else
        step_move(m, i, ON_NOTHING_TO_UNDO, NULL, 0);
}

/* A compensation that failed holds up only what came before it. */
static void advance_backward(struct move *m)
{
    const struct definition *definition = m->saga->definition;
    bool done = true;
    for (size_t k = definition->steps_n; k-- > 0;) {
        undo(m, definition->order[k]);
        done = done && is_nothing(m->saga->steps[definition->order[k]].state);
    }
    if (done)
        set_saga(m, SAGA_COMPENSATED, "saga_compensated", NULL);
}

void advance(struct move *m)
{
    if (m->saga->paused || saga_waits(m->saga->state))
        return;
    if (m->saga->state == SAGA_STALLED)
        resume(m);
    if (!saga_is_backward(m->saga))
        advance_forward(m);
    if (saga_is_backward(m->saga))
        advance_backward(m);
}
