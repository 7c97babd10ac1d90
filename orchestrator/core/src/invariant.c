/* What must hold of a saga between two events, whatever has happened to it. */
#include "move.h"

static const char *step_invariant(const struct saga *saga, const struct saga_step *s)
{
    if (step_in_flight(s->state) && s->due_ms <= 0)
        return "a step in flight has nothing due";
    if (!step_in_flight(s->state) && s->due_ms)
        return "a step at rest has something due";
    if (step_in_flight(s->state) && !saga->paused && (!saga->wake_ms || saga->wake_ms > s->due_ms))
        return "nothing wakes the saga in time";
    if (saga->state == SAGA_COMPLETED && !is_done(s->state))
        return "a completed saga has a step that did not succeed";
    if (saga->state == SAGA_COMPENSATED && !is_nothing(s->state))
        return "a compensated saga has a step that is not undone";
    if (saga->state == SAGA_RUNNING && s->state > STEP_SUCCEEDED && s->state != STEP_SKIPPED && !s->waived)
        return "a running saga has a step on its way back";
    if (saga->state == SAGA_RUNNING && holds_up(s->state, false))
        return "a running saga has a step that holds it up";
    if (saga_waits(saga->state) && s->state != STEP_PENDING)
        return "a saga whose turn has not come has begun a step";
    return NULL;
}

/* Forward: nothing begins before what it waits for. Backward: nothing is undone before what followed it. */
static const char *order_invariant(const struct saga *saga, size_t step)
{
    const struct step_definition *definition = &saga->definition->steps[step];
    enum step_state state = saga->steps[step].state;
    for (size_t i = 0; i < saga->definition->steps_n && state != STEP_PENDING; i++) {
        enum step_state before = saga->steps[i].state;
        if (step_set_has(&definition->after, i) && !is_done(before) && before < STEP_COMPENSATING)
            return "a step was begun before one that it waits for was done";
    }
    bool undone = state >= STEP_COMPENSATING && state != STEP_WAIVED && !saga->steps[step].waived;
    if (undone && saga_is_bound(saga))
        return "a step is undone though the pivot may stand";
    if (undone && !all_nothing(saga, &definition->descendants))
        return "a step is undone before one that followed it";
    return NULL;
}

/* It goes on by itself, or it needs an operator who can do something about it, or it has ended. */
static const char *life_invariant(const struct saga *saga)
{
    bool flies = false, held_up = false, backward = saga_is_backward(saga);
    for (size_t i = 0; i < saga->definition->steps_n; i++) {
        flies = flies || step_in_flight(saga->steps[i].state);
        held_up = held_up || holds_up(saga->steps[i].state, backward);
    }
    if (saga_ended(saga->state))
        return saga->wake_ms ? "a saga that has ended will be woken" : flies ? "a saga that has ended has a step in flight" : NULL;
    if (saga->paused)
        return saga->wake_ms ? "a paused saga will be woken" : NULL;
    if (saga->state == SAGA_SCHEDULED)
        return saga->wake_ms && saga->wake_ms <= saga->start_ms ? NULL : "nothing wakes the saga when its time comes";
    if (saga->state == SAGA_QUEUED)
        return NULL; /* others wake it */
    if (saga->state == SAGA_STALLED)
        return held_up ? NULL : "a stalled saga has no step that an operator could repair";
    return flies ? NULL : "a saga under way has no step in flight";
}

const char *machine_invariant(const struct saga *saga)
{
    for (size_t i = 0; i < saga->definition->steps_n; i++) {
        const char *fault = step_invariant(saga, &saga->steps[i]);
        if (!fault)
            fault = order_invariant(saga, i);
        if (fault)
            return fault;
    }
    return life_invariant(saga);
}
