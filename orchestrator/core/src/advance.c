/* What the saga does next: forwards every step whose predecessors are done, backwards every step whose successors are undone. */
#include "move.h"

void turn(struct move *m, const char *detail)
{
    if (m->saga->state == SAGA_RUNNING)
        set_saga(m, SAGA_COMPENSATING, "saga_compensating", detail);
}

void stall(struct move *m, const char *detail)
{
    if (m->saga->state == SAGA_COMPENSATING)
        set_saga(m, SAGA_STALLED, "saga_stalled", detail);
}

/* Once no compensation is left that failed. */
void resume(struct move *m)
{
    for (size_t i = 0; i < m->saga->definition->steps_n; i++) {
        if (m->saga->steps[i].state == STEP_COMPENSATION_FAILED)
            return;
    }
    set_saga(m, SAGA_COMPENSATING, "saga_compensating", NULL);
}

static bool all_succeeded(const struct move *m, const struct step_set *steps)
{
    for (size_t i = 0; i < m->saga->definition->steps_n; i++) {
        if (step_set_has(steps, i) && m->saga->steps[i].state != STEP_SUCCEEDED)
            return false;
    }
    return true;
}

bool is_nothing(enum step_state state)
{
    return state == STEP_PENDING || state == STEP_FAILED || state == STEP_COMPENSATED;
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
    for (size_t k = 0; k < definition->steps_n && m->saga->state == SAGA_RUNNING; k++) {
        int i = definition->order[k];
        enum step_state state = m->saga->steps[i].state;
        done = done && state == STEP_SUCCEEDED;
        if (state == STEP_PENDING && all_succeeded(m, &definition->steps[i].after))
            step_send(m, i, ON_SEND);
    }
    if (done && m->saga->state == SAGA_RUNNING)
        set_saga(m, SAGA_COMPLETED, "saga_completed", NULL);
}

/* Undoes a step once everything that followed it is undone. */
static void undo(struct move *m, int i)
{
    struct saga_step *s = &m->saga->steps[i];
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
    if (m->saga->state == SAGA_RUNNING)
        advance_forward(m);
    if (m->saga->state == SAGA_COMPENSATING || m->saga->state == SAGA_STALLED)
        advance_backward(m);
}
