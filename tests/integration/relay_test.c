/* lib/relay on the real servers: at least once, in order, whoever is killed; SKIP LOCKED between two of them. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "kafka/kafka.h"
#include "pg/pg.h"
#include "relay/relay.h"
#include "query.h"
#include "servers.h"
#include "suite.h"

#define OK(call) ck_assert_msg((call), "%s: %s", #call, err.text)

extern const struct pg_migration outbox_migrations[];

static struct err err;
static struct pg *pg;
static char *schema, *topic, *dead;
static int refused_n;
static int late_n;

static void open_world(void)
{
    int applied;
    schema = servers_unique_name();
    topic = mem_printf("%s.topic", schema);
    dead = mem_printf("%s.dead", schema);
    pg = pg_new(servers_database_url(), schema, "relay_test", PG_ADHOC);
    OK(pg_migrate(pg, outbox_migrations, &applied, &err));
    const char *topics[] = {topic, dead};
    OK(kafka_ensure_topics(servers_kafka_brokers(), topics, 2, 1, &err));
}

static void close_world(void)
{
    pg_free(pg);
    free(schema);
    free(topic);
    free(dead);
}

/* Rows of several transactions; the value is the row's number, padded. */
static void insert_rows(int first, int n, size_t padding)
{
    static const struct pg_statement insert = {
        "insert", "INSERT INTO outbox (id, topic, key, headers, value)"
                  " VALUES (gen_random_uuid(), $1, $2, '{\"saga-step\":\"a\",\"ce_id\":\"x\"}', $3)"};
    char *value = mem_alloc(padding + 32);
    for (int i = first; i < first + n; i++) {
        struct pg_params params = {0};
        int len = sprintf(value, "%d", i);
        memset(value + len, ' ', padding);
        pg_param_text(&params, PG_TEXT, topic);
        pg_param_text(&params, PG_TEXT, "key");
        pg_param_text(&params, PG_TEXT, value);
        OK(pg_call(pg, &insert, &params, NULL, &err));
        pg_params_free(&params);
    }
    free(value);
}

static int rows_left(void)
{
    static const struct pg_statement count = {"count", "SELECT count(*) FROM outbox"};
    return (int)query_number(pg, &count);
}

static void await_empty(void)
{
    int64_t deadline = clock_mono_ms() + 30000;
    while (rows_left() && clock_mono_ms() < deadline)
        usleep(10000);
    ck_assert_int_eq(rows_left(), 0);
}

static void on_refused(void *context, const struct wire_message *message, const struct err *fault)
{
    (void)context;
    ck_assert_str_eq(message->topic, topic);
    ck_assert_int_eq(fault->kind, ERR_REFUSED);
    refused_n++;
}

static void on_late(void *context, const struct wire_message *message, int64_t at_ms)
{
    (void)context, (void)message;
    ck_assert_int_gt(at_ms, 0);
    late_n++;
}

static struct relay *start_relay(int64_t late_ms)
{
    struct relay_config config = {servers_database_url(), schema, servers_kafka_brokers(), dead, "relay_test", late_ms, 0,
                                  {on_late, on_refused, NULL}};
    struct relay *relay = relay_start(&config, &err);
    OK(relay != NULL);
    return relay;
}

/* Reads the topic until every number below n has come; counts in seen[]. Returns how many first sights were out of order. */
static int read_topic(const char *name, int *seen, int n)
{
    struct kafka_consumer_config config = {servers_kafka_brokers(), "test", name, NULL, &name, 1, 0};
    struct kafka_consumer *consumer = kafka_consumer_new(&config, &err);
    OK(consumer != NULL);
    int missing = n, disorder = 0, last = -1;
    int64_t deadline = clock_mono_ms() + 30000;
    while (missing && clock_mono_ms() < deadline) {
        struct kafka_record *records[100];
        size_t count;
        OK(kafka_receive(consumer, records, 100, 100, &count, &err));
        for (size_t i = 0; i < count; i++) {
            struct wire_message message;
            kafka_record_message(records[i], &message);
            int number = atoi(message.value);
            ck_assert(number >= 0 && number < n);
            if (seen[number]++ == 0) {
                missing--;
                disorder += number < last;
                last = number;
            }
            kafka_record_free(records[i]);
        }
    }
    ck_assert_int_eq(missing, 0);
    kafka_consumer_free(consumer);
    return disorder;
}

START_TEST(rows_arrive_in_order_and_are_deleted)
{
    enum { N = 2500 };
    int seen[N] = {0};
    open_world();
    insert_rows(0, 1500, 0);
    struct relay *relay = start_relay(0);
    insert_rows(1500, 1000, 0);
    relay_wake(relay);
    await_empty();
    ck_assert_int_eq(read_topic(topic, seen, N), 0);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(seen[i], 1);
    struct relay_stats stats;
    relay_stats(relay, &stats);
    ck_assert(stats.healthy);
    relay_free(relay);
    ck_assert_int_gt(late_n, 0);
    close_world();
}
END_TEST

/* Runs a relay in a child that dies at the fault point. */
static void run_until_killed(const char *fault)
{
    pid_t child = fork();
    if (child == 0) {
        setenv("SAGA_FAULT", fault, 1);
        start_relay(1000);
        pause();
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

START_TEST(a_kill_in_the_middle_loses_nothing)
{
    enum { N = 300 };
    int seen[N] = {0};
    open_world();
    insert_rows(0, 100, 0);
    run_until_killed("relay.claimed=kill");
    insert_rows(100, 100, 0);
    run_until_killed("relay.acknowledged=kill");
    insert_rows(200, 100, 0);
    run_until_killed("relay.settled=kill");
    struct relay *relay = start_relay(1000);
    await_empty();
    relay_free(relay);
    read_topic(topic, seen, N);
    close_world();
}
END_TEST

START_TEST(two_relays_share_the_outbox)
{
    enum { N = 3000 };
    int seen[N] = {0};
    open_world();
    struct relay *one = start_relay(1000), *two = start_relay(1000);
    insert_rows(0, N, 0);
    await_empty();
    read_topic(topic, seen, N);
    for (int i = 0; i < N; i++)
        ck_assert_int_eq(seen[i], 1); /* claimed by one or the other, never by both */
    relay_free(one);
    relay_free(two);
    close_world();
}
END_TEST

START_TEST(a_row_under_a_lock_is_passed_over_and_not_forgotten)
{
    static const struct pg_statement lock = {"lock", "SELECT id FROM outbox WHERE value = '1' FOR UPDATE"};
    enum { N = 5 };
    int seen[N] = {0};
    open_world();
    insert_rows(0, 3, 0);
    struct pg *other = pg_new(servers_database_url(), schema, "relay_test", PG_ADHOC);
    struct pg_call calls[] = {{&PG_BEGIN, NULL, NULL}, {&lock, NULL, NULL}};
    OK(pg_run(other, calls, 2, &err));
    ck_assert_uint_eq(pg_rows_count(calls[1].rows), 1);
    pg_rows_free(calls[0].rows);
    pg_rows_free(calls[1].rows);
    struct relay *relay = start_relay(1000);
    insert_rows(3, 2, 0);
    int64_t deadline = clock_mono_ms() + 20000;
    while (rows_left() > 1 && clock_mono_ms() < deadline)
        usleep(10000);
    ck_assert_int_eq(rows_left(), 1);
    OK(pg_call(other, &PG_COMMIT, NULL, NULL, &err));
    await_empty();
    read_topic(topic, seen, N);
    relay_free(relay);
    pg_free(other);
    close_world();
}
END_TEST

/* Receives exactly n records of the topic, giving each to `check`. */
static void receive_n(const char *name, int n, void (*check)(const struct wire_message *))
{
    struct kafka_consumer_config config = {servers_kafka_brokers(), "test", name, NULL, &name, 1, 0};
    struct kafka_consumer *consumer = kafka_consumer_new(&config, &err);
    int got = 0;
    int64_t deadline = clock_mono_ms() + 20000;
    while (got < n && clock_mono_ms() < deadline) {
        struct kafka_record *records[10];
        size_t count;
        OK(kafka_receive(consumer, records, 10, 100, &count, &err));
        for (size_t i = 0; i < count; i++, got++) {
            struct wire_message message;
            kafka_record_message(records[i], &message);
            check(&message);
            kafka_record_free(records[i]);
        }
    }
    ck_assert_int_eq(got, n);
    kafka_consumer_free(consumer);
}

static void check_small(const struct wire_message *message)
{
    ck_assert_uint_eq(message->value_len, 1);
    ck_assert_int_ge(message->value[0], '4');
}

static void check_letter(const struct wire_message *message)
{
    struct arena arena = {0};
    ck_assert_uint_lt(message->value_len, 500000);
    ck_assert_str_eq(wire_header(&arena, message, "saga-dead-size"), "1500001");
    ck_assert_str_eq(wire_header(&arena, message, "saga-dead-topic"), topic);
    ck_assert_str_eq(wire_header(&arena, message, "saga-step"), "a");
    arena_free(&arena);
}

START_TEST(what_cannot_be_published_hides_nothing)
{
    open_world();
    insert_rows(0, 4, 1500000); /* more than the broker takes */
    insert_rows(4, 4, 0);
    struct relay *relay = start_relay(1000);
    await_empty();
    relay_free(relay);
    ck_assert_int_eq(refused_n, 4);
    receive_n(topic, 4, check_small);
    receive_n(dead, 4, check_letter);
    close_world();
}
END_TEST

START_TEST(a_topic_that_is_not_there_costs_the_others_nothing)
{
    static const struct pg_statement lost = {
        "lost", "INSERT INTO outbox (id, topic, headers, value) SELECT gen_random_uuid(), 'no-such-topic', '{}', '0' FROM generate_series(1, 5)"};
    static const struct pg_statement tried = {
        "tried", "INSERT INTO outbox (id, topic, headers, value, leased_until)"
                 " SELECT gen_random_uuid(), 'no-such-topic', '{}', '0', now() - interval '1 s'"};
    static const struct pg_statement never_sent = {"never_sent", "SELECT count(*) FROM outbox WHERE leased_until IS NULL"};
    enum { LEFT = 6 };
    enum { N = 20 };
    int seen[N] = {0};
    open_world();
    OK(pg_call(pg, &lost, NULL, NULL, &err));
    OK(pg_call(pg, &tried, NULL, NULL, &err)); /* whoever had it may have sent it */
    insert_rows(0, 10, 0);
    struct relay *relay = start_relay(1000);
    int64_t deadline = clock_mono_ms() + 20000;
    while (rows_left() > LEFT && clock_mono_ms() < deadline)
        usleep(10000);
    ck_assert_int_eq(rows_left(), LEFT);
    insert_rows(10, 10, 0); /* these do not even wait for the first timeout */
    relay_wake(relay);
    deadline = clock_mono_ms() + 2000;
    while (rows_left() > LEFT && clock_mono_ms() < deadline)
        usleep(10000);
    ck_assert_int_eq(rows_left(), LEFT);
    read_topic(topic, seen, N);
    struct relay_stats stats;
    relay_stats(relay, &stats);
    ck_assert(stats.healthy);
    int64_t before = clock_mono_ms();
    relay_free(relay);
    ck_assert_int_eq(query_number(pg, &never_sent), LEFT - 1);
    ck_assert_int_lt(clock_mono_ms() - before, 9000);
    close_world();
}
END_TEST

/* A row whose value is `number`, under a lease; returns where it is. */
static uint64_t insert_leased(int number, int64_t lease_ms, struct uuid *id)
{
    static const struct pg_statement insert = {
        "insert_leased", "INSERT INTO outbox (id, topic, key, headers, value, leased_until)"
                         " VALUES ($1, $2, 'key', '{}', $3, now() + $4 * interval '1 ms') RETURNING ctid"};
    struct pg_params params = {0};
    struct pg_rows *rows = NULL;
    char value[16];
    snprintf(value, sizeof value, "%d", number);
    *id = uuid_v7();
    pg_param_uuid(&params, id);
    pg_param_text(&params, PG_TEXT, topic);
    pg_param_text(&params, PG_TEXT, value);
    pg_param_int(&params, PG_INT8, lease_ms);
    OK(pg_call(pg, &insert, &params, &rows, &err));
    uint64_t tid = pg_get_tid(rows, 0, 0);
    pg_rows_free(rows);
    pg_params_free(&params);
    return tid;
}

/* The row and the message tell different numbers, so that what arrives tells which of them was sent. */
static void hand_over(struct relay *relay, int in_row, int in_message, int64_t begun_ms)
{
    char value[16];
    struct uuid id;
    uint64_t tid = insert_leased(in_row, RELAY_LEASE_MS, &id);
    snprintf(value, sizeof value, "%d", in_message);
    struct wire_message message = {.topic = topic, .key = "key", .key_len = 3, .value = value, .value_len = strlen(value)};
    relay_hand_over(relay, &id, tid, &message, begun_ms);
}

START_TEST(what_is_handed_over_is_sent_once_and_deleted)
{
    int seen[51] = {0};
    open_world();
    struct relay *relay = start_relay(100000);
    for (int i = 0; i < 50; i++)
        hand_over(relay, 50, i, clock_mono_ms());
    await_empty();
    hand_over(relay, 50, 0, clock_mono_ms() - RELAY_LEASE_MS); /* too late: given back, and pulled */
    await_empty();
    relay_free(relay);
    read_topic(topic, seen, 51);
    for (int i = 0; i < 51; i++)
        ck_assert_int_eq(seen[i], 1);
    close_world();
}
END_TEST

START_TEST(a_leased_row_is_left_alone_until_its_lease_has_passed)
{
    int seen[2] = {0};
    struct uuid id;
    open_world();
    insert_leased(0, 3000, &id); /* by a process that died before it sent the message */
    insert_rows(1, 1, 0);
    struct relay *relay = start_relay(100000);
    int64_t deadline = clock_mono_ms() + 2500;
    while (rows_left() > 1 && clock_mono_ms() < deadline)
        usleep(10000);
    ck_assert_int_eq(rows_left(), 1); /* the other one has gone */
    await_empty();
    relay_free(relay);
    ck_assert_int_eq(read_topic(topic, seen, 2), 1);
    close_world();
}
END_TEST

static const TTest **const tests[] = {
    &a_topic_that_is_not_there_costs_the_others_nothing,
    &rows_arrive_in_order_and_are_deleted,
    &a_kill_in_the_middle_loses_nothing,
    &two_relays_share_the_outbox,
    &a_row_under_a_lock_is_passed_over_and_not_forgotten,
    &what_cannot_be_published_hides_nothing,
    &what_is_handed_over_is_sent_once_and_deleted,
    &a_leased_row_is_left_alone_until_its_lease_has_passed,
    NULL,
};
static const struct suite_case cases[] = {{"relay", tests, 90}};
SUITE_MAIN("relay", cases)
