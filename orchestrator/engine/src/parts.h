/* The engine's parts and how they reach each other. */
#ifndef ENGINE_PARTS_H
#define ENGINE_PARTS_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/queue.h"
#include "engine/engine.h"
#include "kafka/kafka.h"
#include "relay/relay.h"
#include "store/store.h"

#define BATCH_MAX 500
#define WATCH_BUCKETS 4096

struct live;
struct tally;
struct services;

struct engine {
    struct engine_config config;
    char reply_topic[WIRE_TOPIC_MAX], dead_topic[WIRE_TOPIC_MAX];
    atomic_bool stopping;
    struct relay *relay; /* NULL: another process has it */
    struct live *live;
    struct tally *tally;
    struct services *services;

    pthread_t replies_thread, timers_thread, intake_thread, watches_thread, pulse_thread;
    bool replies_run, timers_run, intake_run, watches_run, pulse_run;
    struct queue *starts;    /* of struct start */
    struct queue *happened;  /* of struct report, from the relay and from operators, for the timers' thread */
    atomic_llong next_wake_ms; /* what the timers' thread sleeps until */
    int timers_fd;

    pthread_mutex_t watches_lock;
    struct watch *watches[WATCH_BUCKETS]; /* by id */
    size_t watches_n;
    bool watches_closed;
    int watches_fd;

    pthread_mutex_t gauges_lock;
    struct store_gauges gauges; /* as the database had them not long ago */
    bool gauges_known;
    atomic_bool pulse_stopping;
    int pulse_fd;

    pthread_t retention_thread;
    bool retention_run;
    int retention_fd;

    atomic_bool replies_healthy, timers_healthy, intake_healthy, consuming;
    atomic_llong behind_since_ms; /* replies wait since then; 0: they do not */
    atomic_ullong replies, dead_letters, set_aside, purged;
};

void *replies_run(void *engine);
void *timers_run(void *engine);
void *intake_run(void *engine);
void *watches_run(void *engine);
void *pulse_run(void *engine);
void *retention_run(void *engine);

struct services *services_new(void);
void services_free(struct services *services);

/* Any thread: the saga ended or stalled. `saga` NULL: how is not known here. */
void watches_tell(struct engine *engine, const struct uuid *id, const struct saga *saga);
/* Any thread: the saga was written. */
void watches_changed(struct engine *engine, const struct saga *saga);
/* Any thread. Watches a saga that is about to be committed. */
void watches_expect(struct engine *engine, struct watch *watch);
/* What became of it; by its id, since the watch of a saga that was committed may be over already. watches_forget is false
 * then, and the watch has been told. */
void watches_committed(struct engine *engine, const struct uuid *id);
bool watches_forget(struct engine *engine, const struct uuid *id);
/* Any thread: a saga must be woken at `wake_ms`. */
void timers_hint(struct engine *engine, int64_t wake_ms);
/* The events by which the relay reports to the core. */
void relay_released_late(void *engine, const struct wire_message *message, int64_t at_ms);
void relay_refused(void *engine, const struct wire_message *message, const struct err *err);

#endif
