/* `${...}` templates: JSON whose strings may copy values from the saga's input and from outputs of earlier steps.
 * "${input.sku}" alone keeps the value's JSON type; inside a longer string the value becomes text. "$${" is a literal "${".
 * Compiled once, when a definition is read; a compiled template is immutable and may be used by any thread. */
#ifndef CORE_TEMPLATE_H
#define CORE_TEMPLATE_H

#include <jansson.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/problem.h"

struct template_node;

/* The names that a template may refer to: steps that have succeeded whenever it is expanded. */
struct template_names {
    const char *const *steps;
    size_t steps_n;
};

/* Compiles `source`, which must outlive the result (it shares constants). Adds a problem for each bad reference, at its
 * place under `pointer`, and then returns NULL. The result lives in `arena`. */
struct template_node *template_compile(struct arena *arena, const json_t *source, const struct template_names *names,
                                       const char *pointer, struct problems *problems);

/* Where values come from: `step` is an index into the names of compilation, or TEMPLATE_INPUT. Returns the borrowed
 * value, or NULL when there is none. Below a step's null everything is null. */
#define TEMPLATE_INPUT (-1)
typedef const json_t *template_lookup(void *context, int step);

/* Appends the expanded JSON to `out`, whose maximum is the budget in bytes. False with ERR_REFUSED when a path leads
 * nowhere or the budget is used up. */
MUST_CHECK bool template_write(const struct template_node *node, template_lookup *lookup, void *context,
                               struct buf *out, struct err *err);

#endif
