/* What was found, as JSON and for people. */
#include <inttypes.h>

#include "explore.h"

static const char *timer_text(const struct step_definition *step)
{
    static const char *const texts[] = {[STEP_CALLS] = "no answer to the last attempt", [STEP_WAITS] = "its signal does not come",
                                        [STEP_DELAYS] = "its time is over"};
    return texts[step->kind];
}

void happening_text(const struct happening *h, const struct definition *definition, struct buf *out)
{
    const char *name = h->step < 0 ? "the saga" : definition->steps[h->step].name;
    const char *kind = command_kind_name(h->kind);
    switch (h->type) {
    case EVENT_REPLY: buf_printf(out, "%s: its %s is answered %s", name, kind, outcome_name(h->outcome)); break;
    case EVENT_TIMER: buf_printf(out, "%s: %s", name, h->step < 0 ? "its deadline passes" : timer_text(&definition->steps[h->step])); break;
    case EVENT_REFUSED: buf_printf(out, "%s: its command cannot be published", name); break;
    case EVENT_WITHDRAWN: buf_printf(out, "%s: its command is withdrawn", name); break;
    case EVENT_START: buf_printf(out, "%s is started", name); break;
    case EVENT_CANCEL: buf_printf(out, "%s: it is cancelled", name); break;
    case EVENT_SIGNAL: buf_printf(out, "%s: its signal comes", name); break;
    default: buf_str(out, name); break;
    }
    for (size_t i = 0; i < definition->steps_n; i++) {
        if (step_set_has(&h->not_held, i))
            buf_printf(out, "; the condition of %s does not hold", definition->steps[i].name);
    }
}

static void add_names(struct buf *out, const struct definition *definition, const int *steps, size_t n)
{
    buf_char(out, '[');
    for (size_t i = 0; i < n; i++)
        buf_printf(out, "%s\"%s\"", i ? "," : "", definition->steps[steps[i]].name);
    buf_char(out, ']');
}

static size_t list_set(const struct definition *definition, const struct step_set *set, bool in, int *out)
{
    size_t n = 0;
    for (size_t i = 0; i < definition->steps_n; i++) {
        if (step_set_has(set, i) == in)
            out[n++] = (int)i;
    }
    return n;
}

/* Behind the pivot no compensation ever runs by itself, though the step has one. */
static bool pivot_is_early(const struct definition *definition, int *step)
{
    for (size_t i = 0; definition->pivot >= 0 && i < definition->steps_n; i++) {
        *step = (int)i;
        if (step_set_has(&definition->steps[definition->pivot].descendants, i) && definition->steps[i].compensation)
            return true;
    }
    return false;
}

/* The steps that are undone beside each other at that stage; returns how many. */
static size_t stage_of(const struct verify_failure *failure, int stage, int *steps)
{
    size_t n = 0;
    for (size_t i = 0; i < failure->undone_n; i++) {
        if (failure->stages[i] == stage)
            steps[n++] = failure->undone[i];
    }
    return n;
}

static void write_failure(const struct verify_failure *failure, const char *what, const struct definition *definition, struct buf *out)
{
    int steps[DEFINITION_STEPS_MAX];
    size_t n;
    if (failure->cannot_fail) {
        buf_printf(out, ",\"%s\":null", what);
        return;
    }
    buf_printf(out, ",\"%s\":{\"end\":\"%s\",\"undone\":[", what, failure->stalls ? "STALLED" : "COMPENSATED");
    for (int stage = 0; (n = stage_of(failure, stage, steps)); stage++) {
        buf_str(out, stage ? "," : "");
        add_names(out, definition, steps, n);
    }
    buf_str(out, "],\"left\":");
    add_names(out, definition, steps, list_set(definition, &failure->left, true, steps));
    buf_char(out, '}');
}

void verify_write(const struct verification *v, const struct definition *definition, struct buf *out)
{
    int steps[DEFINITION_STEPS_MAX], early;
    buf_printf(out, "{\"complete\":%s,\"states\":%zu,\"rest\":{\"COMPLETED\":%zu,\"COMPENSATED\":%zu,\"STALLED\":%zu},\"failures\":[",
               v->complete ? "true" : "false", v->states, v->completed, v->compensated, v->stalled);
    for (size_t i = 0; i < definition->steps_n; i++) {
        buf_printf(out, "%s{\"step\":\"%s\"", i ? "," : "", definition->steps[i].name);
        write_failure(&v->failed[i], "failed", definition, out);
        write_failure(&v->unknown[i], "unknown", definition, out);
        buf_char(out, '}');
    }
    buf_str(out, "],\"unreachable\":");
    add_names(out, definition, steps, v->complete ? list_set(definition, &v->reached, false, steps) : 0);
    buf_str(out, ",\"conditions_never_true\":");
    add_names(out, definition, steps, list_set(definition, &v->never_true, true, steps));
    buf_str(out, ",\"pivot_too_early_for\":");
    add_names(out, definition, &early, pivot_is_early(definition, &early) ? 1 : 0);
    buf_str(out, ",\"violation\":");
    if (v->violation) {
        buf_str(out, "{\"invariant\":");
        buf_json_str(out, v->violation);
        buf_str(out, ",\"trace\":[");
        for (size_t i = 0; i < v->trace_n; i++) {
            buf_str(out, i ? "," : "");
            buf_json_str(out, v->trace[i]);
        }
        buf_str(out, "]}");
    } else {
        buf_str(out, "null");
    }
    buf_char(out, '}');
}

static void print_steps(struct buf *out, const struct definition *definition, const int *steps, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_printf(out, "%s%s", i ? ", " : "", definition->steps[steps[i]].name);
}

static void print_undone(struct buf *out, const struct definition *definition, const struct verify_failure *failure)
{
    int steps[DEFINITION_STEPS_MAX];
    size_t n;
    for (int stage = 0; (n = stage_of(failure, stage, steps)); stage++) {
        buf_printf(out, "%s%s", stage ? ", " : "", n > 1 ? "(" : "");
        print_steps(out, definition, steps, n);
        buf_str(out, n > 1 ? ")" : "");
    }
}

static void print_failure(const struct verify_failure *failure, const struct definition *definition, struct buf *out)
{
    int left[DEFINITION_STEPS_MAX];
    size_t left_n = list_set(definition, &failure->left, true, left);
    buf_printf(out, "  %-24s ", definition->steps[failure->step].name);
    if (failure->cannot_fail)
        buf_str(out, "it cannot fail");
    else if (failure->stalls)
        buf_str(out, failure->step == definition->pivot ? "the saga stalls and needs an operator: it is the pivot"
                                                        : "the saga stalls and needs an operator: the pivot is behind it");
    else if (failure->undone_n)
        print_undone(out, definition, failure);
    else
        buf_str(out, "nothing");
    if (!failure->stalls && !failure->cannot_fail && left_n) {
        buf_str(out, "; in place stays ");
        print_steps(out, definition, left, left_n);
    }
    buf_char(out, '\n');
}

static void print_set(struct buf *out, const struct definition *definition, const char *what, const int *steps, size_t n)
{
    if (!n)
        return;
    buf_str(out, what);
    print_steps(out, definition, steps, n);
    buf_char(out, '\n');
}

void verify_print(const struct verification *v, const struct definition *definition, struct buf *out)
{
    int steps[DEFINITION_STEPS_MAX], early;
    buf_printf(out, "%s: %zu states%s\n", definition->name, v->states, v->complete ? ", all that can be reached" : "; there are more, which were not looked at");
    buf_printf(out, "a saga rests COMPLETED in %zu of them, COMPENSATED in %zu, STALLED in %zu\n", v->completed, v->compensated, v->stalled);
    buf_str(out, "if this step fails       then this is undone, in this order (in brackets: beside each other)\n");
    for (size_t i = 0; i < definition->steps_n; i++)
        print_failure(&v->failed[i], definition, out);
    buf_str(out, "if its outcome is unknown\n");
    for (size_t i = 0; i < definition->steps_n; i++) {
        if (!v->unknown[i].cannot_fail)
            print_failure(&v->unknown[i], definition, out);
    }
    print_set(out, definition, "never begun: ", steps, v->complete ? list_set(definition, &v->reached, false, steps) : 0);
    print_set(out, definition, "conditions that can never hold: of ", steps, list_set(definition, &v->never_true, true, steps));
    if (pivot_is_early(definition, &early))
        buf_printf(out, "the pivot may come too early: behind it nothing is undone, but %s has a compensation\n", definition->steps[early].name);
    if (!v->violation) {
        buf_printf(out, "no invariant is broken%s\n", v->complete ? "" : " as far as was looked");
        return;
    }
    buf_printf(out, "BROKEN: %s\n", v->violation);
    for (size_t i = 0; i < v->trace_n; i++)
        buf_printf(out, "  %zu. %s\n", i + 1, v->trace[i]);
}
