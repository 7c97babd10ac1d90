/* Whoever waits for a saga's end. This process's own ends are told at once; those that another process brought about are
 * found by a look at the database. */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/wake.h"
#include "parts.h"

#define LOOK_EVERY_MS 250

static struct watch **bucket(struct engine *engine, const struct uuid *id)
{
    return &engine->watches[uuid_hash(id) % WATCH_BUCKETS];
}

/* Moves the watches of one bucket that `match` says to `taken`; under the lock. */
static struct watch *take_from(struct engine *engine, struct watch **at, bool (*match)(const struct watch *, const void *),
                               const void *argument, struct watch *taken)
{
    while (*at) {
        struct watch *watch = *at;
        if (!match(watch, argument)) {
            at = &watch->next;
            continue;
        }
        *at = watch->next;
        watch->next = taken;
        taken = watch;
        engine->watches_n--;
    }
    return taken;
}

/* From all buckets; the caller calls their `done` without the lock. */
static struct watch *take(struct engine *engine, bool (*match)(const struct watch *, const void *), const void *argument)
{
    struct watch *taken = NULL;
    pthread_mutex_lock(&engine->watches_lock);
    for (size_t i = 0; i < WATCH_BUCKETS && engine->watches_n; i++)
        taken = take_from(engine, &engine->watches[i], match, argument, taken);
    pthread_mutex_unlock(&engine->watches_lock);
    return taken;
}

static void finish(struct watch *watches, const struct saga *saga)
{
    for (struct watch *watch = watches, *next; watch; watch = next) {
        next = watch->next;
        watch->done(watch, saga);
    }
}

static bool has_id(const struct watch *watch, const void *id)
{
    return uuid_equal(&watch->id, id);
}

static bool sees_change(const struct watch *watch, const void *argument)
{
    const struct saga *saga = argument;
    return watch->changes && watch->after < saga->version && has_id(watch, &saga->id);
}

/* What the database says of a saga is what this watch waits for. */
static bool sees(const struct watch *watch, const void *argument)
{
    const struct store_glance *glance = argument;
    if (watch->waits || !has_id(watch, &glance->id))
        return false;
    return !glance->found || (watch->changes ? glance->version > watch->after : glance->settled);
}

static bool is_over(const struct watch *watch, const void *now_ms)
{
    return !watch->waits && watch->deadline_ms <= *(const int64_t *)now_ms;
}

static bool any(const struct watch *watch, const void *argument)
{
    (void)watch, (void)argument;
    return true;
}

void watches_tell(struct engine *engine, const struct uuid *id, const struct saga *saga)
{
    pthread_mutex_lock(&engine->watches_lock);
    struct watch *taken = take_from(engine, bucket(engine, id), has_id, id, NULL);
    pthread_mutex_unlock(&engine->watches_lock);
    finish(taken, saga);
}

void watches_changed(struct engine *engine, const struct saga *saga)
{
    pthread_mutex_lock(&engine->watches_lock);
    struct watch *taken = take_from(engine, bucket(engine, &saga->id), sees_change, saga, NULL);
    pthread_mutex_unlock(&engine->watches_lock);
    finish(taken, saga);
}

/* False when the engine has stopped. */
static bool add(struct engine *engine, struct watch *watch, bool waits, bool *is_first)
{
    pthread_mutex_lock(&engine->watches_lock);
    bool open = !engine->watches_closed;
    *is_first = open && !engine->watches_n;
    if (open) {
        struct watch **at = bucket(engine, &watch->id);
        watch->waits = waits;
        watch->looked_at = waits;
        watch->next = *at;
        *at = watch;
        engine->watches_n++;
    }
    pthread_mutex_unlock(&engine->watches_lock);
    return open;
}

void engine_watch(struct engine *engine, struct watch *watch)
{
    bool is_first;
    if (add(engine, watch, false, &is_first))
        wake_ring(engine->watches_fd);
    else
        watch->done(watch, NULL);
}

void watches_expect(struct engine *engine, struct watch *watch)
{
    bool is_first;
    add(engine, watch, true, &is_first); /* the watches close after the intake has ended */
    if (is_first)
        wake_ring(engine->watches_fd);
}

void watches_committed(struct engine *engine, const struct uuid *id)
{
    pthread_mutex_lock(&engine->watches_lock);
    for (struct watch *watch = *bucket(engine, id); watch; watch = watch->next) {
        if (uuid_equal(&watch->id, id))
            watch->waits = false;
    }
    pthread_mutex_unlock(&engine->watches_lock);
}

bool watches_forget(struct engine *engine, const struct uuid *id)
{
    pthread_mutex_lock(&engine->watches_lock);
    struct watch *taken = take_from(engine, bucket(engine, id), has_id, id, NULL);
    pthread_mutex_unlock(&engine->watches_lock);
    return taken != NULL;
}

/* Some of the sagas that are watched and were not looked at yet. */
static size_t list_ids(struct engine *engine, struct uuid *ids)
{
    size_t n = 0;
    pthread_mutex_lock(&engine->watches_lock);
    for (size_t i = 0; i < WATCH_BUCKETS && engine->watches_n && n < BATCH_MAX; i++) {
        for (struct watch *watch = engine->watches[i]; watch && n < BATCH_MAX; watch = watch->next) {
            if (watch->looked_at)
                continue;
            watch->looked_at = true;
            ids[n++] = watch->id;
        }
    }
    pthread_mutex_unlock(&engine->watches_lock);
    return n;
}

static void look_at_all_again(struct engine *engine)
{
    pthread_mutex_lock(&engine->watches_lock);
    for (size_t i = 0; i < WATCH_BUCKETS && engine->watches_n; i++) {
        for (struct watch *watch = engine->watches[i]; watch; watch = watch->next)
            watch->looked_at = watch->waits;
    }
    pthread_mutex_unlock(&engine->watches_lock);
}

static void tell_seen(struct engine *engine, const struct store_glance *glance)
{
    pthread_mutex_lock(&engine->watches_lock);
    struct watch *taken = take_from(engine, bucket(engine, &glance->id), sees, glance, NULL);
    pthread_mutex_unlock(&engine->watches_lock);
    finish(taken, NULL);
}

static void look(struct engine *engine, struct pg *pg)
{
    struct uuid ids[BATCH_MAX];
    struct store_glance glances[BATCH_MAX];
    struct err err;
    size_t n;
    while ((n = list_ids(engine, ids))) {
        if (!store_glance(pg, ids, n, glances, &err)) {
            log_line(LOG_DEBUG, "engine.watches_blind", LOG_ERR(&err));
            return;
        }
        for (size_t i = 0; i < n; i++)
            tell_seen(engine, &glances[i]);
    }
}

static bool is_idle(struct engine *engine)
{
    pthread_mutex_lock(&engine->watches_lock);
    bool idle = !engine->watches_n;
    pthread_mutex_unlock(&engine->watches_lock);
    return idle;
}

void *watches_run(void *argument)
{
    struct engine *engine = argument;
    struct pg *pg = pg_new(engine->config.database_url, engine->config.schema, "saga-orchestrator watches", PG_HOT);
    int64_t looked_ms = clock_mono_ms();
    while (!atomic_load(&engine->stopping)) {
        wake_wait(engine->watches_fd, is_idle(engine) ? -1 : LOOK_EVERY_MS);
        int64_t now_ms = clock_mono_ms();
        if (now_ms - looked_ms >= LOOK_EVERY_MS) {
            look_at_all_again(engine);
            looked_ms = now_ms;
        }
        look(engine, pg); /* at new ones at once: a saga may have ended before it was watched */
        finish(take(engine, is_over, &now_ms), NULL);
    }
    pthread_mutex_lock(&engine->watches_lock);
    engine->watches_closed = true;
    pthread_mutex_unlock(&engine->watches_lock);
    finish(take(engine, any, NULL), NULL);
    pg_free(pg);
    return NULL;
}
