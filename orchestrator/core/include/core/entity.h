/* Entity keys: the business objects that a saga holds from its start to its end, so that no other saga that names one of them runs
 * beside it. They are taken all at once and in the order of asking: who they are is said here, whose turn it is the store
 * knows. */
#ifndef CORE_ENTITY_H
#define CORE_ENTITY_H

#include "base/arena.h"
#include "base/err.h"
#include "base/vclock.h"
#include "core/saga.h"

#define ENTITIES_MAX VCLOCK_ENTITIES_MAX
#define ENTITY_KEY_MAX VCLOCK_KEY_MAX /* bytes */

struct entity_definition {
    const struct template_node *key; /* over the input */
    bool observes; /* the saga touches the entity without holding it */
};

/* A key of a saga, in the arena. */
struct entity {
    const char *key;
    bool observes;
};
/* The saga's entities by its input, each key once, into `out` (room for ENTITIES_MAX). False with ERR_REFUSED when a template leads
 * nowhere or to something that is no key. Always the same for one saga. */
MUST_CHECK bool entities_of(struct saga *saga, struct arena *arena, struct entity *out, size_t *n, struct err *err);
/* Its sagas have to hold something before they may begin, unless they are steps of another. */
bool definition_holds(const struct definition *definition);
/* This saga has to: what a child is about its root holds. */
bool saga_holds(const struct saga *saga);

#endif
