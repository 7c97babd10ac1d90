/* Whether a condition can hold at all. */
#ifndef VERIFY_CONDITION_H
#define VERIFY_CONDITION_H

#include "core/definition.h"

#define CONDITION_WORK 2000000 /* for all of a definition's conditions: parts of conditions that are evaluated, a tenth of a microsecond each */

/* False when nothing that a saga could be given or be answered makes it true. Decided only where all values can be tried that make a difference: for
 * parts that compare, combine and look for values in lists, read one or two things, and have no texts beside numbers (docs/definitions.md).
 * Others are taken to hold sometimes. Steps among `skipped` are never begun, so their output is null. What is done is taken off `work`; when that
 * is used up the answer is true. */
bool condition_can_hold(const struct definition *definition, const json_t *when, const struct step_set *skipped, size_t *work);

#endif
