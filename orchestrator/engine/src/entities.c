#include "entities.h"

#include "base/log.h"
#include "core/entity.h"

/* The keys that the saga holds or is to hold, in the arena. */
static const char *const *held_keys(struct applier *applier, struct saga *saga, size_t *n)
{
    struct arena *arena = &applier->arena;
    struct entity entities[ENTITIES_MAX];
    const char **keys = arena_array(arena, ENTITIES_MAX, sizeof *keys);
    size_t entities_n;
    struct err err;
    char id[UUID_TEXT_MAX];
    *n = 0;
    if (!entities_of(saga, arena, entities, &entities_n, &err)) { /* the intake has looked at them: they have not changed since */
        log_line(LOG_ERROR, "engine.entities_lost", LOG_STR("saga_id", uuid_format(&saga->id, id)), LOG_ERR(&err));
        return keys;
    }
    for (size_t i = 0; i < entities_n; i++) {
        if (!entities[i].observes)
            keys[(*n)++] = entities[i].key;
    }
    return keys;
}

static bool any_wants(const struct turn *turns, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (turns[i].wants)
            return true;
    }
    return false;
}

bool entities_take(struct applier *applier, struct turn *turns, size_t n, bool *begun, struct err *err)
{
    if (!any_wants(turns, n))
        return true;
    struct store_ask *asks = arena_array(&applier->arena, n, sizeof *asks);
    struct turn **of = arena_array(&applier->arena, n, sizeof *of);
    size_t asks_n = 0;
    for (size_t i = 0; i < n; i++) {
        struct saga *saga = turns[i].saga;
        if (!saga || !saga_holds(saga))
            continue;
        struct store_ask *ask = &asks[asks_n];
        *ask = (struct store_ask){.saga_id = saga->id, .joins = turns[i].wants && saga->state != SAGA_QUEUED,
                                  .only_if_free = turns[i].only_if_free};
        ask->keys = held_keys(applier, saga, &ask->keys_n);
        of[asks_n++] = &turns[i];
    }
    if (*begun && !pg_in_transaction(applier->pg)) /* what was done in it is undone */
        return err_set(err, ERR_RETRY, "PostgreSQL: the transaction was lost");
    *begun = true;
    if (!store_take_entities(applier->pg, &applier->arena, asks, asks_n, err))
        return false;
    for (size_t i = 0; i < asks_n; i++)
        of[i]->has = asks[i].has;
    return true;
}

void entities_release(struct applier *applier, struct store_change *changes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct saga *saga = changes[i].saga;
        if (saga_ended(saga->state) && saga_holds(saga))
            changes[i].released = held_keys(applier, saga, &changes[i].released_n);
    }
}
