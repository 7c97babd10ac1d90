/* What store_save does for sagas that end and held something. Private to the store. */
#ifndef STORE_ENTITIES_H
#define STORE_ENTITIES_H

#include "store/store.h"

/* The locks, to be taken before anything else is; the release of their claims; and the waking of whoever is next, one row for each
 * saga woken. */
extern const struct pg_statement entity_lock, entity_release, entity_wake;
/* Each is how many keys or sagas there are; 0: the statement is not needed. */
size_t fill_entity_lock(struct pg_params *params, const struct store_change *changes, size_t n);
size_t fill_entity_release(struct pg_params *params, const struct store_change *changes, size_t n);
size_t fill_entity_wake(struct pg_params *params, const struct store_change *changes, size_t n);

#endif
