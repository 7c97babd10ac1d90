/* The relay: moves rows of the outbox table to Kafka, in the order of their transactions, and deletes a row only after
 * the broker has acknowledged its message. Any number of relays may work on one outbox: each claims rows with SKIP
 * LOCKED. It knows no other table. A crash at any moment leaves the row or, at worst, sends its message twice. */
#ifndef RELAY_RELAY_H
#define RELAY_RELAY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/uuid.h"
#include "wire/wire.h"

struct relay;

/* Called on the relay's thread, for the owner of the rows; both may be NULL. */
struct relay_events {
    /* The message went out later than `late_ms` after its row was written. */
    void (*released_late)(void *context, const struct wire_message *message, int64_t at_ms);
    /* The message can never be published; it went to the dead-letter topic instead. */
    void (*refused)(void *context, const struct wire_message *message, const struct err *err);
    void *context;
};

struct relay_config {
    const char *database_url;
    const char *schema; /* where the outbox is */
    const char *brokers;
    const char *dead_topic;
    const char *name; /* for logs and server-side listings */
    int64_t late_ms;
    int64_t poll_ms; /* how often to look without a wake-up; 0: once a second, the safety net beside relay_wake */
    struct relay_events events;
};

struct relay_stats {
    uint64_t published;
    uint64_t dead;    /* refused for good */
    uint64_t failed;  /* left in the outbox to be tried again */
    bool healthy;     /* the last round reached both the database and the broker */
};

/* Copies nothing: the texts must outlive the relay. Starts its thread. NULL with ERR_FATAL for a bad configuration. */
struct relay *relay_start(const struct relay_config *config, struct err *err);
/* A process that inserts rows and has a relay need not have them read back: it inserts them with a lease (leased_until =
 * now() + RELAY_LEASE_MS), commits, and hands the messages over at once, on the same thread. `begun_ms` is clock_mono_ms
 * before the transaction began: a message that comes too late for its lease is not sent but left to be pulled, since
 * nobody may withdraw a row whose message can still go out. The message is copied. Any thread. */
#define RELAY_LEASE_MS 5000
void relay_hand_over(struct relay *relay, const struct uuid *id, uint64_t tid, const struct wire_message *message,
                     int64_t begun_ms);
/* Rows were committed without a lease: look now. Any thread. */
void relay_wake(struct relay *relay);
/* Ends the thread after the round in hand. The other functions may still be called. NULL is fine. */
void relay_stop(struct relay *relay);
/* Stops it if need be, and frees. NULL is fine. */
void relay_free(struct relay *relay);
/* Any thread. */
void relay_stats(struct relay *relay, struct relay_stats *stats);
/* The same and more in the form of base/metric.h. Any thread. */
void relay_metrics(struct relay *relay, struct buf *out);

#endif
