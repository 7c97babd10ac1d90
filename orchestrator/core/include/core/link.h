/* Definitions that run sagas of other definitions: what the one must know of the others is written into it when it is registered, and
 * stays, whatever later versions say. */
#ifndef CORE_LINK_H
#define CORE_LINK_H

#include <jansson.h>

#include "base/problem.h"
#include "core/definition.h"

/* The definition with this name and version (0: the latest); NULL: there is none, or it cannot be looked up now. Borrowed. */
typedef const struct definition *definition_lookup(void *context, const char *name, int version);
/* Completes `source`, a definition as its author wrote it: each step that runs a saga gets its version, and becomes the pivot if that saga
 * has one; and the entities of that saga, said by what the step gives it, join those of `source`, since a root holds what its children are
 * about. What is not well-formed is left to definition_read. Adds a problem for each saga that is not there, and for each entity that is not
 * known at the root's start. */
void definition_link(json_t *source, definition_lookup *lookup, void *context, struct problems *problems);

#endif
