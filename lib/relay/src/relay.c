/* The relay's thread: messages that were handed over go out at once, rows are pulled when somebody rang or a second has
 * passed, and rows whose message's fate is known are settled in between. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/wake.h"
#include "parts.h"

#define IDLE_POLL_MS 1000
#define PAUSE_MS 500      /* after a failure */
#define WARM_UP_MS 2000

/* A message that another thread handed over, until its report has come. */
struct handed {
    enum origin origin; /* first */
    struct settled_row place;
    int64_t begun_ms; /* clock_mono_ms before its row was inserted */
};

static void report_handed(struct relay *relay, struct handed *handed, const struct kafka_record *record, const struct err *err)
{
    const struct relay_events *events = &relay->config.events;
    int64_t took_ms = clock_mono_ms() - handed->begun_ms;
    bool late = events->released_late && took_ms > relay->config.late_ms;
    atomic_fetch_add(err ? &relay->failed : &relay->published, 1);
    if (!err)
        counts_handed(&relay->counts, took_ms * 1000);
    if (!err && (late || log_enabled(LOG_DEBUG))) {
        struct wire_message message;
        kafka_record_message(record, &message);
        relay_log_published(&message);
        if (late)
            events->released_late(events->context, &message, clock_real_ms());
    }
    settle_add(&relay->settle, settle_fate(err), &handed->place);
    free(handed);
}

static void on_report(void *context, void *tag, const struct kafka_record *record, const struct err *err)
{
    if (*(const enum origin *)tag == FROM_HAND)
        report_handed(context, tag, record, err);
    else
        pull_report(context, tag, err);
}

void relay_hand_over(struct relay *relay, const struct uuid *id, uint64_t tid, const struct wire_message *message,
                     int64_t begun_ms)
{
    struct handed *handed = mem_alloc(sizeof *handed);
    *handed = (struct handed){FROM_HAND, {tid, *id}, begun_ms};
    pthread_rwlock_rdlock(&relay->producer_lock);
    bool send = relay->producer && clock_mono_ms() - begun_ms < RELAY_LEASE_MS - KAFKA_GIVE_UP_MS;
    if (send)
        kafka_send(relay->producer, message, handed);
    pthread_rwlock_unlock(&relay->producer_lock);
    if (send)
        return;
    settle_add(&relay->settle, FATE_UNSENT, &handed->place);
    free(handed);
    relay_wake(relay);
}

static void note_failure(struct relay *relay, const struct err *err)
{
    atomic_store(&relay->healthy, false);
    pull_begin_anew(&relay->pull);
    if (!relay->failing)
        log_line(LOG_WARN, "relay.waiting", LOG_STR("schema", relay->config.schema), LOG_ERR(err));
    relay->failing = true;
}

static void note_success(struct relay *relay)
{
    atomic_store(&relay->healthy, true);
    if (relay->failing)
        log_line(LOG_INFO, "relay.recovered", LOG_STR("schema", relay->config.schema));
    relay->failing = false;
}

static bool renew_producer(struct relay *relay, struct err *err)
{
    if (relay->producer && !kafka_producer_is_fatal(relay->producer))
        return true;
    pthread_rwlock_wrlock(&relay->producer_lock);
    kafka_producer_free(relay->producer);
    relay->producer = kafka_producer_new(relay->config.brokers, relay->config.name, on_report, relay, err);
    pthread_rwlock_unlock(&relay->producer_lock);
    return relay->producer != NULL;
}

/* A producer connects on its first message only, and that one would wait a second for it. */
static void warm_up(struct relay *relay)
{
    (void)kafka_reachable(relay->producer, WARM_UP_MS);
}

/* Sleeps until a wake-up, a report, or `until_ms`; true when it was woken to look for rows. */
static bool sleep_until(struct relay *relay, int64_t until_ms)
{
    int64_t left_ms = until_ms - clock_mono_ms();
    struct pollfd fds[] = {{.fd = relay->wake_fd, .events = POLLIN},
                           {.fd = kafka_producer_fd(relay->producer), .events = POLLIN}};
    if (poll(fds, 2, left_ms > 0 ? (int)left_ms : 0) <= 0)
        return false;
    if (fds[1].revents)
        wake_clear(fds[1].fd);
    if (fds[0].revents)
        wake_clear(fds[0].fd);
    return fds[0].revents != 0;
}

/* One pull of rows; *next_ms is when to pull again if nobody wakes us. */
static void pull(struct relay *relay, int64_t *next_ms)
{
    struct err err;
    bool more = false;
    bool ok = pull_round(relay, &more, &err);
    if (ok)
        note_success(relay);
    else
        note_failure(relay, &err);
    *next_ms = more && ok ? 0 : clock_mono_ms() + (ok ? relay->config.poll_ms : PAUSE_MS);
}

static void settle_due(struct relay *relay, int64_t *pull_ms, int64_t *settle_ms)
{
    struct err err;
    bool gave_back = false;
    *settle_ms = 0;
    if (settle_due_ms(&relay->settle) > clock_mono_ms())
        return;
    if (!settle_run(&relay->settle, relay->pg, &gave_back, &err)) {
        note_failure(relay, &err);
        *settle_ms = clock_mono_ms() + PAUSE_MS;
        return;
    }
    fault_point("relay.settled");
    if (gave_back && !relay->failing)
        *pull_ms = 0;
}

/* What was sent and is not reported yet: its report comes, or the message is given up. */
static void finish(struct relay *relay)
{
    struct err err;
    bool gave_back;
    while (kafka_open(relay->producer))
        kafka_push(relay->producer, PUSH_MS);
    if (!settle_run(&relay->settle, relay->pg, &gave_back, &err))
        log_line(LOG_WARN, "relay.left_over", LOG_STR("schema", relay->config.schema), LOG_ERR(&err));
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void *run(void *argument)
{
    struct relay *relay = argument;
    int64_t pull_ms = 0, settle_ms = 0; /* when to do which next */
    warm_up(relay);
    while (!atomic_load(&relay->stopping)) {
        struct err err;
        if (!renew_producer(relay, &err)) {
            note_failure(relay, &err);
            wake_wait(relay->wake_fd, PAUSE_MS);
            continue;
        }
        kafka_push(relay->producer, PUSH_MS);
        if (settle_ms <= clock_mono_ms())
            settle_due(relay, &pull_ms, &settle_ms);
        if (pull_ms <= clock_mono_ms())
            pull(relay, &pull_ms);
        int64_t due_ms = settle_ms ? settle_ms : settle_due_ms(&relay->settle);
        if (kafka_open(relay->producer)) /* more than kafka_push waited for: it goes on */
            due_ms = 0;
        if (sleep_until(relay, earlier(pull_ms, due_ms)))
            pull_ms = relay->failing ? pull_ms : 0;
    }
    if (relay->producer)
        finish(relay);
    return NULL;
}

static void free_parts(struct relay *relay)
{
    kafka_producer_free(relay->producer); /* its last reports go to `settle` */
    settle_close(&relay->settle);
    counts_close(&relay->counts);
    pthread_rwlock_destroy(&relay->producer_lock);
    pg_free(relay->pg);
    pull_close(&relay->pull);
    close(relay->wake_fd);
    free(relay);
}

struct relay *relay_start(const struct relay_config *config, struct err *err)
{
    struct relay *relay = mem_alloc(sizeof *relay);
    relay->config = *config;
    relay->config.poll_ms = config->poll_ms ? config->poll_ms : IDLE_POLL_MS;
    relay->wake_fd = wake_new();
    counts_open(&relay->counts);
    settle_open(&relay->settle);
    pull_open(&relay->pull);
    pthread_rwlock_init(&relay->producer_lock, NULL);
    relay->pg = pg_new(config->database_url, config->schema, config->name, PG_HOT);
    if (renew_producer(relay, err)) {
        if (pthread_create(&relay->thread, NULL, run, relay) == 0)
            return relay;
        err_set(err, ERR_FATAL, "no thread for the relay");
    }
    free_parts(relay);
    return NULL;
}

void relay_wake(struct relay *relay)
{
    wake_ring(relay->wake_fd);
}

void relay_stop(struct relay *relay)
{
    if (!relay || atomic_exchange(&relay->stopping, true))
        return;
    relay_wake(relay);
    pthread_join(relay->thread, NULL);
}

void relay_free(struct relay *relay)
{
    if (!relay)
        return;
    relay_stop(relay);
    free_parts(relay);
}
