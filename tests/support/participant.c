#include "participant.h"

#include <check.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "kafka/kafka.h"
#include "servers.h"

#define PARTITIONS 4
#define READY_MS 30000
#define BATCH 100

struct participant {
    char *prefix;
    char topics[PARTICIPANT_SERVICES_MAX][WIRE_TOPIC_MAX];
    size_t topics_n;
    participant_answer *answer;
    struct kafka_producer *producer;
    pthread_t thread;
    atomic_bool stops;
    atomic_bool ready;
};

static void ignore_report(void *context, void *tag, const struct kafka_record *record, const struct err *err)
{
    (void)context, (void)tag, (void)record, (void)err;
}

void participant_reply(struct participant *participant, const struct wire_command *command, const char *value)
{
    char topic[WIRE_TOPIC_MAX], saga[UUID_TEXT_MAX], round[16], attempt[16];
    uuid_format(&command->about.saga_id, saga);
    snprintf(round, sizeof round, "%d", command->about.round);
    snprintf(attempt, sizeof attempt, "%d", command->about.attempt);
    const char *headers[][2] = {{"ce_type", "saga.reply"},       {"saga-protocol", WIRE_PROTOCOL},
                                {"saga-namespace", "default"},   {"saga-id", saga},
                                {"saga-step", command->about.step}, {"saga-kind", command->about.kind},
                                {"saga-round", round},           {"saga-attempt", attempt}};
    struct wire_message message = {.topic = wire_topic(participant->prefix, "reply", topic), .key = saga, .key_len = strlen(saga),
                                   .value = value, .value_len = strlen(value)};
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++)
        message.headers[message.headers_n++] = (struct wire_header){headers[i][0], headers[i][1], strlen(headers[i][1])};
    kafka_send(participant->producer, &message, NULL);
}

static void answer_all(struct participant *participant, struct kafka_record *const *records, size_t n)
{
    struct arena scratch = {0};
    struct err err;
    for (size_t i = 0; i < n; i++) {
        struct wire_message message;
        struct wire_command command;
        kafka_record_message(records[i], &message);
        ck_assert_msg(wire_command_read(&scratch, &message, &command, &err), "%s", err.text);
        participant->answer(participant, &command);
    }
    arena_free(&scratch);
}

static void *participate(void *argument)
{
    struct participant *participant = argument;
    const char *topics[PARTICIPANT_SERVICES_MAX];
    struct err err;
    for (size_t i = 0; i < participant->topics_n; i++)
        topics[i] = participant->topics[i];
    struct kafka_consumer_config config = {servers_kafka_brokers(), "participant", participant->prefix, NULL, topics, participant->topics_n, 0};
    struct kafka_consumer *consumer = kafka_consumer_new(&config, &err);
    ck_assert_msg(consumer != NULL, "%s", err.text);
    while (!atomic_load(&participant->stops)) {
        struct kafka_record *records[BATCH];
        size_t n = 0;
        ck_assert(kafka_receive(consumer, records, BATCH, kafka_open(participant->producer) ? 0 : 20, &n, &err));
        atomic_store(&participant->ready, kafka_partitions(consumer) == (int)participant->topics_n * PARTITIONS);
        answer_all(participant, records, n);
        kafka_push(participant->producer, 10);
        kafka_done(consumer, records, n);
        for (size_t i = 0; i < n; i++)
            kafka_record_free(records[i]);
    }
    kafka_consumer_free(consumer);
    return NULL;
}

struct participant *participant_start(const char *prefix, const char *const *services, size_t services_n, participant_answer *answer)
{
    struct participant *participant = mem_alloc(sizeof *participant);
    const char *topics[PARTICIPANT_SERVICES_MAX];
    struct err err;
    ck_assert_uint_le(services_n, PARTICIPANT_SERVICES_MAX);
    participant->prefix = mem_strdup(prefix);
    participant->topics_n = services_n;
    participant->answer = answer;
    for (size_t i = 0; i < services_n; i++)
        topics[i] = wire_command_topic(prefix, services[i], participant->topics[i]);
    ck_assert_msg(kafka_ensure_topics(servers_kafka_brokers(), topics, services_n, PARTITIONS, &err), "%s", err.text);
    participant->producer = kafka_producer_new(servers_kafka_brokers(), "participant", ignore_report, NULL, &err);
    ck_assert_msg(participant->producer != NULL, "%s", err.text);
    ck_assert_int_eq(pthread_create(&participant->thread, NULL, participate, participant), 0);
    int64_t deadline_ms = clock_mono_ms() + READY_MS;
    while (!atomic_load(&participant->ready) && clock_mono_ms() < deadline_ms)
        usleep(2000);
    ck_assert(atomic_load(&participant->ready));
    return participant;
}

void participant_stop(struct participant *participant)
{
    atomic_store(&participant->stops, true);
    pthread_join(participant->thread, NULL);
    kafka_producer_free(participant->producer);
    free(participant->prefix);
    free(participant);
}
