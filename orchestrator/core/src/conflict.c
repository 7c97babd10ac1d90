#include "core/conflict.h"

#include <string.h>

const char *precedence_name(enum precedence precedence)
{
    static const char *const names[] = {"none", "before", "after", "concurrent"};
    return names[precedence];
}

static bool same_service(const struct entity_effect *x, const struct entity_effect *y)
{
    return strcmp(x->service, y->service) == 0;
}

/* Of an action its compensation, of a compensation its action; NULL: it is not there. */
static const struct entity_effect *other_half(const struct entity_effect *a, size_t a_n, const struct entity_effect *effect)
{
    for (size_t i = 0; i < a_n; i++) {
        if (a[i].undo != effect->undo && uuid_equal(&a[i].saga_id, &effect->saga_id) && strcmp(a[i].step, effect->step) == 0)
            return &a[i];
    }
    return NULL;
}

/* An action that is there and stays. */
static bool stands(const struct entity_effect *a, size_t a_n, const struct entity_effect *effect)
{
    return !effect->undo && !other_half(a, a_n, effect);
}

enum precedence effects_compare(const struct entity_effect *a, size_t a_n, const struct entity_effect *b, size_t b_n)
{
    bool before = false, after = false;
    for (size_t i = 0; i < a_n; i++) {
        if (!stands(a, a_n, &a[i]))
            continue;
        for (size_t k = 0; k < b_n; k++) {
            if (!same_service(&a[i], &b[k]) || !stands(b, b_n, &b[k]))
                continue;
            before = before || a[i].number < b[k].number;
            after = after || a[i].number > b[k].number;
        }
    }
    if (before && after)
        return PRECEDENCE_CONCURRENT;
    return before ? PRECEDENCE_BEFORE : after ? PRECEDENCE_AFTER : PRECEDENCE_NONE;
}

size_t effects_dirty(const struct entity_effect *a, size_t a_n, const struct entity_effect *b, size_t b_n, struct dirty *out, size_t max)
{
    size_t n = 0;
    for (size_t i = 0; i < a_n; i++) {
        const struct entity_effect *action = a[i].undo ? other_half(a, a_n, &a[i]) : NULL;
        for (size_t k = 0; action && k < b_n && n < max; k++) {
            if (same_service(&b[k], action) && b[k].number > action->number && b[k].number < a[i].number)
                out[n++] = (struct dirty){action, &a[i], &b[k]};
        }
    }
    return n;
}
