/* Starting and stopping: topics, threads, drain. */
#include "engine/engine.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "apply.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/wake.h"
#include "live.h"
#include "tally.h"

#define STARTS_MAX 20000
#define REPORTS_MAX 10000
#define LIVE_BYTES_MAX (64u * 1024 * 1024)
#define LIVE_AGE_MAX_MS (10 * 60 * 1000) /* well below ENGINE_RETENTION_MIN_MS */
#define BEHIND_MAX_MS 300 /* for longer than this replies do not pile up while starts are accepted */
#define LATE_MS 1000 /* a command that waited longer in the outbox has its timeout counted anew */

static bool make_topics(struct engine *engine, struct err *err)
{
    const char *topics[] = {engine->reply_topic, engine->dead_topic};
    return kafka_ensure_topics(engine->config.brokers, topics, 2, engine->config.partitions, err);
}

void engine_make_topics(struct engine *engine, const struct definition *definition)
{
    struct arena arena = {0};
    struct err err;
    const char *topics[DEFINITION_STEPS_MAX];
    size_t n = 0;
    for (size_t i = 0; i < definition->steps_n; i++) {
        char topic[WIRE_TOPIC_MAX];
        if (definition->steps[i].kind != STEP_CALLS || definition->steps[i].child)
            continue;
        wire_command_topic(engine->config.prefix, definition->steps[i].service, topic);
        size_t known = 0;
        while (known < n && strcmp(topics[known], topic) != 0)
            known++;
        if (known == n)
            topics[n++] = arena_strdup(&arena, topic);
    }
    if (n && !kafka_ensure_topics(engine->config.brokers, topics, n, engine->config.partitions, &err))
        log_line(LOG_WARN, "engine.topics_not_made", LOG_STR("definition", definition->name), LOG_ERR(&err));
    arena_free(&arena);
}

static bool start_relay(struct engine *engine, struct err *err)
{
    if (!engine->config.with_relay)
        return true;
    struct relay_config config = {.database_url = engine->config.database_url,
                                  .schema = engine->config.schema,
                                  .brokers = engine->config.brokers,
                                  .dead_topic = engine->dead_topic,
                                  .name = "saga-orchestrator relay",
                                  .late_ms = LATE_MS,
                                  .events = {relay_released_late, relay_refused, engine}};
    engine->relay = relay_start(&config, err);
    return engine->relay != NULL;
}

static bool start_thread(pthread_t *thread, bool *running, void *(*run)(void *), struct engine *engine, struct err *err)
{
    *running = pthread_create(thread, NULL, run, engine) == 0;
    return *running || err_set(err, ERR_FATAL, "no thread for the engine");
}

static bool start_threads(struct engine *engine, struct err *err)
{
    if (!start_thread(&engine->watches_thread, &engine->watches_run, watches_run, engine, err) ||
        !start_thread(&engine->intake_thread, &engine->intake_run, intake_run, engine, err) ||
        !start_thread(&engine->timers_thread, &engine->timers_run, timers_run, engine, err) ||
        !start_thread(&engine->pulse_thread, &engine->pulse_run, pulse_run, engine, err) ||
        (engine->config.retention_ms && !start_thread(&engine->retention_thread, &engine->retention_run, retention_run, engine, err)))
        return false;
    return !engine->config.with_engine ||
           start_thread(&engine->replies_thread, &engine->replies_run, replies_run, engine, err);
}

struct engine *engine_start(const struct engine_config *config, struct err *err)
{
    struct engine *engine = mem_alloc(sizeof *engine);
    engine->config = *config;
    wire_topic(config->prefix, "reply", engine->reply_topic);
    wire_topic(config->prefix, "dead", engine->dead_topic);
    engine->starts = queue_new(STARTS_MAX);
    engine->happened = queue_new(REPORTS_MAX);
    engine->timers_fd = wake_new();
    engine->watches_fd = wake_new();
    engine->pulse_fd = wake_new();
    engine->retention_fd = wake_new();
    engine->live = live_new(LIVE_BYTES_MAX, LIVE_AGE_MAX_MS);
    engine->tally = tally_new();
    engine->services = services_new();
    pthread_mutex_init(&engine->watches_lock, NULL);
    pthread_mutex_init(&engine->gauges_lock, NULL);
    atomic_store(&engine->intake_healthy, true);
    atomic_store(&engine->replies_healthy, true);
    if (make_topics(engine, err) && start_relay(engine, err) && start_threads(engine, err))
        return engine;
    engine_stop(engine);
    engine_free(engine);
    return NULL;
}

static void join(pthread_t thread, bool running)
{
    if (running)
        pthread_join(thread, NULL);
}

/* The intake goes first, so that everything accepted is committed; the relay behind them, so that it sends what it can. */
void engine_stop(struct engine *engine)
{
    if (!engine)
        return;
    queue_close(engine->starts);
    join(engine->intake_thread, engine->intake_run);
    atomic_store(&engine->stopping, true);
    wake_ring(engine->timers_fd);
    wake_ring(engine->watches_fd);
    wake_ring(engine->retention_fd);
    join(engine->replies_thread, engine->replies_run);
    join(engine->timers_thread, engine->timers_run);
    join(engine->watches_thread, engine->watches_run);
    join(engine->retention_thread, engine->retention_run);
    relay_stop(engine->relay);
    atomic_store(&engine->pulse_stopping, true); /* the last to go counts what the others did */
    wake_ring(engine->pulse_fd);
    join(engine->pulse_thread, engine->pulse_run);
}

void engine_free(struct engine *engine)
{
    if (!engine)
        return;
    relay_free(engine->relay);
    void *left; /* of the relay's last words: the acts were answered */
    while (queue_take(engine->happened, &left, 1))
        free(left);
    queue_free(engine->starts);
    queue_free(engine->happened);
    live_free(engine->live);
    tally_free(engine->tally);
    services_free(engine->services);
    pthread_mutex_destroy(&engine->watches_lock);
    pthread_mutex_destroy(&engine->gauges_lock);
    close(engine->timers_fd);
    close(engine->watches_fd);
    close(engine->pulse_fd);
    close(engine->retention_fd);
    free(engine);
}

enum submit_result engine_submit(struct engine *engine, struct start *start)
{
    int64_t since_ms = atomic_load(&engine->behind_since_ms);
    if (since_ms && clock_mono_ms() - since_ms > BEHIND_MAX_MS)
        return SUBMIT_BUSY;
    if (queue_push(engine->starts, start))
        return SUBMIT_TAKEN;
    return queue_closed(engine->starts) ? SUBMIT_STOPPED : SUBMIT_BUSY;
}

void engine_health(struct engine *engine, struct engine_health *health)
{
    struct relay_stats relay = {.healthy = true};
    bool with_engine = engine->config.with_engine;
    if (engine->relay)
        relay_stats(engine->relay, &relay);
    *health = (struct engine_health){
        .database = atomic_load(&engine->intake_healthy) && (!with_engine || atomic_load(&engine->timers_healthy)),
        .consuming = !with_engine || (atomic_load(&engine->consuming) && atomic_load(&engine->replies_healthy)),
        .relaying = relay.healthy,
        .replies = atomic_load(&engine->replies),
        .dead_letters = atomic_load(&engine->dead_letters),
        .set_aside = atomic_load(&engine->set_aside),
        .purged = atomic_load(&engine->purged),
        .unpublishable = relay.dead};
    health->ready = health->database && health->consuming && health->relaying;
}

const char *engine_prefix(const struct engine *engine)
{
    return engine->config.prefix;
}
