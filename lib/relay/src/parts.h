/* The relay's parts: the loop (relay.c), pulling rows (pull.c), and what becomes of rows whose message's fate is known
 * (settle.c). */
#ifndef RELAY_PARTS_H
#define RELAY_PARTS_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/arena.h"
#include "base/metric.h"
#include "kafka/kafka.h"
#include "pg/pg.h"
#include "relay/relay.h"
#include "settle.h"

#define SHUNNED_MAX 64

/* The tag of a message begins with where it came from. */
enum origin { FROM_PULL, FROM_HAND };

struct row;

/* What it counts; written by the relay's thread, read by any. */
struct counts {
    pthread_mutex_t lock;
    struct histogram handed_times; /* from the beginning of the transaction to the broker's acknowledgement */
    struct histogram round_rows, round_times;
};

/* One round's rows, and what the next one has to know. The relay thread's own. */
struct pull {
    struct arena arena;
    struct row *rows;
    size_t rows_n;
    size_t open_reports;
    int64_t mark; /* no row below this transaction is left */
    size_t limit; /* rows to claim */
    struct {
        char topic[WIRE_TOPIC_MAX];
        int64_t until_ms;
    } shunned[SHUNNED_MAX];
    size_t shunned_n;
};

struct relay {
    struct relay_config config;
    pthread_t thread;
    int wake_fd;
    atomic_bool stopping;
    atomic_bool healthy;
    atomic_ullong published, dead, failed;
    struct counts counts;
    struct settle settle;
    pthread_rwlock_t producer_lock; /* against its renewal while other threads send */

    /* the thread's own */
    struct pg *pg;
    struct kafka_producer *producer;
    struct pull pull;
    bool failing; /* said so already */
};

/* The broker has the message. */
void relay_log_published(const struct wire_message *message);

/* Serves the producer until it has something else to do. */
#define PUSH_MS 10

void counts_open(struct counts *counts);
void counts_close(struct counts *counts);
void counts_handed(struct counts *counts, int64_t us);
void counts_round(struct counts *counts, size_t rows, int64_t us);

void pull_open(struct pull *pull);
void pull_close(struct pull *pull);
/* Claims rows, sends them, waits for every report. False with `err` when it failed; *more when there may be rows left to
 * claim at once. */
MUST_CHECK bool pull_round(struct relay *relay, bool *more, struct err *err);
/* The report of a message of pull_round. */
void pull_report(struct relay *relay, struct row *row, const struct err *err);
/* The next connection may be to another server, whose transactions count from elsewhere. */
void pull_begin_anew(struct pull *pull);

#endif
