#include "core/link.h"

#include "core/entity.h"

#define VERSION_MAX 1000000000

static void link_step(json_t *step, const char *at, definition_lookup *lookup, void *context, struct problems *problems)
{
    char pointer[POINTER_MAX];
    const char *name = json_string_value(json_object_get(step, "saga"));
    const json_t *version = json_object_get(step, "version");
    if (!name || (version && (!json_is_integer(version) || json_integer_value(version) < 1 || json_integer_value(version) > VERSION_MAX)))
        return;
    const struct definition *child = lookup(context, name, (int)json_integer_value(version));
    pointer_member(at, version ? "version" : "saga", pointer);
    if (!child) {
        problem_add(problems, pointer, version ? "there is no such version of '%s'" : "there is no definition '%s'", name);
        return;
    }
    if (definition_holds(child))
        problem_add(problems, pointer, "it holds entities: as a step it cannot, name them in this definition and run one that does not");
    json_object_set_new(step, "version", json_integer(child->version));
    if (child->pivot >= 0 && !json_object_get(step, "pivot"))
        json_object_set_new(step, "pivot", json_true());
    else if (child->pivot >= 0 && !json_is_true(json_object_get(step, "pivot")))
        problem_add(problems, pointer_member(at, "pivot", pointer), "the saga has a pivot, and so this step is one");
}

void definition_link(json_t *source, definition_lookup *lookup, void *context, struct problems *problems)
{
    json_t *step;
    size_t i;
    char at[POINTER_MAX];
    json_array_foreach(json_object_get(source, "steps"), i, step) {
        if (i == DEFINITION_STEPS_MAX)
            return;
        link_step(step, pointer_index("/steps", i, at), lookup, context, problems);
    }
}
