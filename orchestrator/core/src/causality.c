/* The order of effects on entities, as far as a saga knows it: what its commands tell the services, what their replies add. */
#include <string.h>

#include "base/json.h"
#include "core/entity.h"
#include "move.h"

/* In the arena; NULL: it has become too large. */
static const char *clock_text(struct move *m, const json_t *clock)
{
    struct buf text = buf_new(VCLOCK_TEXT_MAX);
    json_write(&text, clock);
    const char *kept = text.failed ? NULL : arena_strndup(m->effects->arena, text.data, text.len);
    buf_free(&text);
    return kept;
}

/* Both texts have been checked when they came. */
static json_t *parse(const char *text)
{
    struct err err;
    return vclock_read(text, strlen(text), &err);
}

static void keep(struct move *m, const json_t *clock)
{
    const char *text = clock_text(m, clock);
    if (!text)
        return;
    m->saga->clock = text;
    m->saga->changed = true;
    m->effects->changed = true;
}

void clock_open(struct move *m)
{
    struct entity entities[ENTITIES_MAX];
    size_t n;
    struct err err;
    if (!m->saga->definition->entities_n || !entities_of(m->saga, m->effects->arena, entities, &n, &err))
        return;
    json_t *clock = json_object(), *told = m->event->clock ? parse(m->event->clock) : NULL;
    for (size_t i = 0; i < n; i++)
        json_object_set_new(clock, entities[i].key, json_object());
    if (told)
        vclock_merge(clock, told);
    m->saga->clock = clock_text(m, clock);
    json_decref(told);
    json_decref(clock);
}

static void touch(struct move *m, const char *entity, int64_t number)
{
    struct effects *effects = m->effects;
    struct touch *new = arena_alloc(effects->arena, sizeof *new);
    *new = (struct touch){.next = effects->touches, .entity = arena_strdup(effects->arena, entity), .step = m->event->step,
                          .kind = m->event->kind == KIND_COMPENSATION ? KIND_COMPENSATION : KIND_ACTION, .number = number};
    effects->touches = new;
    effects->changed = true;
}

/* A service speaks for itself alone. Tells whether the clock has changed. */
static bool hear_service(struct move *m, json_t *clock, json_t *told)
{
    const char *entity, *service = step_of(m, m->event->step)->service;
    json_t *counters;
    bool changed = false;
    json_object_foreach(told, entity, counters) {
        int64_t number = vclock_get(told, entity, service);
        if (!number || !json_object_get(clock, entity))
            continue;
        if (m->event->outcome == OUTCOME_SUCCEEDED)
            touch(m, entity, number);
        if (number > vclock_get(clock, entity, service))
            changed = vclock_set(clock, entity, service, number) || changed;
    }
    return changed;
}

void clock_learn(struct move *m)
{
    const struct step_definition *step = m->event->type == EVENT_REPLY ? step_of(m, m->event->step) : NULL;
    if (!m->saga->clock || !m->event->clock || (step && step->kind != STEP_CALLS))
        return;
    json_t *clock = parse(m->saga->clock), *told = parse(m->event->clock);
    bool of_service = step && !step->child; /* a parent, or a child, says what its own services have said */
    if (clock && told && (of_service ? hear_service(m, clock, told) : vclock_merge(clock, told)))
        keep(m, clock);
    json_decref(clock);
    json_decref(told);
}

bool clock_is_news(const struct move *m)
{
    if (m->event->type != EVENT_REPLY || m->event->outcome != OUTCOME_SUCCEEDED || !m->saga->clock || !m->event->clock)
        return false;
    enum step_state state = m->saga->steps[m->event->step].state;
    return state != (m->event->kind == KIND_COMPENSATION ? STEP_COMPENSATED : STEP_SUCCEEDED);
}
