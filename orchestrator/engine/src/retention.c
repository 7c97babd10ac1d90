/* Lets go of sagas that ended long ago, on a thread and a connection of its own, in small pieces with pauses: whatever is live goes first. Several
 * processes may do so beside each other; a crash leaves the rest for the next time. */
#include "base/clock.h"
#include "base/log.h"
#include "base/wake.h"
#include "parts.h"

#define EVERY_MS 60000
#define PAUSE_MS 20 /* between two pieces */

/* How many sagas, all in all. False: the rest is left for the next time. */
static bool purge_all(struct engine *engine, struct pg *pg, size_t *purged, struct err *err)
{
    struct uuid after = {0};
    int64_t before_ms = clock_real_ms() - engine->config.retention_ms;
    for (bool more = true; more && !atomic_load(&engine->stopping);) {
        size_t n;
        if (!store_purge(pg, before_ms, &after, &n, &more, err))
            return false;
        *purged += n;
        atomic_fetch_add(&engine->purged, n);
        if (n)
            wake_wait(engine->retention_fd, PAUSE_MS);
    }
    return true;
}

void *retention_run(void *argument)
{
    struct engine *engine = argument;
    int64_t pause_ms = engine->config.retention_ms < EVERY_MS ? engine->config.retention_ms : EVERY_MS;
    struct pg *pg = pg_new(engine->config.database_url, engine->config.schema, "saga-orchestrator retention", PG_HOT);
    while (!atomic_load(&engine->stopping)) {
        struct err err;
        size_t purged = 0;
        if (!purge_all(engine, pg, &purged, &err))
            log_line(LOG_WARN, "engine.retention_waits", LOG_ERR(&err));
        if (purged)
            log_line(LOG_INFO, "engine.retention", LOG_INT("sagas", (int64_t)purged));
        if (!atomic_load(&engine->stopping)) /* its ring may have been heard between two pieces */
            wake_wait(engine->retention_fd, (int)pause_ms);
    }
    pg_free(pg);
    return NULL;
}
