/* The client library holds back a partition while more than five of its messages are on their way (the window in which
 * brokers recognise doubles), and its thread spins until that changes if it may not wait. So messages are gathered here, go out
 * together, and the next ones follow when their reports have come: one request for each partition, and nobody spins. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/uuid.h"
#include "base/wake.h"
#include "conf.h"
#include "kafka/kafka.h"

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
/* A message without report, of a topic that is not there for instance, holds the others up no longer than this. */
#define HOLD_MS 5
#define FLUSH_MS 2
#define TURN_MS 32
/* After a group of at least so many the next one gathers for so long: a broker's work is by request, not by message. */
#define GATHER_MIN 64
#define GATHER_US 2000

struct outgoing {
    struct outgoing *next;
    rd_kafka_headers_t *headers;
    void *tag;
    char *value; /* the client library's once it is sent */
    size_t value_len, key_len;
    const char *key;
    char topic[]; /* and the key behind it */
};

struct kafka_producer {
    rd_kafka_t *client;
    kafka_report *report;
    void *context;
    int fd;
    pthread_mutex_t lock;
    struct outgoing *first, **tail; /* queued */
    atomic_size_t open;             /* queued or sent, without report */
    size_t sent;                    /* of these: sent; the pushing thread's own */
    int64_t pushed_ms;
    rd_kafka_topic_t **topics; /* used so far; the pushing thread's own */
    size_t topics_n;
};

static void on_report(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque)
{
    (void)client;
    struct kafka_producer *producer = opaque;
    struct err err;
    producer->sent--;
    atomic_fetch_sub(&producer->open, 1);
    if (message->err) {
        kafka_err(&err, message->err, "not delivered");
        err.in_doubt = rd_kafka_message_status(message) != RD_KAFKA_MSG_STATUS_NOT_PERSISTED;
    }
    producer->report(producer->context, message->_private, (const struct kafka_record *)message, message->err ? &err : NULL);
}

/* All messages of a saga go to one partition, as their key asks; and sagas that began together travel together, because a
 * group that falls into few partitions costs few requests. The partitions take turns. */
static int32_t choose_partition(const rd_kafka_topic_t *topic, const void *key, size_t key_len, int32_t partitions,
                                void *topic_opaque, void *message_opaque)
{
    char text[UUID_TEXT_MAX] = "";
    struct uuid id;
    if (key_len == sizeof text - 1)
        memcpy(text, key, key_len);
    if (!uuid_parse(text, &id) || !uuid_v7_ms(&id))
        return rd_kafka_msg_partitioner_murmur2_random(topic, key, key_len, partitions, topic_opaque, message_opaque);
    return (int32_t)(uuid_v7_ms(&id) / TURN_MS % partitions);
}

/* The settings above have made the topics' defaults; a new set of them would drop message.timeout.ms. */
static void set_partitioner(rd_kafka_conf_t *conf)
{
    rd_kafka_topic_conf_set_partitioner_cb(rd_kafka_conf_get_default_topic_conf(conf), choose_partition);
}

static void ring_on_reports(struct kafka_producer *producer)
{
    static const uint64_t one = 1;
    rd_kafka_queue_t *queue = rd_kafka_queue_get_main(producer->client);
    rd_kafka_queue_io_event_enable(queue, producer->fd, &one, sizeof one);
    rd_kafka_queue_destroy(queue);
}

/* A message is given up after message.timeout.ms, so that a relay can send its rows, and dead letters after them, within
 * the 10 s for which the database lets it hold their locks. linger.ms never passes: kafka_push does not wait for it. */
struct kafka_producer *kafka_producer_new(const char *brokers, const char *client, kafka_report *report, void *context,
                                          struct err *err)
{
    const struct kafka_setting settings[] = {
        {"bootstrap.servers", brokers},  {"client.id", client},
        {"enable.idempotence", "true"},  {"acks", "all"},
        {"linger.ms", "100"},            {"message.timeout.ms", TEXT(KAFKA_GIVE_UP_MS)},
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
    producer->tail = &producer->first;
    rd_kafka_conf_set_dr_msg_cb(conf, on_report);
    rd_kafka_conf_set_opaque(conf, producer);
    set_partitioner(conf);
    producer->client = kafka_client(RD_KAFKA_PRODUCER, conf, err);
    if (!producer->client) {
        free(producer);
        return NULL;
    }
    pthread_mutex_init(&producer->lock, NULL);
    producer->fd = wake_new();
    ring_on_reports(producer);
    return producer;
}

static struct outgoing *take_queued(struct kafka_producer *producer)
{
    pthread_mutex_lock(&producer->lock);
    struct outgoing *first = producer->first;
    producer->first = NULL;
    producer->tail = &producer->first;
    pthread_mutex_unlock(&producer->lock);
    return first;
}

/* Reports a message that was not sent. */
static void drop(struct kafka_producer *producer, struct outgoing *outgoing, rd_kafka_resp_err_t code)
{
    struct err err;
    kafka_err(&err, code, "not sent");
    atomic_fetch_sub(&producer->open, 1);
    producer->report(producer->context, outgoing->tag, NULL, &err);
    rd_kafka_headers_destroy(outgoing->headers);
    free(outgoing->value);
    free(outgoing);
}

void kafka_producer_free(struct kafka_producer *producer)
{
    if (!producer)
        return;
    for (struct outgoing *outgoing = take_queued(producer), *next; outgoing; outgoing = next) {
        next = outgoing->next;
        drop(producer, outgoing, RD_KAFKA_RESP_ERR__PURGE_QUEUE);
    }
    rd_kafka_purge(producer->client, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    while (rd_kafka_flush(producer->client, 1000) == RD_KAFKA_RESP_ERR__TIMED_OUT)
        ; /* every report comes, as message.timeout.ms at the latest, and may be waited for by its tag's owner */
    for (size_t i = 0; i < producer->topics_n; i++)
        rd_kafka_topic_destroy(producer->topics[i]);
    free(producer->topics);
    rd_kafka_destroy(producer->client);
    pthread_mutex_destroy(&producer->lock);
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

void kafka_send(struct kafka_producer *producer, const struct wire_message *message, void *tag)
{
    size_t topic_size = strlen(message->topic) + 1;
    struct outgoing *outgoing = mem_alloc(sizeof *outgoing + topic_size + message->key_len);
    memcpy(outgoing->topic, message->topic, topic_size);
    if (message->key_len)
        memcpy(outgoing->topic + topic_size, message->key, message->key_len);
    outgoing->key = message->key ? outgoing->topic + topic_size : NULL;
    outgoing->key_len = message->key_len;
    outgoing->value = message->value ? mem_strndup(message->value, message->value_len) : NULL;
    outgoing->value_len = message->value_len;
    outgoing->headers = copy_headers(message);
    outgoing->tag = tag;
    atomic_fetch_add(&producer->open, 1);
    pthread_mutex_lock(&producer->lock);
    bool is_first = !producer->first;
    *producer->tail = outgoing;
    producer->tail = &outgoing->next;
    pthread_mutex_unlock(&producer->lock);
    if (is_first)
        wake_ring(producer->fd);
}

/* A topic opened by hand is asked for at once; one that the client meets in a message only, with its next round of questions
 * a second later. NULL for a name that no topic can have. */
static rd_kafka_topic_t *find_topic(struct kafka_producer *producer, const char *name)
{
    for (size_t i = 0; i < producer->topics_n; i++) {
        if (strcmp(rd_kafka_topic_name(producer->topics[i]), name) == 0)
            return producer->topics[i];
    }
    rd_kafka_topic_t *topic = rd_kafka_topic_new(producer->client, name, NULL);
    if (!topic)
        return NULL;
    producer->topics = mem_grow(producer->topics, producer->topics_n + 1, sizeof(rd_kafka_topic_t *));
    producer->topics[producer->topics_n++] = topic;
    return topic;
}

/* The client library takes over the value and the headers; false when it refuses. */
static bool hand_to_client(struct kafka_producer *producer, struct outgoing *outgoing, rd_kafka_resp_err_t *code)
{
    rd_kafka_topic_t *topic = find_topic(producer, outgoing->topic);
    if (!topic) {
        *code = RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION;
        return false;
    }
    *code = rd_kafka_producev(producer->client, RD_KAFKA_V_RKT(topic), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_FREE),
                              RD_KAFKA_V_KEY(outgoing->key, outgoing->key_len),
                              RD_KAFKA_V_VALUE(outgoing->value, outgoing->value_len),
                              RD_KAFKA_V_HEADERS(outgoing->headers), RD_KAFKA_V_OPAQUE(outgoing->tag), RD_KAFKA_V_END);
    return *code == RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void send_queued(struct kafka_producer *producer)
{
    rd_kafka_resp_err_t code;
    producer->pushed_ms = clock_mono_ms();
    for (struct outgoing *outgoing = take_queued(producer), *next; outgoing; outgoing = next) {
        next = outgoing->next;
        if (hand_to_client(producer, outgoing, &code)) {
            producer->sent++;
            free(outgoing);
        } else {
            drop(producer, outgoing, code);
        }
    }
}

/* rd_kafka_flush has the client's thread send at once what is there, and serves reports. */
void kafka_push(struct kafka_producer *producer, int timeout_ms)
{
    int64_t until_ms = clock_mono_ms() + timeout_ms;
    do {
        if (!producer->sent || clock_mono_ms() - producer->pushed_ms >= HOLD_MS)
            send_queued(producer);
        if (producer->sent)
            rd_kafka_flush(producer->client, FLUSH_MS);
        else
            rd_kafka_poll(producer->client, 0);
    } while (atomic_load(&producer->open) && clock_mono_ms() < until_ms);
}

size_t kafka_open(struct kafka_producer *producer)
{
    return atomic_load(&producer->open);
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
