/* saga-relay: moves one database's outbox to Kafka. Services use it for their replies; the orchestrator has the same relay
 * inside, so another one beside it only adds hands. */
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "presence/presence.h"
#include "relay/relay.h"
#include "service/service.h"
#include "wire/wire.h"

#define STATS_EVERY_MS 60000
#define LOOK_EVERY_MS 1000 /* whether its health has changed */

struct options {
    struct service_config service;
    const char *database_url;
    const char *schema;
    struct service_kafka kafka;
    int64_t poll_ms;
};

static const struct conf_option options[] = {
    {"database-url", CONF_STRING, offsetof(struct options, database_url), "postgresql:///saga", "URL", "the database with the outbox", 0, 0},
    {"schema", CONF_STRING, offsetof(struct options, schema), "saga", "NAME", "the schema with the outbox", 0, 0},
    SERVICE_KAFKA_OPTIONS(struct options, kafka),
    {"poll", CONF_DURATION, offsetof(struct options, poll_ms), "20ms", "TIME", "how often it looks at an empty outbox", 1, 60000},
    SERVICE_OPTIONS(struct options, service),
    {NULL, CONF_FLAG, 0, NULL, NULL, NULL, 0, 0},
};
static const struct conf_spec spec = {"saga-relay", "publishes the rows of an outbox table to Kafka", NULL, NULL, options};

static void log_stats(const struct relay_stats *stats)
{
    log_line(LOG_INFO, "stats", LOG_INT("published", stats->published), LOG_INT("dead", stats->dead),
             LOG_INT("failed", stats->failed), LOG_BOOL("healthy", stats->healthy));
}

/* The orchestrator's schema has a place to say that it lives; a service's has not. */
static bool say(struct pg *pg, const struct presence *presence, bool healthy, bool leaves)
{
    struct err err;
    bool wanted = false, ok = presence_wanted(pg, &wanted, &err);
    if (ok && wanted)
        ok = leaves ? presence_leave(pg, presence, &err) : presence_say(pg, presence, healthy, &err);
    if (!ok)
        log_line(LOG_DEBUG, "presence_blind", LOG_ERR(&err)); /* the relay itself says that it waits */
    return ok;
}

static void serve(struct relay *relay, const struct options *o)
{
    struct pg *pg = pg_new(o->database_url, o->schema, "saga-relay presence", PG_ADHOC);
    struct presence presence;
    struct relay_stats stats;
    int64_t logged_ms = clock_mono_ms(), said_ms = 0;
    bool said = false, said_healthy = false;
    presence_init(&presence, "saga-relay", "relay");
    do {
        relay_stats(relay, &stats);
        if (!said_ms || clock_mono_ms() - said_ms >= PRESENCE_EVERY_MS || stats.healthy != said_healthy) {
            said = say(pg, &presence, stats.healthy, false);
            said_ms = clock_mono_ms();
            said_healthy = stats.healthy;
        }
        if (clock_mono_ms() - logged_ms >= STATS_EVERY_MS) {
            log_stats(&stats);
            logged_ms = clock_mono_ms();
        }
    } while (!service_wait(LOOK_EVERY_MS));
    if (said) /* a database that is away is not waited for at the end */
        (void)say(pg, &presence, true, true);
    pg_free(pg);
}

int main(int argc, char **argv)
{
    struct options o = {0};
    struct conf_result result;
    struct err err;
    int status;
    if (!service_open(&spec, argc, argv, &o, &o.service, &result, &status))
        return status;
    char dead_topic[WIRE_TOPIC_MAX];
    struct relay_config config = {.database_url = o.database_url,
                                  .schema = o.schema,
                                  .brokers = o.kafka.brokers,
                                  .dead_topic = wire_topic(o.kafka.prefix, "dead", dead_topic),
                                  .name = "saga-relay",
                                  .poll_ms = o.poll_ms};
    struct relay *relay = relay_start(&config, &err);
    if (!relay) {
        log_line(LOG_ERROR, "start_failed", LOG_ERR(&err));
        return EXIT_FAILURE;
    }
    log_line(LOG_INFO, "started", LOG_STR("schema", o.schema), LOG_STR("brokers", o.kafka.brokers));
    serve(relay, &o);
    relay_free(relay);
    log_line(LOG_INFO, "stopped", LOG_STR("schema", o.schema));
    return EXIT_SUCCESS;
}
