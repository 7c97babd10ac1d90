/* Reading a definition's `entities` and `on_busy`. Private to the core. */
#ifndef CORE_ENTITIES_H
#define CORE_ENTITIES_H

#include "core/definition.h"

void entities_read(struct definition *definition, const json_t *source, struct problems *problems);

#endif
