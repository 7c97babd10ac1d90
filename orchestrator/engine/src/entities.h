/* The entity keys of the sagas of a batch: asking for them, and letting them go. */
#ifndef ENGINE_ENTITIES_H
#define ENGINE_ENTITIES_H

#include "apply.h"

/* What one saga of the batch wants of them. */
struct turn {
    struct saga *saga;
    bool wants;        /* machine_wants_entities */
    bool only_if_free; /* it does not wait: then `has` says whether it may begin, and it is in no queue if not */
    bool has;          /* out */
};
/* Asks for all of them; *begun is set when that has opened the transaction that store_save has to commit. Sagas that hold something and do
 * not want it now take part for the sake of the locks' order. */
MUST_CHECK bool entities_take(struct applier *applier, struct turn *turns, size_t n, bool *begun, struct err *err);
/* Notes for each change of a saga that has ended what it lets go. */
void entities_release(struct applier *applier, struct store_change *changes, size_t n);

#endif
