/* The order in which the steps of a definition depend on each other. Private to the core. */
#ifndef CORE_GRAPH_H
#define CORE_GRAPH_H

#include "core/definition.h"

/* Reads `after` of each step; without it a step follows the one before it. */
void graph_read(struct definition *definition, const json_t *steps, struct problems *problems);
/* From `after` of each step: ancestors, descendants, and the order. False with a problem when steps wait for each other in a
 * circle. */
bool graph_link(struct definition *definition, struct problems *problems);

#endif
