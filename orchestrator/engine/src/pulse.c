/* What a process tells of itself and looks up for its metrics, at its own pace: that it lives, what it has counted by the
 * minute, and the figures that only the database knows. A crash loses the last seconds of the counts. */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/wake.h"
#include "parts.h"
#include "presence/presence.h"
#include "tally.h"

#define KEEP_EVERY_MS 2000

struct pulse {
    struct engine *engine;
    struct pg *pg;
    struct arena arena;
    struct presence presence;
    uint64_t kept;     /* of the tally */
    int64_t said_ms;   /* when it last said that it lives; 0: say it now */
    bool said_healthy; /* and what it said of its health */
    bool blind;        /* the database did not answer last time */
};

static bool keep_minutes(struct pulse *pulse, struct err *err)
{
    struct store_minute *minutes;
    size_t n;
    arena_reset(&pulse->arena);
    uint64_t seen = tally_minutes(pulse->engine->tally, pulse->kept, &pulse->arena, &minutes, &n);
    if (n && !store_put_minutes(pulse->pg, &pulse->presence.id, minutes, n, err))
        return false;
    pulse->kept = seen;
    return true;
}

static void set_gauges(struct engine *engine, bool known, const struct store_gauges *gauges)
{
    pthread_mutex_lock(&engine->gauges_lock);
    engine->gauges_known = known;
    engine->gauges = *gauges;
    pthread_mutex_unlock(&engine->gauges_lock);
}

static bool say_and_look(struct pulse *pulse, bool healthy, struct err *err)
{
    struct store_gauges gauges;
    if (!presence_say(pulse->pg, &pulse->presence, healthy, err) || !store_gauges(pulse->pg, &gauges, err))
        return false;
    pulse->said_ms = clock_mono_ms();
    pulse->said_healthy = healthy;
    set_gauges(pulse->engine, true, &gauges);
    return true;
}

static void beat(struct pulse *pulse)
{
    struct err err;
    struct engine_health health;
    engine_health(pulse->engine, &health);
    bool due = !pulse->said_ms || clock_mono_ms() - pulse->said_ms >= PRESENCE_EVERY_MS || health.ready != pulse->said_healthy;
    pulse->blind = !keep_minutes(pulse, &err) || (due && !say_and_look(pulse, health.ready, &err));
    if (!pulse->blind)
        return;
    pulse->said_ms = 0;
    set_gauges(pulse->engine, false, &(struct store_gauges){0});
    log_line(LOG_DEBUG, "engine.pulse_blind", LOG_ERR(&err));
}

static void leave(struct pulse *pulse)
{
    struct err err;
    if (!keep_minutes(pulse, &err) || !presence_leave(pulse->pg, &pulse->presence, &err))
        log_line(LOG_DEBUG, "engine.pulse_blind", LOG_ERR(&err));
}

void *pulse_run(void *argument)
{
    struct engine *engine = argument;
    struct pulse pulse = {.engine = engine,
                          .pg = pg_new(engine->config.database_url, engine->config.schema, "saga-orchestrator pulse", PG_ADHOC)};
    presence_init(&pulse.presence, "saga-orchestrator", engine->config.roles ? engine->config.roles : "");
    while (!atomic_load(&engine->pulse_stopping)) {
        beat(&pulse);
        wake_wait(engine->pulse_fd, KEEP_EVERY_MS);
    }
    if (!pulse.blind) /* a server that is away is not waited for at the end */
        leave(&pulse);
    pg_free(pulse.pg);
    arena_free(&pulse.arena);
    return NULL;
}
