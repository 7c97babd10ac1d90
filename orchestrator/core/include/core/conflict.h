/* What two sagas did to one entity, compared by the numbers that the services gave to their effects. Sagas that hold an entity never
 * meet on it; those that only observe it may, and this tells. Pure. */
#ifndef CORE_CONFLICT_H
#define CORE_CONFLICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/uuid.h"

/* An effect on the entity. Texts are borrowed. */
struct entity_effect {
    struct uuid saga_id; /* whose step it was: the saga's own, or one of its children's */
    const char *step, *service;
    bool undo;           /* of the compensation */
    int64_t number;      /* of effects on this entity at this service */
};

enum precedence {
    PRECEDENCE_NONE,       /* no service did something for both that stands */
    PRECEDENCE_BEFORE,     /* wherever both acted, the first was before the second */
    PRECEDENCE_AFTER,      /* the other way round */
    PRECEDENCE_CONCURRENT, /* here the one, there the other: no serial order explains it */
};
const char *precedence_name(enum precedence precedence); /* "none", "before", "after", "concurrent" */

/* How the actions of `a` lie to those of `b`, without those that were undone: if somebody has seen such a one, effects_dirty tells. */
enum precedence effects_compare(const struct entity_effect *a, size_t a_n, const struct entity_effect *b, size_t b_n);

/* An effect of one saga between an action of another and that action's compensation: it saw what was taken back. */
struct dirty {
    const struct entity_effect *action, *compensation; /* of the saga that took it back */
    const struct entity_effect *between;               /* of the other */
};
/* Those of `b` between actions and compensations of `a`, the first `max` of them into `out`. Returns how many there are in `out`. */
size_t effects_dirty(const struct entity_effect *a, size_t a_n, const struct entity_effect *b, size_t b_n, struct dirty *out, size_t max);

#endif
