#include "base/metric.h"
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
    bool ready = running && health.ready;
    struct buf body = buf_new(1024);
    buf_printf(&body, "{\"status\":\"%s\",\"checks\":{\"engine\":\"%s\",\"database\":\"%s\",\"replies\":\"%s\",\"relay\":\"%s\"}}",
               word(ready), word(running), word(health.database), word(health.consuming), word(health.relaying));
    call_json(call, ready ? 200 : 503, &body, NULL);
}

#define METRICS_MAX (64u * 1024 * 1024)

void health_metrics(struct call *call)
{
    struct engine *engine = atomic_load(&call->api->engine);
    struct buf body = buf_new(METRICS_MAX);
    metric_family(&body, "saga_build_info", "gauge", "Always 1; the labels tell the program's version.");
    metric_value(&body, "saga_build_info", METRIC_LABELS({"version", SAGA_VERSION}), 1);
    if (engine)
        engine_metrics(engine, &body);
    traffic_write(call->api->traffic, &body);
    metric_process(&body);
    if (body.failed) {
        buf_free(&body);
        call_problem(call, 500, "answer-too-large", "The answer is too large", "there are too many definitions and steps", NULL);
        return;
    }
    call_text(call, 200, "text/plain; version=0.0.4; charset=utf-8", &body);
}
