/* The only caller of librdkafka: an idempotent producer whose word is the delivery report, a consumer whose offsets are
 * stored by hand, and the in-process broker of development. */
#ifndef KAFKA_KAFKA_H
#define KAFKA_KAFKA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "wire/wire.h"

struct kafka_record; /* a message that was received, or one that was sent and is reported */

/* ---- producer ---- */

struct kafka_producer;

/* The word on one message, on the thread that calls kafka_push. `err` is NULL when every in-sync replica has it;
 * ERR_REFUSED means that it can never be published, ERR_RETRY that it may be sent again (and may already be there).
 * `record` is good until the return: kafka_record_message reads it; NULL: it never left this process. */
typedef void kafka_report(void *context, void *tag, const struct kafka_record *record, const struct err *err);

/* A message that was not acknowledged so long after it was pushed is given up: it will not be sent any more. */
#define KAFKA_GIVE_UP_MS 4000

/* `brokers` is a comma-separated list of host:port. NULL with ERR_FATAL when the configuration is not accepted; a broker
 * that is away is no error here. */
struct kafka_producer *kafka_producer_new(const char *brokers, const char *client, kafka_report *report, void *context,
                                          struct err *err);
/* Drops what was not sent, waits for the reports of all that was, frees. NULL is fine. */
void kafka_producer_free(struct kafka_producer *producer);
/* Queues a message for the next kafka_push; everything is copied. `tag` comes back in the report, which is sure to come.
 * Any thread. */
void kafka_send(struct kafka_producer *producer, const struct wire_message *message, void *tag);
/* Sends what is queued, in few requests, and serves reports until all have come or `timeout_ms` has passed. What is queued
 * meanwhile gathers for the next call: so batches grow with the load, and a lone message goes at once. Call it again while
 * kafka_open is not 0: what it has sent may otherwise lie still for 100 ms. One thread. */
void kafka_push(struct kafka_producer *producer, int timeout_ms);
/* How many messages wait for their report. */
size_t kafka_open(struct kafka_producer *producer);
/* Readable when messages were queued or reports have come since wake_clear; owned by the producer. */
int kafka_producer_fd(const struct kafka_producer *producer);
/* A fatal error (the idempotent producer lost its place): free the producer and make a new one. */
bool kafka_producer_is_fatal(struct kafka_producer *producer);
/* Whether a broker answers within `timeout_ms`. */
bool kafka_reachable(struct kafka_producer *producer, int timeout_ms);

/* ---- consumer ---- */

struct kafka_consumer;

struct kafka_consumer_config {
    const char *brokers;
    const char *client;
    const char *group;
    const char *instance; /* a name that this member keeps over restarts, so that it gets its partitions back at once; NULL: none */
    const char *const *topics;
    size_t topics_n;
    int64_t fetch_wait_ms; /* how long a broker holds an empty fetch; 0: 500. Only the broker in the process makes it felt:
                              it does not wake a waiting fetch */
};

struct kafka_consumer *kafka_consumer_new(const struct kafka_consumer_config *config, struct err *err);
/* Commits the offsets that are stored and leaves the group (a member with an instance name only goes silent). */
void kafka_consumer_free(struct kafka_consumer *consumer);
/* Up to `max` records: waits up to `timeout_ms` for the first, takes what is there already. Free each with
 * kafka_record_free. False with ERR_FATAL when the consumer is lost (fenced by a twin): free it and make a new one. */
MUST_CHECK bool kafka_receive(struct kafka_consumer *consumer, struct kafka_record **records, size_t max, int timeout_ms,
                              size_t *n, struct err *err);
/* The records are done with, in the order in which they were received: their offsets will be committed soon, off this
 * thread. A crash before that has them delivered again. */
void kafka_done(struct kafka_consumer *consumer, struct kafka_record *const *records, size_t n);
/* Since when (clock_mono_ms) the consumer has been a member of its group, perhaps one for whom there are no partitions left; 0:
 * it is none. Any thread. */
int64_t kafka_joined_ms(struct kafka_consumer *consumer);
/* How many partitions it has. Any thread. */
int kafka_partitions(struct kafka_consumer *consumer);

/* Fills `message` with pointers into the record. */
void kafka_record_message(const struct kafka_record *record, struct wire_message *message);
int kafka_record_partition(const struct kafka_record *record);
int64_t kafka_record_offset(const struct kafka_record *record);
void kafka_record_free(struct kafka_record *record);

/* ---- topics, groups, and the broker of development ---- */

/* Creates those that are missing, with `partitions` each and the broker's default replication. A broker that creates
 * topics only by use (the one below) is left to do so. */
MUST_CHECK bool kafka_ensure_topics(const char *brokers, const char *const *topics, size_t n, int partitions,
                                    struct err *err);

/* How many members each consumer group has: members[i] for groups[i], without doubles; -1 when the broker does not tell, as the
 * one below. May take seconds. */
MUST_CHECK bool kafka_count_members(const char *brokers, const char *const *groups, size_t n, int *members, struct err *err);

/* A broker inside this process, reachable over TCP by others too. It keeps everything in memory and forgets on exit. */
struct kafka_mock;
struct kafka_mock *kafka_mock_new(struct err *err);
void kafka_mock_free(struct kafka_mock *mock);
/* host:port, lives as long as the mock. */
const char *kafka_mock_brokers(const struct kafka_mock *mock);

#endif
