/* What the engine has counted, as metrics. Nothing here waits for the database: what only it knows is as the pulse saw it. */
#include "base/metric.h"
#include "parts.h"
#include "tally.h"

static void write_counters(const struct engine_health *health, struct buf *out)
{
    const struct {
        const char *name, *help;
        uint64_t value;
    } counters[] = {
        {"saga_replies_total", "Messages consumed from the reply topic.", health->replies},
        {"saga_set_aside_total", "Items that the database refused for good.", health->set_aside},
        {"saga_purged_total", "Sagas that ended long ago and were let go.", health->purged},
    };
    for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++) {
        metric_family(out, counters[i].name, "counter", counters[i].help);
        metric_value(out, counters[i].name, NULL, (double)counters[i].value);
    }
}

static void write_checks(const struct engine_health *health, struct buf *out)
{
    metric_family(out, "saga_healthy", "gauge", "Whether this process reaches what it needs: 1 or 0.");
    metric_value(out, "saga_healthy", METRIC_LABELS({"check", "database"}), health->database);
    metric_value(out, "saga_healthy", METRIC_LABELS({"check", "replies"}), health->consuming);
    metric_value(out, "saga_healthy", METRIC_LABELS({"check", "relay"}), health->relaying);
}

static void write_gauges(struct engine *engine, struct buf *out)
{
    pthread_mutex_lock(&engine->gauges_lock);
    struct store_gauges gauges = engine->gauges;
    bool known = engine->gauges_known;
    pthread_mutex_unlock(&engine->gauges_lock);
    if (!known)
        return;
    metric_family(out, "saga_live", "gauge", "Sagas that have not ended, by state; of the whole database, up to 10 s old.");
    metric_value(out, "saga_live", METRIC_LABELS({"state", "RUNNING"}), (double)gauges.running);
    metric_value(out, "saga_live", METRIC_LABELS({"state", "COMPENSATING"}), (double)gauges.compensating);
    metric_value(out, "saga_live", METRIC_LABELS({"state", "STALLED"}), (double)gauges.stalled);
    metric_value(out, "saga_live", METRIC_LABELS({"state", "QUEUED"}), (double)gauges.queued);
    metric_value(out, "saga_live", METRIC_LABELS({"state", "SCHEDULED"}), (double)gauges.scheduled);
    metric_family(out, "saga_paused", "gauge", "Of these, the paused ones.");
    metric_value(out, "saga_paused", NULL, (double)gauges.paused);
    metric_family(out, "saga_oldest_seconds", "gauge", "Of the sagas that have begun and not ended, the time since the first was accepted, or was to begin; 0: there are none.");
    metric_value(out, "saga_oldest_seconds", NULL, (double)gauges.oldest_ms / 1e3);
    metric_family(out, "saga_outbox_rows", "gauge", "Messages in the outbox; of the whole database, up to 10 s old.");
    metric_value(out, "saga_outbox_rows", NULL, (double)gauges.outbox_rows);
    metric_family(out, "saga_outbox_oldest_seconds", "gauge", "Age of the oldest message in the outbox; 0: there is none.");
    metric_value(out, "saga_outbox_oldest_seconds", NULL, (double)gauges.outbox_oldest_ms / 1e3);
}

void engine_metrics(struct engine *engine, struct buf *out)
{
    struct engine_health health;
    engine_health(engine, &health);
    tally_write(engine->tally, out);
    write_counters(&health, out);
    write_checks(&health, out);
    write_gauges(engine, out);
    metric_family(out, "saga_dead_letters_total", "counter", "Messages moved to the dead-letter topic: replies, and commands that Kafka never takes.");
    metric_value(out, "saga_dead_letters_total", METRIC_LABELS({"message", "reply"}), (double)health.dead_letters);
    if (!engine->relay)
        return;
    metric_value(out, "saga_dead_letters_total", METRIC_LABELS({"message", "command"}), (double)health.unpublishable);
    relay_metrics(engine->relay, out);
}
