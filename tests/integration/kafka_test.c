/* lib/kafka on a real broker and on the one in the process. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "kafka/kafka.h"
#include "servers.h"
#include "suite.h"

#define OK(call) ck_assert_msg((call), "%s: %s", #call, err.text)

static struct err err;
static int reports, refusals;

static void on_report(void *context, void *tag, const struct kafka_record *record, const struct err *fault)
{
    (void)context, (void)record;
    ck_assert_ptr_nonnull(tag);
    reports++;
    refusals += fault && fault->kind == ERR_REFUSED;
}

static void send_all(struct kafka_producer *producer, const char *topic, int n)
{
    for (int i = 0; i < n; i++) {
        char value[32];
        snprintf(value, sizeof value, "{\"n\":%d}", i);
        struct wire_message message = {.topic = topic, .key = "key", .key_len = 3, .value = value, .value_len = strlen(value)};
        message.headers[message.headers_n++] = (struct wire_header){"saga-step", "a", 1};
        kafka_send(producer, &message, &reports);
    }
    int64_t deadline = clock_mono_ms() + 20000;
    while (reports < n && clock_mono_ms() < deadline)
        kafka_push(producer, 100);
    ck_assert_int_eq(reports, n);
}

/* Receives n records within 20 s, checks that they are in order, marks `done` of them as done. */
static void receive_all(struct kafka_consumer *consumer, int first, int n, int done)
{
    int got = 0;
    int64_t deadline = clock_mono_ms() + 20000;
    while (got < n && clock_mono_ms() < deadline) {
        struct kafka_record *records[64];
        size_t count;
        OK(kafka_receive(consumer, records, 64, 100, &count, &err));
        for (size_t i = 0; i < count; i++) {
            struct wire_message message;
            char expected[32];
            kafka_record_message(records[i], &message);
            snprintf(expected, sizeof expected, "{\"n\":%d}", first + got);
            ck_assert_uint_eq(message.value_len, strlen(expected));
            ck_assert_int_eq(memcmp(message.value, expected, message.value_len), 0);
            ck_assert_uint_eq(message.headers_n, 1);
            ck_assert_str_eq(message.headers[0].name, "saga-step");
            if (got++ < done)
                kafka_done(consumer, &records[i], 1);
            kafka_record_free(records[i]);
        }
    }
    ck_assert_int_eq(got, n);
}

static void check_broker(const char *brokers, int members_told)
{
    char *topic = servers_unique_name();
    const char *topics[] = {topic};
    OK(kafka_ensure_topics(brokers, topics, 1, 4, &err));
    OK(kafka_ensure_topics(brokers, topics, 1, 4, &err));
    struct kafka_producer *producer = kafka_producer_new(brokers, "test", on_report, NULL, &err);
    OK(producer != NULL);
    ck_assert(kafka_reachable(producer, 10000));
    send_all(producer, topic, 100);
    ck_assert_int_eq(refusals, 0);
    struct kafka_consumer_config config = {brokers, "test", topic, NULL, topics, 1, 0};
    struct kafka_consumer *consumer = kafka_consumer_new(&config, &err);
    OK(consumer != NULL);
    receive_all(consumer, 0, 100, 60);
    ck_assert_int_eq(kafka_partitions(consumer), 4);
    const char *groups[] = {"nobody", topic};
    int members[2];
    OK(kafka_count_members(brokers, groups, 2, members, &err));
    ck_assert_int_eq(members[0], members_told < 0 ? -1 : 0);
    ck_assert_int_eq(members[1], members_told);
    kafka_consumer_free(consumer);
    consumer = kafka_consumer_new(&config, &err); /* what was not done comes again, what was done does not */
    receive_all(consumer, 60, 40, 40);
    kafka_consumer_free(consumer);
    kafka_producer_free(producer);
    free(topic);
}

START_TEST(a_real_broker_delivers_in_order_and_again_what_was_not_done)
{
    check_broker(servers_kafka_brokers(), 1);
}
END_TEST

START_TEST(so_does_the_broker_in_the_process)
{
    struct kafka_mock *mock = kafka_mock_new(&err);
    OK(mock != NULL);
    check_broker(kafka_mock_brokers(mock), -1);
    kafka_mock_free(mock);
}
END_TEST

START_TEST(a_consumer_may_end_while_it_joins)
{
    char *topic = servers_unique_name();
    const char *topics[] = {topic};
    struct kafka_consumer_config config = {servers_kafka_brokers(), "test", topic, NULL, topics, 1, 0};
    OK(kafka_ensure_topics(servers_kafka_brokers(), topics, 1, 1, &err));
    for (int pause_ms = 0; pause_ms < 100; pause_ms += 20) { /* the abort came in one round of ten or so */
        struct kafka_consumer *consumers[4];
        for (int i = 0; i < 4; i++) {
            struct kafka_record *record;
            size_t n;
            consumers[i] = kafka_consumer_new(&config, &err);
            OK(kafka_receive(consumers[i], &record, 1, pause_ms, &n, &err));
        }
        for (int i = 0; i < 4; i++)
            kafka_consumer_free(consumers[i]);
    }
    free(topic);
}
END_TEST

START_TEST(a_message_that_can_never_be_sent_is_refused)
{
    struct kafka_producer *producer = kafka_producer_new(servers_kafka_brokers(), "test", on_report, NULL, &err);
    size_t size = 2 * 1024 * 1024;
    char *value = mem_alloc(size);
    struct wire_message message = {.topic = "t", .value = value, .value_len = size};
    kafka_send(producer, &message, &reports);
    kafka_push(producer, 0);
    ck_assert_int_eq(reports, 1);
    ck_assert_int_eq(refusals, 1);
    message.topic = "no spaces allowed";
    message.value_len = 2;
    kafka_send(producer, &message, &reports);
    int64_t deadline = clock_mono_ms() + 20000;
    while (kafka_open(producer) && clock_mono_ms() < deadline)
        kafka_push(producer, 100);
    ck_assert_int_eq(reports, 2);
    free(value);
    kafka_producer_free(producer);
}
END_TEST

START_TEST(a_broker_that_is_away_is_reported_in_time_and_nothing_leaks_at_the_end)
{
    struct kafka_producer *producer = kafka_producer_new("127.0.0.1:1", "test", on_report, NULL, &err);
    struct wire_message message = {.topic = "t", .value = "1", .value_len = 1};
    ck_assert(!kafka_reachable(producer, 200));
    kafka_send(producer, &message, &reports);
    kafka_send(producer, &message, &reports);
    kafka_push(producer, 0);
    kafka_send(producer, &message, &reports); /* never pushed */
    kafka_producer_free(producer); /* all reports come, as refusals to wait any longer */
    ck_assert_int_eq(reports, 3);
}
END_TEST

START_TEST(a_member_without_partitions_has_joined_too)
{
    char *topic = servers_unique_name();
    const char *topics[] = {topic};
    struct kafka_consumer_config config = {servers_kafka_brokers(), "test", topic, NULL, topics, 1, 0};
    struct kafka_consumer *consumers[2];
    int joined = 0, partitions = 0;
    OK(kafka_ensure_topics(servers_kafka_brokers(), topics, 1, 1, &err));
    for (int i = 0; i < 2; i++) {
        consumers[i] = kafka_consumer_new(&config, &err);
        ck_assert_int_eq(kafka_joined_ms(consumers[i]), 0);
    }
    int64_t deadline = clock_mono_ms() + 20000;
    while (joined < 2 && clock_mono_ms() < deadline) {
        joined = partitions = 0;
        for (int i = 0; i < 2; i++) {
            struct kafka_record *record;
            size_t n;
            OK(kafka_receive(consumers[i], &record, 1, 20, &n, &err));
            joined += kafka_joined_ms(consumers[i]) > 0;
            partitions += kafka_partitions(consumers[i]);
        }
    }
    ck_assert_int_eq(joined, 2);
    ck_assert_int_le(partitions, 1);
    for (int i = 0; i < 2; i++)
        kafka_consumer_free(consumers[i]);
    free(topic);
}
END_TEST

static const TTest **const tests[] = {
    &a_real_broker_delivers_in_order_and_again_what_was_not_done,
    &so_does_the_broker_in_the_process,
    &a_member_without_partitions_has_joined_too,
    &a_consumer_may_end_while_it_joins,
    &a_message_that_can_never_be_sent_is_refused,
    &a_broker_that_is_away_is_reported_in_time_and_nothing_leaks_at_the_end,
    NULL,
};
static const struct suite_case cases[] = {{"kafka", tests, 90}};
SUITE_MAIN("kafka", cases)
