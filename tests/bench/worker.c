/* A participant that does nothing, for measuring the orchestrator alone: it answers the commands of the three example
 * services at once, without a database. An order that goes to the country "XX" is refused by its last step, as by the
 * example service. It keeps no inbox: after a crash it answers twice, and the engine knows better. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/uuid.h"
#include "kafka/kafka.h"
#include "service/service.h"

#define BATCH_MAX 1000
#define RECEIVE_MS 100
#define PUSH_MS 10
#define REACH_MS 10000
#define SERVICES 3

struct options {
    struct service_config service;
    struct service_kafka kafka;
    struct service_member member;
};

static const struct conf_option option_table[] = {
    SERVICE_KAFKA_OPTIONS(struct options, kafka),
    SERVICE_MEMBER_OPTIONS(struct options, member),
    SERVICE_OPTIONS(struct options, service),
    {NULL, CONF_FLAG, 0, NULL, NULL, NULL, 0, 0},
};
static const struct conf_spec spec = {"bench-worker", "answers every command at once", NULL, NULL, option_table};

struct worker {
    struct options options;
    char topics[SERVICES][WIRE_TOPIC_MAX], reply_topic[WIRE_TOPIC_MAX];
    struct kafka_producer *producer;
    struct kafka_consumer *consumer;
};

static void on_report(void *context, void *tag, const struct kafka_record *record, const struct err *err)
{
    (void)context, (void)tag, (void)record;
    if (err)
        log_line(LOG_WARN, "bench.reply_lost", LOG_ERR(err));
}

static bool header_is(const struct wire_header *header, const char *name)
{
    return strcmp(header->name, name) == 0;
}

static bool value_is(const struct wire_header *header, const char *text)
{
    return header->value_len == strlen(text) && memcmp(header->value, text, header->value_len) == 0;
}

static const char *body_for(const struct wire_message *command)
{
    for (size_t i = 0; i < command->headers_n; i++) {
        if (header_is(&command->headers[i], "saga-action") && value_is(&command->headers[i], "ship") &&
            memmem(command->value, command->value_len, "\"XX\"", 4))
            return "{\"outcome\":\"failed\",\"error\":{\"code\":\"undeliverable\",\"message\":\"no carrier goes there\"}}";
    }
    return "{\"outcome\":\"succeeded\",\"output\":{\"charge_id\":\"0190a1b2-0000-7000-8000-000000000000\"}}";
}

/* The command's own headers with another type and id. */
static void answer(struct worker *worker, const struct wire_message *command)
{
    char id_text[UUID_TEXT_MAX];
    struct uuid id = uuid_v7();
    const char *body = body_for(command);
    struct wire_message reply = *command;
    reply.topic = worker->reply_topic;
    reply.value = body;
    reply.value_len = strlen(body);
    uuid_format(&id, id_text);
    for (size_t i = 0; i < reply.headers_n; i++) {
        struct wire_header *header = &reply.headers[i];
        if (header_is(header, "ce_type"))
            *header = (struct wire_header){header->name, "saga.reply", 10};
        else if (header_is(header, "ce_id"))
            *header = (struct wire_header){header->name, id_text, strlen(id_text)};
    }
    kafka_send(worker->producer, &reply, NULL);
}

static bool serve(struct worker *worker, struct err *err)
{
    static struct kafka_record *records[BATCH_MAX];
    bool ready = false;
    size_t n;
    while (!service_wait(0)) {
        if (!kafka_receive(worker->consumer, records, BATCH_MAX, kafka_open(worker->producer) ? 0 : RECEIVE_MS, &n, err))
            return false;
        if (!ready && kafka_partitions(worker->consumer)) {
            log_line(LOG_INFO, "ready", LOG_INT("partitions", kafka_partitions(worker->consumer)));
            ready = true;
        }
        for (size_t i = 0; i < n; i++) {
            struct wire_message command;
            kafka_record_message(records[i], &command);
            answer(worker, &command);
        }
        kafka_push(worker->producer, PUSH_MS);
        kafka_done(worker->consumer, records, n);
        for (size_t i = 0; i < n; i++)
            kafka_record_free(records[i]);
    }
    return true;
}

static bool open_consumer(struct worker *worker, struct err *err)
{
    const struct options *o = &worker->options;
    const char *topics[SERVICES];
    for (size_t i = 0; i < SERVICES; i++)
        topics[i] = worker->topics[i];
    struct kafka_consumer_config config = {.brokers = o->kafka.brokers,
                                           .client = "bench-worker",
                                           .group = "bench-worker",
                                           .instance = o->member.instance,
                                           .topics = topics,
                                           .topics_n = SERVICES,
                                           .fetch_wait_ms = o->member.fetch_wait_ms};
    worker->consumer = kafka_consumer_new(&config, err);
    return worker->consumer != NULL;
}

static bool open_worker(struct worker *worker, struct err *err)
{
    static const char *const services[SERVICES] = {"inventory", "payment", "shipping"};
    const struct options *o = &worker->options;
    const char *topics[SERVICES + 1];
    for (size_t i = 0; i < SERVICES; i++)
        topics[i] = wire_command_topic(o->kafka.prefix, services[i], worker->topics[i]);
    topics[SERVICES] = wire_topic(o->kafka.prefix, "reply", worker->reply_topic);
    return kafka_ensure_topics(o->kafka.brokers, topics, SERVICES + 1, o->member.partitions, err) &&
           (worker->producer = kafka_producer_new(o->kafka.brokers, "bench-worker", on_report, worker, err)) &&
           (kafka_reachable(worker->producer, REACH_MS) || err_set(err, ERR_RETRY, "Kafka does not answer")) &&
           open_consumer(worker, err);
}

/* A broker or a machine that stands still for longer than a session lasts makes the group forget its members. */
static bool run(struct worker *worker, struct err *err)
{
    while (!serve(worker, err)) {
        log_line(LOG_WARN, "consumer_lost", LOG_ERR(err));
        kafka_consumer_free(worker->consumer);
        worker->consumer = NULL;
        if (!open_consumer(worker, err))
            return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    static struct worker worker;
    struct conf_result result;
    struct err err = {0};
    int status;
    if (!service_open(&spec, argc, argv, &worker.options, &worker.options.service, &result, &status))
        return status;
    bool ok = open_worker(&worker, &err) && run(&worker, &err);
    if (!ok)
        log_line(LOG_ERROR, "failed", LOG_ERR(&err));
    kafka_consumer_free(worker.consumer);
    kafka_producer_free(worker.producer);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
