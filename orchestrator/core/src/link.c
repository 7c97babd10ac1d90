#include "core/link.h"

#include <string.h>

#include "core/entity.h"
#include "path.h"

#define KEY_TEXT_MAX 4096

/* ---- a child's entities, said by its parent's input ---- */

/* "${a.b}" is the path a.b, into `out`; false: it is more, or less, than one template. */
static bool is_one_template(const char *text, char *out, size_t size)
{
    size_t len = strlen(text);
    if (len < 4 || len >= size || strncmp(text, "${", 2) != 0 || strchr(text, '}') != text + len - 1)
        return false;
    memcpy(out, text + 2, len - 3);
    out[len - 3] = '\0';
    return true;
}

/* What stands in the step's input at this path, as text for a key; false: nothing that could be one. */
static bool write_at(struct buf *out, const json_t *value, const struct path *path)
{
    char inner[KEY_TEXT_MAX];
    bool after_dollar = out->len && out->data[out->len - 1] == '$'; /* "$${" would be no template */
    for (size_t i = 0; i < path->n; i++) {
        if (json_is_string(value)) { /* a template gives the whole of which a part is wanted */
            if (after_dollar || !is_one_template(json_string_value(value), inner, sizeof inner))
                return false;
            buf_printf(out, "${%s", inner);
            for (; i < path->n; i++)
                buf_printf(out, ".%s", path->parts[i]);
            buf_char(out, '}');
            return true;
        }
        value = path_member(value, path->parts[i]);
    }
    const char *text = json_string_value(value);
    if (text && after_dollar && strncmp(text, "${", 2) == 0)
        return false;
    if (text)
        buf_str(out, text);
    else if (json_is_integer(value))
        buf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else
        return false;
    return true;
}

/* The key of the child with what the step gives it in place of its input. */
static bool compose(struct buf *out, const char *key, const json_t *input)
{
    static const struct template_names no_steps = {NULL, 0};
    while (*key) {
        const char *end = strchr(key, '}');
        if (strncmp(key, "$${", 3) == 0) { /* no template: as it is */
            buf_add(out, key, 3);
            key += 3;
        } else if (strncmp(key, "${", 2) == 0 && end) {
            char text[KEY_TEXT_MAX];
            struct path path;
            int step;
            if ((size_t)(end - key) >= sizeof text)
                return false;
            memcpy(text, key + 2, (size_t)(end - key) - 2);
            text[end - key - 2] = '\0';
            if (!path_split(text, &path) || path_head(&path, &no_steps, &step) || !write_at(out, input, &path))
                return false;
            key = end + 1;
        } else {
            buf_char(out, *key++);
        }
    }
    return !out->failed;
}

static const char *key_of(const json_t *entity)
{
    return json_string_value(json_is_object(entity) ? json_object_get(entity, "key") : entity);
}

/* Each key once; one that is both held and observed is held (entities_of). */
static void add_entity(json_t *source, const char *key, bool observes, const char *pointer, struct problems *problems)
{
    json_t *entities = json_object_get(source, "entities"), *known;
    size_t i;
    if (!entities) {
        entities = json_array();
        json_object_set_new(source, "entities", entities);
    }
    json_array_foreach(entities, i, known) {
        const char *mode = json_string_value(json_object_get(known, "mode"));
        bool known_observes = mode && strcmp(mode, "observe") == 0;
        if (key_of(known) && strcmp(key_of(known), key) == 0 && (observes || !known_observes))
            return;
    }
    if (json_array_size(entities) == ENTITIES_MAX) {
        problem_add(problems, pointer, "with its entity %s there are more than %d", key, ENTITIES_MAX);
        return;
    }
    json_array_append_new(entities, observes ? json_pack("{s:s, s:s}", "key", key, "mode", "observe") : json_string(key));
}

/* The root holds what its children are about, from its own start on: so it has to know it by its own input. */
static void take_over_entities(json_t *source, const json_t *step, const struct definition *child, const char *pointer,
                               struct problems *problems)
{
    const json_t *entities = json_object_get(child->source, "entities"), *entity;
    size_t i;
    json_array_foreach(entities, i, entity) {
        struct buf key = buf_new(KEY_TEXT_MAX);
        if (!compose(&key, key_of(entity), json_object_get(step, "input")))
            problem_add(problems, pointer, "its entity %s is not among what the step gives it", key_of(entity));
        else if (strstr(buf_text(&key), "${steps."))
            problem_add(problems, pointer, "its entity %s is not known at the start: it must come from the input of this definition", key_of(entity));
        else
            add_entity(source, buf_text(&key), child->entities[i].observes, pointer, problems);
        buf_free(&key);
    }
}

/* ---- steps ---- */

static void link_step(json_t *source, json_t *step, const char *at, definition_lookup *lookup, void *context, struct problems *problems)
{
    char pointer[POINTER_MAX];
    const char *name = json_string_value(json_object_get(step, "saga"));
    const json_t *version = json_object_get(step, "version");
    if (!name || (version && (!json_is_integer(version) || json_integer_value(version) < 1 || json_integer_value(version) > DEFINITION_VERSION_MAX)))
        return;
    const struct definition *child = lookup(context, name, (int)json_integer_value(version));
    pointer_member(at, version ? "version" : "saga", pointer);
    if (!child) {
        problem_add(problems, pointer, version ? "there is no such version of '%s'" : "there is no definition '%s'", name);
        return;
    }
    if (json_object_get(source, "entities") == NULL || json_is_array(json_object_get(source, "entities")))
        take_over_entities(source, step, child, pointer, problems);
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
        link_step(source, step, pointer_index("/steps", i, at), lookup, context, problems);
    }
}
