#include "known.h"

#include <string.h>

#include "base/mem.h"

#define SAGA_BUCKETS 4096

static struct known *buckets[SAGA_BUCKETS], *first, *last;

struct known *known_of(const struct uuid *id)
{
    struct known *known = buckets[uuid_hash(id) % SAGA_BUCKETS];
    while (known && !uuid_equal(&known->id, id))
        known = known->next;
    return known;
}

struct known *known_add(const struct uuid *id)
{
    struct known **at = &buckets[uuid_hash(id) % SAGA_BUCKETS], *known = mem_alloc(sizeof *known);
    *known = (struct known){.next = *at, .id = *id};
    *at = known;
    *(last ? &last->next_of_all : &first) = known;
    return last = known;
}

struct known *known_first(void)
{
    return first;
}

const char *step_name(const struct known *known, int step)
{
    return known->definition->steps[step].name;
}

_Noreturn void violated(int invariant, const struct known *known, int step, const char *what)
{
    char id[UUID_TEXT_MAX];
    sim_fail("invariant %d is violated: %s (saga %s, step %s)", invariant, what, known ? uuid_format(&known->id, id) : "-",
             known && step >= 0 ? step_name(known, step) : "-");
}

bool acts(const struct known *known, int step)
{
    return known->definition->steps[step].kind == STEP_CALLS && !known->definition->steps[step].child;
}

/* Whether the definition holds a thing of this kind: "e", "f". */
static bool holds(const struct known *known, const char *kind)
{
    const json_t *entities = json_object_get(known->definition->source, "entities"), *one;
    size_t i;
    json_array_foreach(entities, i, one) {
        const char *key = json_string_value(json_is_object(one) ? json_object_get(one, "key") : one);
        if (strncmp(key, kind, 1) == 0)
            return true;
    }
    return false;
}

bool share(const struct known *a, const struct known *b)
{
    return (a->e == b->e && holds(a, "e") && holds(b, "e")) || (a->f == b->f && holds(a, "f") && holds(b, "f"));
}
