#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/wake.h"
#include "conf.h"
#include "kafka/kafka.h"

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

struct kafka_producer {
    rd_kafka_t *client;
    kafka_report *report;
    void *context;
    int fd; /* rung by the client when reports wait */
};

static void on_report(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque)
{
    (void)client;
    struct kafka_producer *producer = opaque;
    struct err err;
    if (message->err)
        kafka_err(&err, message->err, "not delivered");
    producer->report(producer->context, message->_private, (const struct kafka_record *)message, message->err ? &err : NULL);
}

static void ring_on_reports(struct kafka_producer *producer)
{
    static const uint64_t one = 1;
    rd_kafka_queue_t *queue = rd_kafka_queue_get_main(producer->client);
    rd_kafka_queue_io_event_enable(queue, producer->fd, &one, sizeof one);
    rd_kafka_queue_destroy(queue);
}

/* A message is given up after message.timeout.ms, so that a relay can send its rows, and dead letters after them, within
 * the 10 s for which the database lets it hold their locks. */
struct kafka_producer *kafka_producer_new(const char *brokers, const char *client, kafka_report *report, void *context,
                                          struct err *err)
{
    const struct kafka_setting settings[] = {
        {"bootstrap.servers", brokers},  {"client.id", client},
        {"enable.idempotence", "true"},  {"acks", "all"},
        {"linger.ms", "0"},            {"message.timeout.ms", TEXT(KAFKA_GIVE_UP_MS)},
        {"message.max.bytes", "1000000"}, {"socket.nagle.disable", "true"},
        {"queue.buffering.max.messages", "200000"}, {"reconnect.backoff.max.ms", "1000"},
        {"topic.metadata.refresh.fast.interval.ms", "50"},
    };
    rd_kafka_conf_t *conf = kafka_conf(settings, sizeof settings / sizeof settings[0], err);
    if (!conf)
        return NULL;
    struct kafka_producer *producer = mem_alloc(sizeof *producer);
    producer->report = report;
    producer->context = context;
    rd_kafka_conf_set_dr_msg_cb(conf, on_report);
    rd_kafka_conf_set_opaque(conf, producer);
    producer->client = kafka_client(RD_KAFKA_PRODUCER, conf, err);
    if (!producer->client) {
        free(producer);
        return NULL;
    }
    producer->fd = wake_new();
    ring_on_reports(producer);
    return producer;
}

void kafka_producer_free(struct kafka_producer *producer)
{
    if (!producer)
        return;
    rd_kafka_purge(producer->client, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    while (rd_kafka_flush(producer->client, 1000) == RD_KAFKA_RESP_ERR__TIMED_OUT)
        ; /* every report comes, as message.timeout.ms at the latest, and may be waited for by its tag's owner */
    rd_kafka_destroy(producer->client);
    close(producer->fd);
    free(producer);
}

static rd_kafka_headers_t *copy_headers(const struct wire_message *message)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(message->headers_n);
    for (size_t i = 0; i < message->headers_n; i++)
        rd_kafka_header_add(headers, message->headers[i].name, -1, message->headers[i].value,
                            (ssize_t)message->headers[i].value_len);
    return headers;
}

bool kafka_send(struct kafka_producer *producer, const struct wire_message *message, void *tag, struct err *err)
{
    rd_kafka_headers_t *headers = copy_headers(message);
    /* The client library takes a pointer to mutable memory and, with this flag, copies from it. */
    void *value = (void *)(uintptr_t)message->value;
    rd_kafka_resp_err_t code = rd_kafka_producev(
        producer->client, RD_KAFKA_V_TOPIC(message->topic), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
        RD_KAFKA_V_KEY(message->key, message->key_len), RD_KAFKA_V_VALUE(value, message->value_len),
        RD_KAFKA_V_HEADERS(headers), RD_KAFKA_V_OPAQUE(tag), RD_KAFKA_V_END);
    if (!code)
        return true;
    rd_kafka_headers_destroy(headers);
    return kafka_err(err, code, "not sent");
}

int kafka_producer_poll(struct kafka_producer *producer, int timeout_ms)
{
    return rd_kafka_poll(producer->client, timeout_ms);
}

int kafka_producer_fd(const struct kafka_producer *producer)
{
    return producer->fd;
}

bool kafka_producer_is_fatal(struct kafka_producer *producer)
{
    char text[256];
    return rd_kafka_fatal_error(producer->client, text, sizeof text) != RD_KAFKA_RESP_ERR_NO_ERROR;
}

bool kafka_reachable(struct kafka_producer *producer, int timeout_ms)
{
    const struct rd_kafka_metadata *metadata = NULL;
    bool ok = rd_kafka_metadata(producer->client, 0, NULL, &metadata, timeout_ms) == RD_KAFKA_RESP_ERR_NO_ERROR;
    if (metadata)
        rd_kafka_metadata_destroy(metadata);
    return ok;
}
