/* JsonLogic from inside: rules, and the operations that they name. */
#ifndef CORE_LOGIC_RULE_H
#define CORE_LOGIC_RULE_H

#include "core/logic.h"

#define RULE_PATH_MAX 256 /* bytes of a path, with its end */

/* Where `var` looks: the saga's values, or inside map and its like an element. */
struct scope {
    const struct template_names *names;
    template_lookup *lookup;
    void *context;
    const json_t *element; /* NULL: the saga */
    int *steps_left;
};

/* ---- rules (logic.c) ---- */

json_t *rule_value(const json_t *rule, const struct scope *scope);
/* Pays for work; false when the budget is used up, and then the value does not matter any more. */
bool rule_pay(const struct scope *scope, size_t steps);
/* The value at a path of the data, borrowed; NULL: none. */
const json_t *rule_data(const struct scope *scope, const char *path);

/* ---- operations (operations.c) ---- */

struct operation {
    const char *name;
    json_t *(*run)(const json_t *arguments, const struct scope *scope);
    bool by_element; /* its second argument is evaluated for each element of the first */
};
/* NULL: there is none of that name. */
const struct operation *operation_find(const char *name);
/* An array of what the arguments give. */
json_t *operation_values(const json_t *arguments, const struct scope *scope);
/* Whether JsonLogic takes the value for true. */
bool value_is_true(const json_t *value);

#endif
