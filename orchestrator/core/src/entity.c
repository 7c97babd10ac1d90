#include "core/entity.h"

#include <string.h>

#include "base/json.h"
#include "entities.h"

/* A text, or a whole number as text. */
static const char *key_text(struct arena *arena, const json_t *value)
{
    if (json_is_string(value))
        return arena_strdup(arena, json_string_value(value));
    if (json_is_integer(value))
        return arena_printf(arena, "%lld", (long long)json_integer_value(value));
    return NULL;
}

static bool expand(struct saga *saga, struct arena *arena, size_t entity, const char **key, struct err *err)
{
    struct buf text = buf_new(8 * ENTITY_KEY_MAX);
    struct err inner;
    bool ok = template_write(saga->definition->entities[entity].key, saga_value, saga, &text, &inner);
    json_t *value = ok ? json_read(buf_text(&text), text.len, &inner) : NULL;
    *key = key_text(arena, value);
    json_decref(value);
    buf_free(&text);
    if (*key && **key && strlen(*key) <= ENTITY_KEY_MAX)
        return true;
    return err_set(err, ERR_REFUSED, "entity %zu: %s", entity, ok ? "a key is a text of 1 to 200 bytes, or a whole number" : inner.text);
}

static struct entity *find(struct entity *entities, size_t n, const struct entity *entity)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(entities[i].key, entity->key) == 0)
            return &entities[i];
    }
    return NULL;
}

/* A key that is both held and observed is held. */
bool entities_of(struct saga *saga, struct arena *arena, struct entity *out, size_t *n, struct err *err)
{
    *n = 0;
    for (size_t i = 0; i < saga->definition->entities_n; i++) {
        struct entity entity = {.observes = saga->definition->entities[i].observes};
        if (!expand(saga, arena, i, &entity.key, err))
            return false;
        struct entity *known = find(out, *n, &entity);
        if (known)
            known->observes = known->observes && entity.observes;
        else
            out[(*n)++] = entity;
    }
    return true;
}

bool definition_holds(const struct definition *definition)
{
    for (size_t i = 0; i < definition->entities_n; i++) {
        if (!definition->entities[i].observes)
            return true;
    }
    return false;
}

bool saga_holds(const struct saga *saga)
{
    return saga->order == ORDER_NONE && definition_holds(saga->definition);
}

/* ---- reading ---- */

/* "KEY", or {"key": "KEY", "mode": "hold" or "observe"}. */
static void read_entity(struct definition *definition, const json_t *value, size_t i, struct problems *problems)
{
    static const char *const known[] = {"key", "mode", NULL};
    static const struct template_names no_steps = {NULL, 0};
    char at[POINTER_MAX], pointer[POINTER_MAX];
    pointer_index("/entities", i, at);
    const json_t *key = json_is_object(value) ? json_object_get(value, "key") : value, *mode = json_object_get(value, "mode");
    const char *word = json_string_value(mode);
    if (json_is_object(value)) {
        json_check_members(value, at, known, problems);
        if (mode && (!word || (strcmp(word, "hold") != 0 && strcmp(word, "observe") != 0)))
            problem_add(problems, pointer_member(at, "mode", pointer), "expected \"hold\" or \"observe\"");
        pointer_member(at, "key", pointer);
    } else {
        memcpy(pointer, at, sizeof at);
    }
    if (!json_string_length(key)) {
        problem_add(problems, pointer, "expected the key as a text that is not empty");
        return;
    }
    if (!strstr(json_string_value(key), "${") && json_string_length(key) > ENTITY_KEY_MAX)
        problem_add(problems, pointer, "expected a key of at most %d bytes", ENTITY_KEY_MAX);
    definition->entities[i].key = template_compile(&definition->arena, key, &no_steps, pointer, problems);
    definition->entities[i].observes = word && strcmp(word, "observe") == 0;
}

static void read_on_busy(struct definition *definition, const json_t *value, struct problems *problems)
{
    const char *word = json_string_value(value);
    if (!value)
        return;
    if (!word || (strcmp(word, "queue") != 0 && strcmp(word, "reject") != 0))
        problem_add(problems, "/on_busy", "expected \"queue\" or \"reject\"");
    else if (!definition_holds(definition))
        problem_add(problems, "/on_busy", "there is no entity that could be busy");
    definition->rejects_busy = word && strcmp(word, "reject") == 0;
}

void entities_read(struct definition *definition, const json_t *source, struct problems *problems)
{
    const json_t *entities = json_object_get(source, "entities");
    size_t n = json_array_size(entities);
    if (entities && (!json_is_array(entities) || n < 1 || n > ENTITIES_MAX)) {
        problem_add(problems, "/entities", "expected an array of 1 to %d keys", ENTITIES_MAX);
        return;
    }
    definition->entities = arena_array(&definition->arena, n + 1, sizeof *definition->entities);
    definition->entities_n = n;
    for (size_t i = 0; i < n; i++)
        read_entity(definition, json_array_get(entities, i), i, problems);
    read_on_busy(definition, json_object_get(source, "on_busy"), problems);
}
