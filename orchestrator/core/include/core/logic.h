/* Conditions in JsonLogic (https://jsonlogic.com): rules that are data and look at data. They always end, since all they can
 * repeat is to walk an array, and what they make is bounded: each rule, each element that is copied and each 16 bytes of text
 * cost a step. A rule is checked when a definition is read and evaluated as it stands. Types are
 * converted as JavaScript does; what JavaScript calls NaN or infinite is null. Any thread. */
#ifndef CORE_LOGIC_H
#define CORE_LOGIC_H

#include "core/template.h"

/* The operation that a rule names, with its arguments, both borrowed; NULL: it is a value. An object with one member is an operation, as is any that is
 * not known. */
const char *logic_operation(const json_t *rule, const json_t **arguments);
/* An argument as it was written, borrowed: `{"!": x}` is short for `{"!": [x]}`. NULL: there are fewer. */
const json_t *logic_argument(const json_t *arguments, size_t i);
size_t logic_arguments(const json_t *arguments);

/* Adds a problem for each unknown operation, and for each `var` of the saga's data that is neither `input...` nor
 * `steps.NAME.output...` of a step among `names`. False when there was any. */
bool logic_check(const json_t *rule, const struct template_names *names, const char *pointer, struct problems *problems);
/* Whether the rule looks at any data: what does not always gives the same. */
bool logic_is_constant(const json_t *rule);
/* Whether the rule's value is true in JsonLogic's sense. `names` and `lookup` as for templates. False with ERR_REFUSED when it
 * takes more than LOGIC_STEPS_MAX steps, or makes a text larger than 64 KB. */
#define LOGIC_STEPS_MAX 20000
MUST_CHECK bool logic_is_true(const json_t *rule, const struct template_names *names, template_lookup *lookup, void *context,
                              bool *is_true, struct err *err);
/* The rule's value; the caller drops the reference. NULL with ERR_REFUSED as above. */
json_t *logic_value(const json_t *rule, const struct template_names *names, template_lookup *lookup, void *context,
                    struct err *err);

#endif
