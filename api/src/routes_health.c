#include <inttypes.h>

#include "call.h"

void health_live(struct call *call)
{
    struct buf body = buf_new(1024);
    buf_str(&body, "{\"status\":\"ok\"}");
    call_json(call, 200, &body, NULL);
}

static struct engine_health read_health(struct call *call, bool *running)
{
    struct engine_health health = {0};
    struct engine *engine = atomic_load(&call->api->engine);
    *running = engine != NULL;
    if (engine)
        engine_health(engine, &health);
    return health;
}

static const char *word(bool good)
{
    return good ? "ok" : "waiting";
}

/* 200 only while starts are accepted, replies consumed and commands published. */
void health_ready(struct call *call)
{
    bool running;
    struct engine_health health = read_health(call, &running);
    bool ready = running && health.database && health.consuming && health.relaying;
    struct buf body = buf_new(1024);
    buf_printf(&body, "{\"status\":\"%s\",\"checks\":{\"engine\":\"%s\",\"database\":\"%s\",\"replies\":\"%s\",\"relay\":\"%s\"}}",
               word(ready), word(running), word(health.database), word(health.consuming), word(health.relaying));
    call_json(call, ready ? 200 : 503, &body, NULL);
}

/* Prometheus text format, version 0.0.4. */
void health_metrics(struct call *call)
{
    bool running;
    struct engine_health health = read_health(call, &running);
    const struct {
        const char *name, *help;
        uint64_t value;
    } counters[] = {
        {"saga_started_total", "Sagas accepted by this process", health.started},
        {"saga_ended_total", "Sagas that ended in this process", health.ended},
        {"saga_replies_total", "Messages consumed from the reply topic", health.replies},
        {"saga_dead_letters_total", "Messages moved to the dead-letter topic", health.dead_letters},
        {"saga_set_aside_total", "Items that the database refused for good", health.set_aside},
        {"saga_published_total", "Outbox rows acknowledged by Kafka", health.published},
    };
    struct buf body = buf_new(8192);
    for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++)
        buf_printf(&body, "# HELP %s %s\n# TYPE %s counter\n%s %" PRIu64 "\n", counters[i].name, counters[i].help,
                   counters[i].name, counters[i].name, counters[i].value);
    call_text(call, 200, "text/plain; version=0.0.4", &body);
}
