#include "logic_rule.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "path.h"

/* ---- data ---- */

/* The value that a path of the saga's data begins with; the head is taken off the path. */
static const json_t *root(const struct scope *scope, struct path *path)
{
    int step;
    return path_head(path, scope->names, &step) ? NULL : scope->lookup(scope->context, step);
}

const json_t *rule_data(const struct scope *scope, const char *text)
{
    char copy[RULE_PATH_MAX];
    struct path path;
    if (snprintf(copy, sizeof copy, "%s", text) >= (int)sizeof copy || !path_split(copy, &path))
        return NULL;
    const json_t *value = scope->element ? scope->element : root(scope, &path);
    for (size_t i = 0; value && i < path.n; i++)
        value = path_member(value, path.parts[i]);
    return value;
}

/* ---- rules ---- */

const char *logic_operation(const json_t *rule, const json_t **arguments)
{
    if (json_object_size(rule) != 1)
        return NULL;
    void *first = json_object_iter((json_t *)(uintptr_t)rule);
    *arguments = json_object_iter_value(first);
    return json_object_iter_key(first);
}

size_t logic_arguments(const json_t *arguments)
{
    return json_is_array(arguments) ? json_array_size(arguments) : 1;
}

const json_t *logic_argument(const json_t *arguments, size_t i)
{
    if (!json_is_array(arguments))
        return i ? NULL : arguments;
    return json_array_get(arguments, i);
}

bool rule_pay(const struct scope *scope, size_t steps)
{
    if (steps < (size_t)*scope->steps_left)
        *scope->steps_left -= (int)steps;
    else
        *scope->steps_left = 0;
    return *scope->steps_left > 0;
}

json_t *rule_value(const json_t *rule, const struct scope *scope)
{
    const char *name;
    const json_t *arguments;
    if (!rule_pay(scope, 1))
        return json_null();
    if (json_is_array(rule))
        return operation_values(rule, scope);
    if (!(name = logic_operation(rule, &arguments)))
        return json_incref((json_t *)(uintptr_t)rule);
    const struct operation *operation = operation_find(name);
    return operation ? operation->run(arguments, scope) : json_null();
}

json_t *logic_value(const json_t *rule, const struct template_names *names, template_lookup *lookup, void *context, struct err *err)
{
    int steps_left = LOGIC_STEPS_MAX;
    struct scope scope = {names, lookup, context, NULL, &steps_left};
    json_t *value = rule_value(rule, &scope);
    if (steps_left > 0)
        return value;
    json_decref(value);
    err_set_code(err, ERR_REFUSED, "too_large", "the condition takes more than %d steps, or makes too large a text", LOGIC_STEPS_MAX);
    return NULL;
}

bool logic_is_true(const json_t *rule, const struct template_names *names, template_lookup *lookup, void *context, bool *holds,
                   struct err *err)
{
    json_t *value = logic_value(rule, names, lookup, context, err);
    if (!value)
        return false;
    *holds = value_is_true(value);
    json_decref(value);
    return true;
}

/* ---- checking ---- */

struct checker {
    const struct template_names *names;
    struct problems *problems;
    bool in_element;
};

static void check(const struct checker *c, const json_t *rule, const char *pointer);

static void check_path(const struct checker *c, const json_t *path, const char *pointer)
{
    char copy[RULE_PATH_MAX];
    struct path parts;
    int step;
    const char *text = json_string_value(path), *fault;
    if (c->in_element || !text) /* a path that is computed finds something or not */
        return;
    if (snprintf(copy, sizeof copy, "%s", text) >= (int)sizeof copy || !path_split(copy, &parts))
        problem_add(c->problems, pointer, "'%s' is not a path of at most %d names joined by dots and %d bytes", text, PATH_PARTS_MAX,
                    RULE_PATH_MAX - 1);
    else if ((fault = path_head(&parts, c->names, &step)))
        problem_add(c->problems, pointer, "'%s' %s", text, fault);
}

/* A path, or a list of them. */
static void check_path_list(const struct checker *c, const json_t *paths, const char *pointer)
{
    check_path(c, paths, pointer);
    for (size_t i = 0; i < json_array_size(paths); i++)
        check_path(c, json_array_get(paths, i), pointer);
}

static void check_paths(const struct checker *c, const char *name, const json_t *arguments, const char *pointer)
{
    bool missing = strcmp(name, "missing") == 0;
    if (strcmp(name, "var") == 0)
        check_path(c, logic_argument(arguments, 0), pointer);
    if (strcmp(name, "missing_some") == 0)
        check_path_list(c, logic_argument(arguments, 1), pointer);
    for (size_t i = 0; missing && i < logic_arguments(arguments); i++)
        check_path_list(c, logic_argument(arguments, i), pointer);
}

/* An object of several members is a value: what it holds is not looked at. */
static void check_value(const struct checker *c, json_t *value, const char *pointer)
{
    const char *name;
    json_t *member;
    char at[POINTER_MAX];
    json_object_foreach(value, name, member) {
        if (operation_find(name))
            problem_add(c->problems, pointer_member(pointer, name, at), "an operation stands alone in its object");
    }
}

static void check_arguments(const struct checker *c, const json_t *arguments, bool by_element, const char *pointer)
{
    char at[POINTER_MAX];
    struct checker inner = *c;
    for (size_t i = 0; i < logic_arguments(arguments); i++) {
        inner.in_element = c->in_element || (by_element && i == 1);
        check(&inner, logic_argument(arguments, i), json_is_array(arguments) ? pointer_index(pointer, i, at) : pointer);
    }
}

static void check(const struct checker *c, const json_t *rule, const char *pointer)
{
    const char *name;
    const json_t *arguments;
    char at[POINTER_MAX];
    if (json_is_array(rule)) {
        check_arguments(c, rule, false, pointer);
        return;
    }
    if (!(name = logic_operation(rule, &arguments))) {
        check_value(c, (json_t *)(uintptr_t)rule, pointer);
        return;
    }
    pointer_member(pointer, name, at);
    const struct operation *operation = operation_find(name);
    if (!operation) {
        problem_add(c->problems, at, "JsonLogic has no operation '%s'", name);
        return;
    }
    check_paths(c, name, arguments, at);
    check_arguments(c, arguments, operation->by_element, at);
}

bool logic_check(const json_t *rule, const struct template_names *names, const char *pointer, struct problems *problems)
{
    size_t before = problems->n;
    check(&(struct checker){names, problems, false}, rule, pointer);
    return problems->n == before;
}

bool logic_is_constant(const json_t *rule)
{
    const json_t *arguments;
    const char *name = logic_operation(rule, &arguments);
    if (name && (strcmp(name, "var") == 0 || strncmp(name, "missing", 7) == 0))
        return false;
    if (!name && !json_is_array(rule))
        return true;
    const json_t *list = name ? arguments : rule;
    for (size_t i = 0; i < logic_arguments(list); i++) {
        if (!logic_is_constant(logic_argument(list, i)))
            return false;
    }
    return true;
}
