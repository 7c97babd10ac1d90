/* Offsets are stored by hand once a record's effects are committed, and committed by librdkafka in the background. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "conf.h"
#include "kafka/kafka.h"

#define FETCH_WAIT_MS 500
#define FIRST_ASSIGNMENT_MS 3000

struct kafka_consumer {
    rd_kafka_t *client;
    atomic_int partitions;
    atomic_llong joined_ms; /* 0: not yet, or not any more */
    bool assigned;          /* ever; the polling thread's own */
};

/* A struct kafka_record is a rd_kafka_message_t by another name. */
static const rd_kafka_message_t *message_of(const struct kafka_record *record)
{
    return (const rd_kafka_message_t *)record;
}

/* What is assigned is counted here: rd_kafka_assignment() may wait for ever within rd_kafka_consumer_close() (seen with 2.0.2). */
static void on_rebalance(rd_kafka_t *client, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *partitions,
                         void *opaque)
{
    struct kafka_consumer *consumer = opaque;
    rd_kafka_error_t *error = NULL;
    bool assigns = code == RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
    consumer->assigned = true;
    error = assigns ? rd_kafka_incremental_assign(client, partitions) : rd_kafka_incremental_unassign(client, partitions);
    if (!assigns && rd_kafka_assignment_lost(client))
        atomic_store(&consumer->joined_ms, 0);
    else if (!atomic_load(&consumer->joined_ms))
        atomic_store(&consumer->joined_ms, clock_mono_ms());
    if (error) {
        log_line(LOG_WARN, "kafka.rebalance_failed", LOG_STR("error", rd_kafka_error_string(error)));
        rd_kafka_error_destroy(error);
    } else {
        atomic_fetch_add(&consumer->partitions, assigns ? partitions->cnt : -partitions->cnt);
    }
    log_line(LOG_DEBUG, "kafka.rebalanced", LOG_INT("partitions", atomic_load(&consumer->partitions)));
}

static bool subscribe(struct kafka_consumer *consumer, const struct kafka_consumer_config *config, struct err *err)
{
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new((int)config->topics_n);
    for (size_t i = 0; i < config->topics_n; i++)
        rd_kafka_topic_partition_list_add(topics, config->topics[i], RD_KAFKA_PARTITION_UA);
    rd_kafka_resp_err_t code = rd_kafka_subscribe(consumer->client, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    if (!code)
        return true;
    kafka_err(err, code, "subscribe");
    err->kind = ERR_FATAL;
    return false;
}

/* A member that died without leaving is noticed after session.timeout.ms, the least that brokers allow by default. */
struct kafka_consumer *kafka_consumer_new(const struct kafka_consumer_config *config, struct err *err)
{
    char fetch_wait[24];
    snprintf(fetch_wait, sizeof fetch_wait, "%d", config->fetch_wait_ms ? (int)config->fetch_wait_ms : FETCH_WAIT_MS);
    const struct kafka_setting settings[] = {
        {"bootstrap.servers", config->brokers},
        {"client.id", config->client},
        {"group.id", config->group},
        {"group.instance.id", config->instance},
        {"session.timeout.ms", "6000"},
        {"heartbeat.interval.ms", "1000"},
        {"max.poll.interval.ms", "120000"},
        {"partition.assignment.strategy", "cooperative-sticky"},
        {"auto.offset.reset", "earliest"},
        {"enable.auto.offset.store", "false"},
        {"enable.auto.commit", "true"},
        {"auto.commit.interval.ms", "200"},
        {"fetch.wait.max.ms", fetch_wait},
        {"fetch.error.backoff.ms", "50"},
        {"socket.nagle.disable", "true"},
        {"reconnect.backoff.max.ms", "1000"},
        {"allow.auto.create.topics", "true"},
        {"topic.metadata.refresh.fast.interval.ms", "100"},
        {"topic.metadata.refresh.interval.ms", "10000"},
        {"queued.max.messages.kbytes", "16384"},
    };
    rd_kafka_conf_t *conf = kafka_conf(settings, sizeof settings / sizeof settings[0], err);
    if (!conf)
        return NULL;
    struct kafka_consumer *consumer = mem_alloc(sizeof *consumer);
    rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
    rd_kafka_conf_set_opaque(conf, consumer);
    consumer->client = kafka_client(RD_KAFKA_CONSUMER, conf, err);
    if (!consumer->client) {
        free(consumer);
        return NULL;
    }
    rd_kafka_poll_set_consumer(consumer->client);
    if (subscribe(consumer, config, err))
        return consumer;
    kafka_consumer_free(consumer);
    return NULL;
}

/* librdkafka before 2.3 aborts when a consumer is closed after it has joined and before its first assignment has come
 * (confluentinc/librdkafka#4312): so that is waited for. What comes meanwhile is not done with, and comes again. */
static void await_first_assignment(struct kafka_consumer *consumer)
{
    int64_t deadline_ms = clock_mono_ms() + FIRST_ASSIGNMENT_MS;
    while (!consumer->assigned && clock_mono_ms() < deadline_ms && !rd_kafka_fatal_error(consumer->client, NULL, 0)) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer->client, 50);
        if (message)
            rd_kafka_message_destroy(message);
    }
}

void kafka_consumer_free(struct kafka_consumer *consumer)
{
    if (!consumer)
        return;
    if (rd_kafka_version() < 0x020300ff)
        await_first_assignment(consumer);
    rd_kafka_consumer_close(consumer->client);
    rd_kafka_destroy(consumer->client);
    free(consumer);
}

static bool lost(struct kafka_consumer *consumer, struct err *err)
{
    char text[256];
    rd_kafka_resp_err_t code = rd_kafka_fatal_error(consumer->client, text, sizeof text);
    if (!code)
        return false;
    atomic_store(&consumer->partitions, 0);
    err_set_code(err, ERR_FATAL, rd_kafka_err2name(code), "Kafka: the consumer is lost: %s", text);
    return true;
}

bool kafka_receive(struct kafka_consumer *consumer, struct kafka_record **records, size_t max, int timeout_ms, size_t *n,
                   struct err *err)
{
    size_t got = 0;
    while (got < max) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(consumer->client, got ? 0 : timeout_ms);
        if (!message)
            break;
        if (!message->err) {
            records[got++] = (struct kafka_record *)message;
            continue;
        }
        if (message->err != RD_KAFKA_RESP_ERR__PARTITION_EOF)
            log_line(LOG_DEBUG, "kafka.consumer_event", LOG_STR("error", rd_kafka_message_errstr(message)));
        rd_kafka_message_destroy(message);
        if (lost(consumer, err)) {
            for (size_t i = 0; i < got; i++)
                kafka_record_free(records[i]);
            return false;
        }
        timeout_ms = 0;
    }
    *n = got;
    return true;
}

void kafka_done(struct kafka_consumer *consumer, struct kafka_record *const *records, size_t n)
{
    if (!n)
        return;
    rd_kafka_topic_partition_list_t *offsets = rd_kafka_topic_partition_list_new(16);
    for (size_t i = 0; i < n; i++) {
        const rd_kafka_message_t *message = message_of(records[i]);
        const char *topic = rd_kafka_topic_name(message->rkt);
        rd_kafka_topic_partition_t *entry = rd_kafka_topic_partition_list_find(offsets, topic, message->partition);
        if (!entry)
            entry = rd_kafka_topic_partition_list_add(offsets, topic, message->partition);
        entry->offset = message->offset + 1;
    }
    rd_kafka_offsets_store(consumer->client, offsets); /* a partition that went to another member is not ours to store */
    rd_kafka_topic_partition_list_destroy(offsets);
}

int64_t kafka_joined_ms(struct kafka_consumer *consumer)
{
    return atomic_load(&consumer->joined_ms);
}

int kafka_partitions(struct kafka_consumer *consumer)
{
    return atomic_load(&consumer->partitions);
}

void kafka_record_message(const struct kafka_record *record, struct wire_message *out)
{
    const rd_kafka_message_t *message = message_of(record);
    *out = (struct wire_message){.topic = rd_kafka_topic_name(message->rkt),
                                 .key = message->key,
                                 .key_len = message->key_len,
                                 .value = message->payload,
                                 .value_len = message->len};
    rd_kafka_headers_t *headers = NULL;
    if (rd_kafka_message_headers(message, &headers) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    const char *name;
    const void *value;
    size_t len;
    while (out->headers_n < WIRE_HEADERS_MAX &&
           rd_kafka_header_get_all(headers, out->headers_n, &name, &value, &len) == RD_KAFKA_RESP_ERR_NO_ERROR)
        out->headers[out->headers_n++] = (struct wire_header){name, value, len};
}

int kafka_record_partition(const struct kafka_record *record)
{
    return message_of(record)->partition;
}

int64_t kafka_record_offset(const struct kafka_record *record)
{
    return message_of(record)->offset;
}

void kafka_record_free(struct kafka_record *record)
{
    if (record)
        rd_kafka_message_destroy((rd_kafka_message_t *)record);
}
