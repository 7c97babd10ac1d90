/* The intake: starts that wait together are committed together. A start is answered only after its commit; when the
 * commit's answer was lost, the ids are looked up first. */
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apply.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "core/entity.h"
#include "entities.h"
#include "tally.h"

#define WAIT_MS 500
#define LOOK_TRIES 10
#define LOOK_PAUSE_MS 200
#define RACE_TRIES 5

struct entry {
    struct start *start; /* NULL once it is answered */
    struct saga *saga;   /* while it is being made, else NULL */
    struct uuid id;
    bool watched; /* the start's watch is among the engine's */
};

struct batch {
    struct applier *applier;
    struct entry entries[BATCH_MAX];
    size_t n;
};

static void set_reason(struct start *start, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    text_format(start->reason, sizeof start->reason, format, args);
    va_end(args);
}

static void answer(struct start *start, enum start_result result, const char *reason)
{
    start->result = result;
    set_reason(start, "%s", reason);
    start->done(start);
}

/* Answers the start and forgets it, unless its watch has it: a saga that was made and is watched is reported by its watch,
 * and perhaps has been already, even if we do not know that it was made. Then the start is gone. */
static void settle(struct batch *batch, size_t i, enum start_result result, const char *reason)
{
    struct engine *engine = batch->applier->engine;
    struct entry entry = batch->entries[i];
    bool ours = true;
    if (entry.watched && result == START_CREATED) {
        watches_committed(engine, &entry.id);
        ours = false;
    } else if (entry.watched) {
        ours = watches_forget(engine, &entry.id);
    }
    if (entry.saga)
        saga_release(entry.saga);
    batch->entries[i] = (struct entry){0};
    if (ours)
        answer(entry.start, result, reason);
}

static bool same_content(const struct start *start, const struct store_key_view *view)
{
    struct err err;
    json_t *mine = json_read(start->input, start->input_len, &err);
    json_t *theirs = json_read(view->input, strlen(view->input), &err);
    bool same = mine && theirs && json_equal(mine, theirs) && strcmp(start->definition, view->definition) == 0;
    json_decref(mine);
    json_decref(theirs);
    return same;
}

static void settle_by_key(struct batch *batch, size_t i, const struct store_key_view *view)
{
    batch->entries[i].start->id = view->id;
    if (same_content(batch->entries[i].start, view))
        settle(batch, i, START_EXISTS, "");
    else
        settle(batch, i, START_CONFLICT, "the idempotency key belongs to a saga with another definition or input");
}

/* Answers the starts whose key has a saga already. */
static bool settle_known_keys(struct batch *batch, struct err *err)
{
    struct arena *arena = &batch->applier->arena;
    const char **keys = arena_array(arena, batch->n, sizeof *keys);
    size_t *index = arena_array(arena, batch->n, sizeof *index), n = 0;
    for (size_t i = 0; i < batch->n; i++) {
        if (!batch->entries[i].start || !batch->entries[i].start->idempotency_key)
            continue;
        keys[n] = batch->entries[i].start->idempotency_key;
        index[n++] = i;
    }
    if (!n)
        return true;
    struct store_key_view *views = arena_array(arena, n, sizeof *views);
    if (!store_find_keys(batch->applier->pg, arena, keys, n, views, err))
        return false;
    for (size_t k = 0; k < n; k++) {
        if (views[k].found)
            settle_by_key(batch, index[k], &views[k]);
    }
    return true;
}

/* Answers the starts with whose key another saga lives. */
static bool settle_live_keys(struct batch *batch, struct err *err)
{
    struct arena *arena = &batch->applier->arena;
    const char **definitions = arena_array(arena, batch->n, sizeof *definitions), **keys = arena_array(arena, batch->n, sizeof *keys);
    size_t *index = arena_array(arena, batch->n, sizeof *index), n = 0;
    for (size_t i = 0; i < batch->n; i++) {
        if (!batch->entries[i].start || !batch->entries[i].start->key)
            continue;
        definitions[n] = batch->entries[i].start->definition;
        keys[n] = batch->entries[i].start->key;
        index[n++] = i;
    }
    if (!n)
        return true;
    struct store_live_view *views = arena_array(arena, n, sizeof *views);
    if (!store_find_live(batch->applier->pg, definitions, keys, n, views, err))
        return false;
    for (size_t k = 0; k < n; k++) {
        struct start *start = batch->entries[index[k]].start;
        if (!views[k].found)
            continue;
        start->id = views[k].id;
        settle(batch, index[k], start->return_live ? START_EXISTS : START_KEY_TAKEN, "another saga of the definition lives with this key");
    }
    return true;
}

/* Finds the definitions; the latest version is looked up once for each name. */
static bool find_definitions(struct batch *batch, const struct definition **out, struct err *err)
{
    for (size_t i = 0; i < batch->n; i++) {
        const struct start *start = batch->entries[i].start;
        out[i] = NULL;
        for (size_t k = 0; start && k < i && !out[i]; k++) {
            const struct start *earlier = batch->entries[k].start;
            if (earlier && out[k] && earlier->version == start->version && strcmp(earlier->definition, start->definition) == 0)
                out[i] = out[k];
        }
        if (!start || out[i])
            continue;
        out[i] = catalog_get(batch->applier->catalog, batch->applier->pg, start->definition, start->version, err);
        if (out[i])
            continue;
        if (err->kind != ERR_REFUSED)
            return false;
        settle(batch, i, START_NO_DEFINITION, err->text);
    }
    return true;
}

static struct saga *new_saga(struct arena *arena, const struct start *start, const struct definition *definition)
{
    struct saga *saga = arena_alloc(arena, sizeof *saga);
    *saga = (struct saga){.id = start->id,
                          .definition = definition,
                          .idempotency_key = start->idempotency_key,
                          .traceparent = start->traceparent,
                          .start_ms = start->start_ms,
                          .key = start->key,
                          .labels = start->labels,
                          .input = start->input,
                          .input_len = start->input_len};
    saga->steps = arena_array(arena, definition->steps_n, sizeof *saga->steps);
    return saga;
}

/* Before the commit, so that no end can come before its watch. */
static void expect_end(struct engine *engine, struct entry *entry)
{
    struct watch *watch = entry->start->watch;
    if (!watch || entry->watched)
        return;
    watch->id = entry->id;
    watches_expect(engine, watch);
    entry->watched = true;
}

/* The sagas of the starts that are left, before anything has happened to them. */
static bool make_sagas(struct batch *batch, struct err *err)
{
    struct arena *arena = &batch->applier->arena;
    const struct definition **definitions = arena_array(arena, batch->n, sizeof *definitions);
    if (!find_definitions(batch, definitions, err))
        return false;
    for (size_t i = 0; i < batch->n; i++) {
        struct entity entities[ENTITIES_MAX];
        size_t entities_n;
        struct err fault;
        if (!batch->entries[i].start)
            continue;
        batch->entries[i].saga = new_saga(arena, batch->entries[i].start, definitions[i]);
        if (!entities_of(batch->entries[i].saga, arena, entities, &entities_n, &fault))
            settle(batch, i, START_NO_ENTITY, fault.text);
    }
    return true;
}

/* Asks for the entities of those that begin now; which of them has its own comes back in turns. */
static bool take_turns(struct batch *batch, int64_t now_ms, struct turn *turns, bool *begun, struct err *err)
{
    for (size_t i = 0; i < batch->n; i++) {
        struct saga *saga = batch->entries[i].saga;
        turns[i] = (struct turn){.saga = saga};
        if (!saga)
            continue;
        turns[i].wants = machine_wants_entities(saga, EVENT_START, now_ms);
        turns[i].only_if_free = saga->definition->rejects_busy;
    }
    if (!entities_take(batch->applier, turns, batch->n, begun, err))
        return false;
    for (size_t i = 0; i < batch->n; i++) {
        if (turns[i].wants && turns[i].only_if_free && !turns[i].has)
            settle(batch, i, START_BUSY, "another saga holds one of its entities");
    }
    return true;
}

/* Starts the sagas and writes them. */
static bool start_sagas(struct batch *batch, struct err *err)
{
    struct arena *arena = &batch->applier->arena;
    struct store_change *changes = arena_array(arena, batch->n, sizeof *changes);
    struct turn *turns = arena_array(arena, batch->n, sizeof *turns);
    size_t changes_n = 0;
    bool begun = false;
    int64_t now_ms = clock_real_ms(), begun_ms = clock_mono_ms();
    if (!take_turns(batch, now_ms, turns, &begun, err))
        return false;
    for (size_t i = 0; i < batch->n; i++) {
        struct saga *saga = batch->entries[i].saga;
        if (!saga)
            continue;
        struct effects effects = {.arena = arena, .new_id = uuid_v7};
        expect_end(batch->applier->engine, &batch->entries[i]);
        machine_apply(saga, &(struct event){.type = EVENT_START, .has_entities = turns[i].has}, now_ms, &effects);
        changes[changes_n++] = (struct store_change){
            .saga = saga, .is_new = true, .history = effects.history,
            .messages = command_messages(batch->applier->engine, arena, saga, effects.commands, now_ms)};
    }
    fault_point("intake.before_commit");
    return save_changes(batch->applier, changes, changes_n, begun_ms, begun, err);
}

static void settle_created(struct batch *batch, size_t i)
{
    struct engine *engine = batch->applier->engine;
    struct saga *saga = batch->entries[i].saga;
    if (saga_ended(saga->state))
        watches_tell(engine, &saga->id, saga);
    settle(batch, i, START_CREATED, "");
}

/* The commit's answer was lost: what is there was made; of the rest nobody knows. */
static void settle_in_doubt(struct batch *batch)
{
    struct uuid ids[BATCH_MAX];
    struct store_glance glances[BATCH_MAX];
    struct err err;
    bool known = false;
    for (size_t i = 0; i < batch->n; i++)
        ids[i] = batch->entries[i].id;
    for (int tries = 0; tries < LOOK_TRIES && !known; tries++) {
        known = store_glance(batch->applier->pg, ids, batch->n, glances, &err);
        if (!known)
            poll(NULL, 0, LOOK_PAUSE_MS);
    }
    for (size_t i = 0; i < batch->n; i++) {
        if (!batch->entries[i].start)
            continue;
        if (known && glances[i].found)
            settle_created(batch, i);
        else /* not there yet, or not known: the old session may still be about to commit */
            settle(batch, i, START_UNKNOWN, "the database went away while it was asked to accept the saga");
    }
}

static void settle_all(struct batch *batch, enum start_result result, const char *reason)
{
    for (size_t i = 0; i < batch->n; i++) {
        if (batch->entries[i].start)
            settle(batch, i, result, reason);
    }
}

static void process(struct batch *batch);

/* The sagas of a try that failed: they live in the arena of that try. */
static void drop_sagas(struct batch *batch)
{
    for (size_t i = 0; i < batch->n; i++) {
        if (batch->entries[i].saga)
            saga_release(batch->entries[i].saga);
        batch->entries[i].saga = NULL;
    }
}

/* Something in the batch is refused for good: halves go on by themselves until the culprit is alone. */
static void split(struct batch *batch, const struct err *err)
{
    size_t left = 0;
    drop_sagas(batch);
    for (size_t i = 0; i < batch->n; i++) {
        if (batch->entries[i].start)
            batch->entries[left++] = batch->entries[i];
    }
    batch->n = left;
    if (left == 1) {
        atomic_fetch_add(&batch->applier->engine->set_aside, 1);
        log_line(LOG_ERROR, "engine.start_refused", LOG_ERR(err));
        settle(batch, 0, START_REFUSED, err->text);
        return;
    }
    struct batch *half = mem_alloc(sizeof *half);
    for (size_t part = 0; part < 2; part++) {
        size_t first = part ? left / 2 : 0, end = part ? left : left / 2;
        *half = (struct batch){.applier = batch->applier, .n = end - first};
        memcpy(half->entries, batch->entries + first, half->n * sizeof half->entries[0]);
        process(half);
    }
    free(half);
}

/* Answers every start of the batch. */
static void process(struct batch *batch)
{
    struct engine *engine = batch->applier->engine;
    struct err err = {0};
    for (int tries = 0; tries < RACE_TRIES; tries++) {
        drop_sagas(batch);
        arena_reset(&batch->applier->arena);
        if (applier_begin(batch->applier, &err) && settle_known_keys(batch, &err) && settle_live_keys(batch, &err) && make_sagas(batch, &err) &&
            start_sagas(batch, &err)) {
            fault_point("intake.after_commit");
            atomic_store(&engine->intake_healthy, true);
            for (size_t i = 0; i < batch->n; i++) {
                if (batch->entries[i].start)
                    settle_created(batch, i);
            }
            return;
        }
        if (!store_is_stale(&err))
            break; /* otherwise somebody else used one of the keys just now: look again */
    }
    if (err.kind == ERR_REFUSED) {
        split(batch, &err);
        return;
    }
    atomic_store(&engine->intake_healthy, false);
    log_line(LOG_WARN, "engine.starts_refused", LOG_ERR(&err), LOG_BOOL("in_doubt", err.in_doubt));
    if (err.in_doubt)
        settle_in_doubt(batch);
    else
        settle_all(batch, START_UNAVAILABLE, "the database is not available");
}

static void process_measured(struct batch *batch)
{
    size_t n = batch->n;
    int64_t begun_us = clock_mono_us();
    process(batch);
    tally_batch(batch->applier->engine->tally, TALLY_STARTS, n, clock_mono_us() - begun_us);
}

static bool same_text(const char *a, const char *b)
{
    return a && b && strcmp(a, b) == 0;
}

/* One of the two can only be answered once the other is there. */
static bool collides(const struct batch *batch, const struct start *start)
{
    for (size_t i = 0; i < batch->n; i++) {
        const struct start *other = batch->entries[i].start;
        if (same_text(start->idempotency_key, other->idempotency_key) ||
            (same_text(start->key, other->key) && strcmp(start->definition, other->definition) == 0))
            return true;
    }
    return false;
}

/* A batch has each key once; the start that would double one waits for the next batch. */
static void fill(struct batch *batch, struct start **taken, size_t n, struct start **left, size_t *left_n)
{
    *left_n = 0;
    batch->n = 0;
    for (size_t i = 0; i < n; i++) {
        if (*left_n || collides(batch, taken[i])) {
            left[(*left_n)++] = taken[i];
            continue;
        }
        taken[i]->id = uuid_v7();
        batch->entries[batch->n++] = (struct entry){.start = taken[i], .id = taken[i]->id};
    }
}

void *intake_run(void *argument)
{
    struct engine *engine = argument;
    struct applier applier;
    struct batch *batch = mem_alloc(sizeof *batch);
    struct start *taken[BATCH_MAX];
    size_t n = 0;
    applier_open(&applier, engine, "saga-orchestrator intake");
    batch->applier = &applier;
    while (n || !queue_closed(engine->starts) || queue_len(engine->starts)) {
        n += n ? queue_take(engine->starts, (void **)taken + n, BATCH_MAX - n)
               : queue_wait(engine->starts, (void **)taken, BATCH_MAX, WAIT_MS);
        struct start *left[BATCH_MAX];
        size_t left_n;
        fill(batch, taken, n, left, &left_n);
        if (batch->n)
            process_measured(batch);
        memcpy(taken, left, left_n * sizeof left[0]);
        n = left_n;
    }
    applier_close(&applier);
    free(batch);
    return NULL;
}
