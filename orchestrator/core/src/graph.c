#include "graph.h"

#include <string.h>

#include "base/buf.h"
#include "base/json.h"

void step_set_add(struct step_set *set, size_t step)
{
    set->bits[step / 64] |= UINT64_C(1) << (step % 64);
}

void step_set_remove(struct step_set *set, size_t step)
{
    set->bits[step / 64] &= ~(UINT64_C(1) << step % 64);
}

void step_set_join(struct step_set *set, const struct step_set *other)
{
    set->bits[0] |= other->bits[0];
    set->bits[1] |= other->bits[1];
}

bool step_set_meets(const struct step_set *set, const struct step_set *other)
{
    return (set->bits[0] & other->bits[0]) || (set->bits[1] & other->bits[1]);
}

bool step_set_has(const struct step_set *set, size_t step)
{
    return set->bits[step / 64] >> (step % 64) & 1;
}

static bool contains_all(const struct step_set *set, const struct step_set *part)
{
    return !(part->bits[0] & ~set->bits[0]) && !(part->bits[1] & ~set->bits[1]);
}

/* ---- reading ---- */

static int find_named(const struct definition *definition, const char *name)
{
    for (size_t i = 0; i < definition->steps_n; i++) {
        if (definition->steps[i].name && strcmp(definition->steps[i].name, name) == 0)
            return (int)i;
    }
    return -1;
}

static void read_name(struct definition *definition, size_t step, const json_t *value, const char *pointer, struct problems *problems)
{
    const char *name = json_string_value(value);
    int other = name ? find_named(definition, name) : -1;
    if (!name)
        problem_add(problems, pointer, "expected the name of a step");
    else if (other < 0)
        problem_add(problems, pointer, "no step has the name '%s'", name);
    else if ((size_t)other == step)
        problem_add(problems, pointer, "a step cannot come after itself");
    else if (step_set_has(&definition->steps[step].after, (size_t)other))
        problem_add(problems, pointer, "'%s' stands here twice", name);
    else
        step_set_add(&definition->steps[step].after, (size_t)other);
}

static void read_after(struct definition *definition, size_t step, const json_t *after, struct problems *problems)
{
    char pointer[POINTER_MAX], at[POINTER_MAX];
    pointer_member(pointer_index("/steps", step, at), "after", pointer);
    if (!json_is_array(after)) {
        problem_add(problems, pointer, "expected an array of steps' names");
        return;
    }
    for (size_t i = 0; i < json_array_size(after); i++)
        read_name(definition, step, json_array_get(after, i), pointer_index(pointer, i, at), problems);
}

void graph_read(struct definition *definition, const json_t *steps, struct problems *problems)
{
    for (size_t i = 0; i < definition->steps_n; i++) {
        const json_t *after = json_object_get(json_array_get(steps, i), "after");
        if (after)
            read_after(definition, i, after, problems);
        else if (i)
            step_set_add(&definition->steps[i].after, i - 1);
    }
}

/* ---- linking ---- */

static void join_ancestors(struct definition *definition, size_t step)
{
    struct step_definition *s = &definition->steps[step];
    s->ancestors = s->after;
    for (size_t i = 0; i < definition->steps_n; i++) {
        if (step_set_has(&s->after, i))
            step_set_join(&s->ancestors, &definition->steps[i].ancestors);
    }
    for (size_t i = 0; i < definition->steps_n; i++) {
        if (step_set_has(&s->ancestors, i))
            step_set_add(&definition->steps[i].descendants, step);
    }
}

/* One that the step waits for and that is not in the order. */
static size_t predecessor(const struct definition *definition, size_t step, const struct step_set *ordered)
{
    for (size_t i = 0; i < definition->steps_n; i++) {
        if (step_set_has(&definition->steps[step].after, i) && !step_set_has(ordered, i))
            return i;
    }
    return step;
}

static void report_circle(const struct definition *definition, const struct step_set *ordered, struct problems *problems)
{
    size_t step = 0;
    while (step_set_has(ordered, step))
        step++;
    for (size_t i = 0; i < definition->steps_n; i++) /* from anywhere behind a circle into it */
        step = predecessor(definition, step, ordered);
    struct buf names = buf_new(200);
    char at[POINTER_MAX], pointer[POINTER_MAX];
    buf_str(&names, definition->steps[step].name);
    for (size_t i = predecessor(definition, step, ordered); i != step; i = predecessor(definition, i, ordered))
        buf_printf(&names, ", %s", definition->steps[i].name);
    problem_add(problems, pointer_member(pointer_index("/steps", step, at), "after", pointer),
                "these steps wait for each other: %s%s", buf_text(&names), names.failed ? ", ..." : "");
    buf_free(&names);
}

bool graph_link(struct definition *definition, struct problems *problems)
{
    struct step_set ordered = {0};
    size_t n = 0;
    definition->order = arena_array(&definition->arena, definition->steps_n, sizeof *definition->order);
    for (bool more = true; more;) {
        more = false;
        for (size_t i = 0; i < definition->steps_n; i++) {
            if (step_set_has(&ordered, i) || !contains_all(&ordered, &definition->steps[i].after))
                continue;
            definition->order[n++] = (int)i;
            step_set_add(&ordered, i);
            join_ancestors(definition, i);
            more = true;
        }
    }
    if (n == definition->steps_n)
        return true;
    report_circle(definition, &ordered, problems);
    return false;
}
