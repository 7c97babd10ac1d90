/* A saga that is a step of another is to it what a service is: it begins when it is told to, answers once it has ended, and is undone by its
 * own compensations, whatever has become of it. */
#include <string.h>

#include "base/json.h"
#include "move.h"

/* What is left for the answer around the output. */
#define ANSWER_ROOM 1024

/* {"step": its output, ...} of those that have one, in the arena. NULL: it is too large or too deep for an answer. */
static const char *output_of(struct move *m, size_t *len)
{
    struct buf text = buf_new(VALUE_MAX_BYTES - ANSWER_ROOM);
    const char *kept = NULL;
    buf_char(&text, '{');
    for (size_t i = 0; i < m->saga->definition->steps_n; i++) {
        const struct saga_step *s = &m->saga->steps[i];
        if (s->state != STEP_SUCCEEDED || !s->output)
            continue;
        buf_printf(&text, "%s\"%s\":", text.len > 1 ? "," : "", m->saga->definition->steps[i].name);
        buf_add(&text, s->output, s->output_len);
    }
    buf_char(&text, '}');
    *len = text.len;
    if (!text.failed && json_text_depth(text.data, text.len) < JSON_DEPTH_MAX)
        kept = arena_strndup(m->effects->arena, text.data, text.len);
    buf_free(&text);
    return kept;
}

const char *child_output_fault(struct move *m)
{
    size_t len;
    if (output_of(m, &len))
        return NULL;
    return error_json(m->effects->arena, "output_too_large", "what its steps have answered is too large or too deeply nested for one answer");
}

/* Of a saga that failed: what went wrong first, by the order of its steps. */
static const char *error_of(const struct move *m)
{
    if (m->event->type == EVENT_START && m->event->error)
        return m->event->error;
    for (size_t k = 0; k < m->saga->definition->steps_n; k++) {
        const char *error = m->saga->steps[m->saga->definition->order[k]].error;
        if (error)
            return error;
    }
    if (m->saga->deadline_ms && m->saga->deadline_ms <= m->now_ms)
        return error_json(m->effects->arena, "deadline_passed", "the saga did not end before its deadline");
    return error_json(m->effects->arena, m->saga->cancelled ? "cancelled" : "compensated", "the saga was undone: its history tells why");
}

static bool has_passed_pivot(const struct saga *saga)
{
    int pivot = saga->definition->pivot;
    return pivot >= 0 && (saga->steps[pivot].state == STEP_SUCCEEDED || saga->steps[pivot].waived);
}

static void give(struct move *m, enum outcome outcome, const char *output, size_t output_len, const char *error)
{
    struct effects *effects = m->effects;
    enum command_kind kind = m->saga->order == ORDER_UNDO ? KIND_COMPENSATION : KIND_ACTION;
    bool ordered = m->event->type == EVENT_ORDER && m->event->kind == kind;
    effects->answer.given = true;
    effects->answer.kind = kind;
    effects->answer.round = m->saga->parent_round;
    effects->answer.attempt = ordered ? m->event->attempt : 1;
    effects->answer.outcome = outcome;
    effects->answer.output = output;
    effects->answer.output_len = output_len;
    effects->answer.error = error;
}

void answer_parent(struct move *m)
{
    const struct saga *saga = m->saga;
    size_t len = 0;
    if (saga->order == ORDER_SUPERSEDED)
        return; /* another speaks in its place */
    if (saga->order == ORDER_UNDO && has_passed_pivot(saga))
        give(m, OUTCOME_FAILED, NULL, 0, error_json(m->effects->arena, "passed_pivot", "the saga has passed its pivot and only goes forward"));
    else if (saga->state == SAGA_COMPLETED) {
        const char *output = output_of(m, &len); /* NULL: it has a pivot, and had to complete */
        give(m, OUTCOME_SUCCEEDED, output, output ? len : 0, NULL);
    } else if (saga->state == SAGA_COMPENSATED && saga->order == ORDER_UNDO)
        give(m, OUTCOME_SUCCEEDED, NULL, 0, NULL);
    else if (saga->state == SAGA_COMPENSATED)
        give(m, OUTCOME_FAILED, NULL, 0, error_of(m));
    else
        give(m, OUTCOME_ACCEPTED, NULL, 0, NULL);
}

static void undo(struct move *m)
{
    struct saga *saga = m->saga;
    if (saga->order == ORDER_UNDO) {
        record(m, "undo_repeated", -1, 0, NULL);
        return;
    }
    saga->order = ORDER_UNDO;
    record(m, "undo_ordered", -1, 0, NULL);
    if (has_passed_pivot(saga) || saga->state == SAGA_COMPENSATED)
        return;
    saga->cancelled = true;
    if (saga->state == SAGA_COMPLETED)
        set_saga(m, SAGA_COMPENSATING, "saga_compensating", NULL);
    else if (!saga_is_bound(saga))
        turn(m, NULL);
    advance(m);
}

/* Orders may come twice, and late ones after later ones: a start after an undo is answered as that was. */
void apply_order(struct move *m)
{
    struct saga *saga = m->saga;
    if (m->event->round > saga->parent_round)
        saga->parent_round = m->event->round;
    saga->changed = true;
    clock_learn(m);
    if (saga->order == ORDER_SUPERSEDED)
        record(m, "order_ignored", -1, 0, NULL);
    else if (m->event->kind == KIND_COMPENSATION)
        undo(m);
    else
        record(m, "start_repeated", -1, 0, NULL);
}

void apply_supersede(struct move *m)
{
    if (m->saga->state != SAGA_COMPENSATED || m->saga->order != ORDER_START)
        return;
    m->saga->order = ORDER_SUPERSEDED;
    m->saga->changed = true;
    record(m, "saga_superseded", -1, 0, NULL);
}
