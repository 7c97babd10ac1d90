/* Whether a condition can hold at all. */
#ifndef VERIFY_CONDITION_H
#define VERIFY_CONDITION_H

#include "core/definition.h"

#define CONDITION_TRIES 50000 /* for all of a definition's conditions */

/* False when nothing that a saga could be given or be answered makes it true. Decided only for conditions that compare, combine and look for values
 * in lists (others are taken to hold sometimes), by trying every value that could make a difference to them. Steps among `skipped` are never begun, so
 * their output is null. Each trial takes one off `tries`; when they are used up the answer is true. */
bool condition_can_hold(const struct definition *definition, const json_t *when, const struct step_set *skipped, size_t *tries);

#endif
