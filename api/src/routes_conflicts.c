/* What sagas did to one entity, and in which order: whether any two of them met on it. */
#include "call.h"

#define ANSWER_MAX (8u * 1024 * 1024)
#define EFFECTS_LOOKED_AT 1000
#define SAGAS_COMPARED 50
#define DIRTY_SHOWN 8 /* of one saga within another */

/* A saga's effects: those of [first, first + n) of all. */
struct actor {
    const struct store_touch *first;
    size_t n;
    struct entity_effect *effects;
};

struct actors {
    struct actor of[SAGAS_COMPARED];
    size_t n;
    bool more; /* others, started or seen earlier, were not looked at */
};

/* The number of effects at the start of the list that are one saga's. */
static size_t actor_len(const struct store_touch *touches, size_t n)
{
    size_t len = 1;
    while (len < n && uuid_equal(&touches[len].root_id, &touches[0].root_id))
        len++;
    return len;
}

/* One more than is compared was asked for: the first is the oldest, and only tells that it is there. */
static void find_actors(struct arena *arena, const struct store_touch *touches, size_t n, bool more, struct actors *out)
{
    size_t sagas = 0, first = 0;
    for (size_t at = 0; at < n; at += actor_len(touches + at, n - at))
        sagas++;
    *out = (struct actors){.more = more || sagas > SAGAS_COMPARED};
    if (sagas > SAGAS_COMPARED)
        first = actor_len(touches, n);
    for (size_t len; first < n; first += len) {
        struct actor *actor = &out->of[out->n++];
        len = actor_len(touches + first, n - first);
        *actor = (struct actor){.first = &touches[first], .n = len, .effects = arena_array(arena, len, sizeof *actor->effects)};
        for (size_t i = 0; i < len; i++)
            actor->effects[i] = touches[first + i].effect;
    }
}

static void add_id(struct buf *out, const char *name, const struct uuid *id)
{
    char text[UUID_TEXT_MAX];
    buf_printf(out, "\"%s\":\"%s\"", name, uuid_format(id, text));
}

/* Names of services and steps need no escaping. */
static void add_actor(struct buf *out, const struct actor *actor)
{
    buf_char(out, '{');
    add_id(out, "saga", &actor->first->root_id);
    buf_printf(out, ",\"definition\":\"%s\",\"state\":\"%s\",\"effects\":[", actor->first->definition, actor->first->state);
    for (size_t i = 0; i < actor->n; i++) {
        const struct entity_effect *effect = &actor->effects[i];
        buf_printf(out, "%s{\"service\":\"%s\",\"number\":%lld,\"step\":\"%s\",\"kind\":\"%s\",", i ? "," : "", effect->service,
                   (long long)effect->number, effect->step, effect->undo ? "compensation" : "action");
        add_id(out, "saga", &effect->saga_id);
        buf_char(out, '}');
    }
    buf_str(out, "]}");
}

/* How two of them lie to each other. */
struct meeting {
    enum precedence precedence;
    struct dirty dirty[2][DIRTY_SHOWN]; /* what the second did within the first, and the other way round */
    size_t dirty_n[2];
};

static struct meeting meet(const struct actor *a, const struct actor *b)
{
    struct meeting meeting = {.precedence = effects_compare(a->effects, a->n, b->effects, b->n)};
    meeting.dirty_n[0] = effects_dirty(a->effects, a->n, b->effects, b->n, meeting.dirty[0], DIRTY_SHOWN);
    meeting.dirty_n[1] = effects_dirty(b->effects, b->n, a->effects, a->n, meeting.dirty[1], DIRTY_SHOWN);
    return meeting;
}

static void add_dirty(struct buf *out, const struct actor *undone, const struct actor *by, const struct dirty *dirty, bool first)
{
    const struct entity_effect *between = dirty->between;
    buf_str(out, first ? "{" : ",{");
    add_id(out, "undone", &undone->first->root_id);
    buf_printf(out, ",\"service\":\"%s\",\"step\":\"%s\",\"action\":%lld,\"compensation\":%lld,", dirty->action->service, dirty->action->step,
               (long long)dirty->action->number, (long long)dirty->compensation->number);
    add_id(out, "by", &by->first->root_id);
    buf_printf(out, ",\"touched\":{\"step\":\"%s\",\"kind\":\"%s\",\"number\":%lld}}", between->step, between->undo ? "compensation" : "action",
               (long long)between->number);
}

static void add_pair(struct buf *out, const struct actor *a, const struct actor *b, const struct meeting *meeting)
{
    buf_char(out, '{');
    add_id(out, "first", &a->first->root_id);
    buf_char(out, ',');
    add_id(out, "second", &b->first->root_id);
    buf_printf(out, ",\"order\":\"%s\",\"dirty\":[", precedence_name(meeting->precedence));
    for (size_t i = 0; i < meeting->dirty_n[0]; i++)
        add_dirty(out, a, b, &meeting->dirty[0][i], i == 0);
    for (size_t i = 0; i < meeting->dirty_n[1]; i++)
        add_dirty(out, b, a, &meeting->dirty[1][i], i == 0 && !meeting->dirty_n[0]);
    buf_str(out, "]}");
}

/* Pairs that no service has seen both of are left out. */
static void add_pairs(struct buf *out, const struct actors *actors)
{
    size_t pairs = 0, conflicts = 0;
    buf_str(out, "],\"pairs\":[");
    for (size_t i = 0; i < actors->n; i++) {
        for (size_t k = i + 1; k < actors->n; k++) {
            struct meeting meeting = meet(&actors->of[i], &actors->of[k]);
            bool dirty = meeting.dirty_n[0] + meeting.dirty_n[1] > 0;
            conflicts += meeting.precedence == PRECEDENCE_CONCURRENT || dirty;
            if (meeting.precedence == PRECEDENCE_NONE && !dirty)
                continue;
            buf_str(out, pairs++ ? "," : "");
            add_pair(out, &actors->of[i], &actors->of[k], &meeting);
        }
    }
    buf_printf(out, "],\"conflicts\":%zu}", conflicts);
}

void entities_conflicts(struct call *call)
{
    struct store_touch *touches;
    struct actors actors;
    static const struct store_touch_bounds bounds = {EFFECTS_LOOKED_AT, SAGAS_COMPARED + 1};
    size_t n;
    bool more;
    struct err err;
    if (!entities_read_key(call))
        return;
    if (!store_get_touches(call->reader->pg, &call->arena, call->parameter, &bounds, &touches, &n, &more, &err)) {
        call_database_problem(call, &err);
        return;
    }
    find_actors(&call->arena, touches, n, more, &actors);
    struct buf body = buf_new(ANSWER_MAX);
    buf_str(&body, "{\"key\":");
    buf_json_str(&body, call->parameter);
    buf_printf(&body, ",\"more\":%s,\"sagas\":[", actors.more ? "true" : "false");
    for (size_t i = 0; i < actors.n; i++) {
        buf_str(&body, i ? "," : "");
        add_actor(&body, &actors.of[i]);
    }
    add_pairs(&body, &actors);
    call_json(call, 200, &body, NULL);
}
