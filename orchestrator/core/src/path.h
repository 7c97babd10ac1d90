/* Paths to the saga's data, as templates and conditions write them: "input.items.0", "steps.charge.output.id". Private to the core. */
#ifndef CORE_PATH_H
#define CORE_PATH_H

#include "core/template.h"

#define PATH_PARTS_MAX 16

struct path {
    const char *parts[PATH_PARTS_MAX];
    size_t n;
};

/* Cuts `text` at its dots, in place; the parts point into it, an empty text has none. False when one is empty or there are too
 * many. */
bool path_split(char *text, struct path *path);
/* Takes the head off: *step is what the path begins with, TEMPLATE_INPUT or one of the names. What is wrong with it otherwise, as
 * the rest of a sentence that begins with the path; NULL: nothing. */
const char *path_head(struct path *path, const struct template_names *names, int *step);
/* The member of that name of an object, or the element of an array at that place; NULL: there is none. */
const json_t *path_member(const json_t *value, const char *name);

#endif
