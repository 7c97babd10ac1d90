/* workers/sdk through a real worker binary (payment): each command takes effect at most once, whatever comes how often and
 * in which order, and whenever the worker is killed. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/vclock.h"
#include "kafka/kafka.h"
#include "pg/pg.h"
#include "process.h"
#include "query.h"
#include "servers.h"
#include "suite.h"

#define OK(call) ck_assert_msg((call), "%s: %s", #call, err.text)

static struct err err;
static struct arena arena;
static char *name, *log_path; /* name: schema and topic prefix */
static const char *program, *service;
static struct pg *pg;
static struct kafka_producer *producer;
static struct kafka_consumer *replies;
static pid_t worker;

static void ignore_report(void *context, void *tag, const struct kafka_record *record, const struct err *fault)
{
    (void)context, (void)tag, (void)record;
    ck_assert_ptr_null(fault);
}

static void start_worker(const char *fault)
{
    const char *arguments[] = {"--database-url", servers_database_url(), "--worker-schema", name, "--kafka-brokers",
                               servers_kafka_brokers(), "--topic-prefix", name, "--partitions", "1", "--instance", "one", NULL};
    static int starts;
    char *part = mem_printf("worker-%d", ++starts);
    free(log_path);
    log_path = process_log_path(name, part);
    worker = process_start(program, arguments, log_path, fault);
    free(part);
    process_await_log(log_path, "ready", 30);
}

static void open_world_of(const char *of_program, const char *of_service)
{
    program = of_program;
    service = of_service;
    char topic[WIRE_TOPIC_MAX];
    name = servers_unique_name();
    const char *topics[] = {wire_topic(name, "reply", topic)};
    OK(kafka_ensure_topics(servers_kafka_brokers(), topics, 1, 1, &err));
    pg = pg_new(servers_database_url(), name, "worker_test", PG_ADHOC);
    producer = kafka_producer_new(servers_kafka_brokers(), "test", ignore_report, NULL, &err);
    struct kafka_consumer_config config = {servers_kafka_brokers(), "test", name, NULL, topics, 1, 0};
    replies = kafka_consumer_new(&config, &err);
    start_worker(NULL);
}

static void open_world(void)
{
    open_world_of("saga-worker-payment", "payment");
}

static void close_world(void)
{
    ck_assert_int_eq(process_stop(worker, 10), 0);
    kafka_consumer_free(replies);
    kafka_producer_free(producer);
    pg_free(pg);
    arena_free(&arena);
    free(name);
    free(log_path);
}

/* ---- commands and replies ---- */

static const char trace[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

static struct wire_command charge_of(struct uuid saga_id, const char *value)
{
    return (struct wire_command){.id = uuid_v7(), .about = {"default", saga_id, "charge_payment", "action", 1, 1},
                                 .action = "charge", .source = "test", .traceparent = trace, .value = value, .value_len = strlen(value)};
}

static struct wire_command refund_of(struct uuid saga_id, const char *output)
{
    char *value = arena_printf(&arena, "{\"input\":{\"account\":\"alice\",\"amount\":500},\"output\":%s}", output);
    struct wire_command command = charge_of(saga_id, value);
    command.about.kind = "compensation";
    command.action = "refund";
    return command;
}

static void send_command(const struct wire_command *command)
{
    char topic[WIRE_TOPIC_MAX], id[UUID_TEXT_MAX], saga[UUID_TEXT_MAX], round[12], attempt[12], time[CLOCK_TEXT_MAX];
    snprintf(round, sizeof round, "%d", command->about.round);
    snprintf(attempt, sizeof attempt, "%d", command->about.attempt);
    const char *headers[][2] = {{"ce_type", "saga.command"}, {"saga-protocol", WIRE_PROTOCOL},
                                {"ce_id", uuid_format(&command->id, id)}, {"saga-namespace", "default"},
                                {"saga-id", uuid_format(&command->about.saga_id, saga)}, {"saga-step", command->about.step},
                                {"saga-kind", command->about.kind}, {"saga-action", command->action},
                                {"saga-round", round}, {"saga-attempt", attempt}, {"traceparent", command->traceparent},
                                {"saga-clock", command->clock},
                                {"saga-deadline", command->deadline_ms ? clock_format(command->deadline_ms, time) : NULL}};
    struct wire_message message = {.topic = wire_command_topic(name, service, topic), .key = saga, .key_len = strlen(saga),
                                   .value = command->value, .value_len = command->value_len};
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++) {
        if (headers[i][1])
            message.headers[message.headers_n++] = (struct wire_header){headers[i][0], headers[i][1], strlen(headers[i][1])};
    }
    kafka_send(producer, &message, NULL);
    kafka_push(producer, 0);
}

static struct wire_reply next_reply(void)
{
    struct kafka_record *record;
    size_t n = 0;
    int64_t deadline = clock_mono_ms() + 20000;
    while (!n && clock_mono_ms() < deadline) {
        kafka_push(producer, 0);
        OK(kafka_receive(replies, &record, 1, 50, &n, &err));
    }
    ck_assert_msg(n == 1, "no reply came");
    struct wire_message message;
    struct wire_reply reply;
    kafka_record_message(record, &message);
    OK(wire_reply_read(&arena, &message, &reply, &err));
    kafka_record_free(record);
    return reply;
}

static struct wire_reply ask(const struct wire_command *command)
{
    send_command(command);
    struct wire_reply reply = next_reply();
    ck_assert(uuid_equal(&reply.about.saga_id, &command->about.saga_id));
    ck_assert_str_eq(reply.about.kind, command->about.kind);
    ck_assert_int_eq(reply.about.attempt, command->about.attempt);
    ck_assert_str_eq(reply.traceparent, trace);
    return reply;
}

static int64_t charges(void)
{
    static const struct pg_statement s = {"charges", "SELECT count(*) FROM charge WHERE NOT refunded"};
    return query_number(pg, &s);
}

static int64_t spent(void)
{
    static const struct pg_statement s = {"spent", "SELECT 1000000000000 - balance FROM account WHERE id = 'alice'"};
    return query_number(pg, &s);
}

static int64_t inbox_rows(void)
{
    static const struct pg_statement s = {"inbox_rows", "SELECT count(*) FROM inbox"};
    return query_number(pg, &s);
}

static const char *const good = "{\"account\":\"alice\",\"amount\":500}";

/* ---- the tests ---- */

START_TEST(a_repeated_command_takes_effect_once_and_is_answered_alike)
{
    open_world();
    struct wire_command command = charge_of(uuid_v7(), good);
    struct wire_reply first = ask(&command);
    ck_assert_str_eq(first.outcome, "succeeded");
    for (int i = 0; i < 3; i++) {
        command.about.attempt++;
        struct wire_reply again = ask(&command);
        ck_assert_str_eq(again.outcome, "succeeded");
        ck_assert_str_eq(again.output, first.output);
    }
    for (int i = 0; i < 5; i++)
        send_command(&command); /* in one batch */
    for (int i = 0; i < 5; i++)
        ck_assert_str_eq(next_reply().output, first.output);
    ck_assert_int_eq(charges(), 1);
    ck_assert_int_eq(spent(), 500);
    struct wire_command refund = refund_of(command.about.saga_id, first.output);
    for (int i = 0; i < 3; i++)
        ck_assert_str_eq(ask(&refund).outcome, "succeeded");
    ck_assert_int_eq(spent(), 0);
    close_world();
}
END_TEST

static struct wire_command probe_of(const struct wire_command *action, int round, int attempt)
{
    struct wire_command probe = *action;
    probe.about.kind = "probe";
    probe.about.round = round;
    probe.about.attempt = attempt;
    return probe;
}

START_TEST(a_probe_is_answered_from_the_record_and_never_recorded)
{
    open_world();
    struct wire_command charge = charge_of(uuid_v7(), good), probe = probe_of(&charge, 1, 2);
    ck_assert_str_eq(ask(&probe).outcome, "not_seen");
    ck_assert_int_eq(inbox_rows(), 0);
    struct wire_reply done = ask(&charge), told = ask(&probe);
    ck_assert_str_eq(told.outcome, "succeeded");
    ck_assert_str_eq(told.output, done.output);
    ck_assert_int_eq(inbox_rows(), 1);
    struct wire_command refused = charge_of(uuid_v7(), "{\"account\":\"nobody\",\"amount\":500}");
    ck_assert_str_eq(ask(&refused).outcome, "failed");
    probe = probe_of(&refused, 1, 2);
    ck_assert_str_eq(ask(&probe).outcome, "failed");
    probe = probe_of(&refused, 2, 2); /* the second round's action has not come */
    ck_assert_str_eq(ask(&probe).outcome, "not_seen");
    ck_assert_int_eq(charges(), 1);
    close_world();
}
END_TEST

START_TEST(a_probe_beside_its_action_sees_what_became_of_it)
{
    open_world();
    struct wire_command charge = charge_of(uuid_v7(), good), probe = probe_of(&charge, 1, 2);
    send_command(&charge); /* in one batch */
    send_command(&probe);
    ck_assert_str_eq(next_reply().outcome, "succeeded");
    struct wire_reply told = next_reply();
    ck_assert_str_eq(told.about.kind, "probe");
    ck_assert_str_eq(told.outcome, "succeeded");
    close_world();
}
END_TEST

START_TEST(a_compensation_that_comes_first_fences_the_action)
{
    open_world();
    struct uuid saga = uuid_v7();
    struct wire_command charge = charge_of(saga, good), refund = refund_of(saga, "null");
    ck_assert_str_eq(ask(&refund).outcome, "succeeded"); /* nothing to undo */
    struct wire_reply late = ask(&charge);
    ck_assert_str_eq(late.outcome, "failed");
    ck_assert_ptr_nonnull(strstr(late.error, "\"refused\""));
    charge.about.round = 2; /* no round opens a fence */
    ck_assert_str_eq(ask(&charge).outcome, "failed");
    ck_assert_int_eq(charges(), 0);
    ck_assert_int_eq(spent(), 0);
    close_world();
}
END_TEST

START_TEST(a_compensation_fences_what_was_refused_against_later_rounds)
{
    open_world();
    struct uuid saga = uuid_v7();
    struct wire_command charge = charge_of(saga, "{\"account\":\"nobody\",\"amount\":500}"), again = charge_of(saga, good),
                        refund = refund_of(saga, "null");
    ck_assert_str_eq(ask(&charge).outcome, "failed");
    ck_assert_str_eq(ask(&refund).outcome, "succeeded");
    again.about.round = 2; /* it was sent before the compensation, and comes late */
    struct wire_reply late = ask(&again);
    ck_assert_str_eq(late.outcome, "failed");
    ck_assert_ptr_nonnull(strstr(late.error, "\"refused\""));
    ck_assert_int_eq(charges(), 0);
    close_world();
}
END_TEST

START_TEST(refusals_have_reasons_and_are_recorded)
{
    static const struct {
        const char *value, *code;
    } bad[] = {{"{\"account\":\"mallory\",\"amount\":500}", "card_declined"},
               {"{\"account\":\"bob\",\"amount\":500}", "card_declined"},
               {"{\"account\":\"alice\",\"amount\":500001}", "card_declined"},
               {"{\"account\":\"nobody\",\"amount\":500}", "unknown_account"},
               {"{\"account\":\"alice\",\"amount\":\"much\"}", "bad_input"},
               {"{\"amount\":5}", "bad_input"},
               {"[]", "bad_input"}};
    open_world();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct wire_command command = charge_of(uuid_v7(), bad[i].value);
        struct wire_reply reply = ask(&command);
        ck_assert_str_eq(reply.outcome, "failed");
        ck_assert_msg(strstr(reply.error, bad[i].code) != NULL, "%s: %s", bad[i].value, reply.error);
    }
    struct wire_command unknown = charge_of(uuid_v7(), good);
    unknown.action = "dance";
    ck_assert_ptr_nonnull(strstr(ask(&unknown).error, "unknown_action"));
    ck_assert_int_eq(inbox_rows(), 8);
    struct wire_command late = charge_of(uuid_v7(), good);
    late.deadline_ms = clock_real_ms() - 1000;
    ck_assert_ptr_nonnull(strstr(ask(&late).error, "deadline_passed"));
    ck_assert_int_eq(charges(), 0);
    close_world();
}
END_TEST

START_TEST(a_passing_fault_leaves_no_record)
{
    open_world();
    struct wire_command command = charge_of(uuid_v7(), "{\"account\":\"slow-bank\",\"amount\":500}");
    ck_assert_str_eq(ask(&command).outcome, "retry");
    ck_assert_int_eq(inbox_rows(), 0);
    command.about.attempt = 2;
    ck_assert_str_eq(ask(&command).outcome, "retry");
    command.about.attempt = 3;
    ck_assert_str_eq(ask(&command).outcome, "succeeded");
    ck_assert_int_eq(charges(), 1);
    close_world();
}
END_TEST

START_TEST(a_higher_round_reopens_only_a_refusal)
{
    static const struct pg_statement unblock = {"unblock", "UPDATE account SET blocked = false WHERE id = 'mallory'"};
    open_world();
    struct wire_command command = charge_of(uuid_v7(), "{\"account\":\"mallory\",\"amount\":500}");
    ck_assert_str_eq(ask(&command).outcome, "failed");
    OK(pg_call(pg, &unblock, NULL, NULL, &err));
    ck_assert_str_eq(ask(&command).outcome, "failed"); /* the record stands */
    command.about.round = 2;
    ck_assert_str_eq(ask(&command).outcome, "succeeded");
    command.about.round = 1;
    ck_assert_str_eq(ask(&command).outcome, "succeeded"); /* answered from the record */
    command.about.round = 3;
    ck_assert_str_eq(ask(&command).outcome, "succeeded");
    ck_assert_int_eq(charges(), 1);
    close_world();
}
END_TEST

START_TEST(a_refusal_by_the_database_is_an_answer_and_spoils_nothing_else)
{
    static const struct pg_statement trap = {
        "trap", "ALTER TABLE charge ADD CONSTRAINT no_sevens CHECK (amount <> 777)"};
    open_world();
    OK(pg_call(pg, &trap, NULL, NULL, &err));
    struct wire_command commands[6];
    for (int i = 0; i < 6; i++) {
        commands[i] = charge_of(uuid_v7(), i % 2 ? "{\"account\":\"alice\",\"amount\":777}" : good);
        send_command(&commands[i]);
    }
    int failed = 0;
    for (int i = 0; i < 6; i++) {
        struct wire_reply reply = next_reply();
        failed += strcmp(reply.outcome, "failed") == 0;
    }
    ck_assert_int_eq(failed, 3);
    ck_assert_int_eq(charges(), 3);
    ck_assert_int_eq(spent(), 1500);
    close_world();
}
END_TEST

START_TEST(a_malformed_command_goes_to_the_dead_letters)
{
    char topic[WIRE_TOPIC_MAX], dead[WIRE_TOPIC_MAX];
    open_world();
    struct wire_message junk = {.topic = wire_command_topic(name, "payment", topic), .value = "\xff{", .value_len = 2};
    kafka_send(producer, &junk, NULL);
    struct wire_command command = charge_of(uuid_v7(), good);
    ck_assert_str_eq(ask(&command).outcome, "succeeded");
    const char *topics[] = {wire_topic(name, "dead", dead)};
    struct kafka_consumer_config config = {servers_kafka_brokers(), "test", dead, NULL, topics, 1, 0};
    struct kafka_consumer *consumer = kafka_consumer_new(&config, &err);
    struct kafka_record *record;
    size_t n = 0;
    int64_t deadline = clock_mono_ms() + 20000;
    while (!n && clock_mono_ms() < deadline)
        OK(kafka_receive(consumer, &record, 1, 100, &n, &err));
    ck_assert_uint_eq(n, 1);
    kafka_record_free(record);
    kafka_consumer_free(consumer);
    close_world();
}
END_TEST

START_TEST(a_kill_at_any_moment_doubles_nothing)
{
    static const char *const faults[] = {"worker.before_commit=kill", "worker.after_commit=kill", "worker.before_offsets=kill",
                                         "relay.claimed=kill@2", "relay.acknowledged=kill@2"};
    enum { N = 5 };
    open_world();
    for (size_t f = 0; f < sizeof faults / sizeof faults[0]; f++) {
        ck_assert_int_eq(process_stop(worker, 10), 0);
        start_worker(faults[f]);
        struct wire_command commands[N];
        for (int i = 0; i < N; i++) {
            commands[i] = charge_of(uuid_v7(), good);
            send_command(&commands[i]);
        }
        kafka_push(producer, 100);
        int status = process_await(worker, 30);
        ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        start_worker(NULL);
        bool answered[N] = {false};
        for (int left = N; left;) { /* at least once each; a kill after the broker's word may double a reply, not an effect */
            struct wire_reply reply = next_reply();
            ck_assert_str_eq(reply.outcome, "succeeded");
            for (int i = 0; i < N; i++) {
                if (uuid_equal(&reply.about.saga_id, &commands[i].about.saga_id) && !answered[i]) {
                    answered[i] = true;
                    left--;
                }
            }
        }
        ck_assert_int_eq(charges(), (int64_t)(f + 1) * N);
        ck_assert_int_eq(spent(), (int64_t)(f + 1) * N * 500);
    }
    close_world();
}
END_TEST

static struct wire_command charge_about(const char *value, const char *clock)
{
    struct wire_command command = charge_of(uuid_v7(), value);
    command.clock = clock;
    return command;
}

START_TEST(each_effect_counts_up_the_clock_of_its_entities)
{
    open_world();
    struct wire_command first = charge_about(good, "{\"a\":{},\"b\":{\"inventory\":7}}"), second = charge_about(good, "{\"b\":{}}");
    struct wire_reply one = ask(&first), two = ask(&second);
    ck_assert_str_eq(one.clock, "{\"a\":{\"payment\":1},\"b\":{\"payment\":1}}");
    ck_assert_str_eq(two.clock, "{\"b\":{\"payment\":2}}");
    struct wire_command plain = charge_of(uuid_v7(), good);
    ck_assert_ptr_null(ask(&plain).clock);
    struct wire_command refund = refund_of(first.about.saga_id, one.output);
    refund.clock = first.clock;
    ck_assert_str_eq(ask(&refund).clock, "{\"a\":{\"payment\":2},\"b\":{\"payment\":3}}");
    close_world();
}
END_TEST

START_TEST(a_repeat_and_a_probe_are_answered_with_the_clock_of_the_effect)
{
    open_world();
    struct wire_command command = charge_about(good, "{\"a\":{}}"), other = charge_about(good, "{\"a\":{}}");
    const char *first = ask(&command).clock;
    ck_assert_str_eq(ask(&other).clock, "{\"a\":{\"payment\":2}}");
    command.about.attempt = 2;
    ck_assert_str_eq(ask(&command).clock, first);
    for (int i = 0; i < 3; i++)
        send_command(&command); /* in one batch */
    for (int i = 0; i < 3; i++)
        ck_assert_str_eq(next_reply().clock, first);
    struct wire_command probe = probe_of(&command, 1, 3);
    ck_assert_str_eq(ask(&probe).clock, first);
    close_world();
}
END_TEST

START_TEST(what_changed_nothing_counts_nothing_up)
{
    static const struct pg_statement counters = {"counters", "SELECT count(*) FROM entity_clock"};
    open_world();
    struct wire_command refused = charge_about("{\"account\":\"mallory\",\"amount\":500}", "{\"a\":{}}");
    struct wire_command busy = charge_about("{\"account\":\"slow-bank\",\"amount\":500}", "{\"a\":{}}");
    ck_assert_str_eq(ask(&refused).outcome, "failed");
    ck_assert_str_eq(ask(&busy).outcome, "retry");
    struct wire_command refund = refund_of(uuid_v7(), "null");
    refund.clock = "{\"a\":{}}";
    struct wire_reply reply = ask(&refund); /* of what never was */
    ck_assert_str_eq(reply.outcome, "succeeded");
    ck_assert_ptr_null(reply.clock);
    ck_assert_int_eq(query_number(pg, &counters), 0);
    close_world();
}
END_TEST

START_TEST(effects_of_one_batch_have_a_number_each)
{
    enum { N = 20 };
    struct wire_command commands[N];
    bool seen[N + 1] = {false};
    open_world();
    for (int i = 0; i < N; i++) {
        commands[i] = charge_about(good, "{\"a\":{}}");
        send_command(&commands[i]);
    }
    for (int i = 0; i < N; i++) {
        struct wire_reply reply = next_reply();
        json_t *clock = vclock_read(reply.clock, strlen(reply.clock), &err);
        int64_t tick = vclock_get(clock, "a", "payment");
        ck_assert(tick >= 1 && tick <= N && !seen[tick]);
        seen[tick] = true;
        json_decref(clock);
    }
    close_world();
}
END_TEST

/* The heartbeats do not depend on what becomes of the command; one may be sent after its verdict. */
static void check_slow(const char *value, const char *outcome)
{
    struct wire_command command = charge_of(uuid_v7(), value);
    command.action = "crawl";
    command.clock = "{\"a\":{}}";
    send_command(&command);
    int beats = 0, verdicts = 0;
    for (int i = 0; i < 5; i++) {
        struct wire_reply reply = next_reply();
        bool beat = strcmp(reply.outcome, "accepted") == 0;
        beats += beat;
        verdicts += strcmp(reply.outcome, outcome) == 0;
        ck_assert_int_eq(reply.about.attempt, 1);
        ck_assert(!beat || !reply.clock);
    }
    ck_assert_int_eq(beats, 4);
    ck_assert_int_eq(verdicts, 1);
}

START_TEST(a_handler_that_takes_long_says_so)
{
    open_world_of("slow-worker", "slow");
    check_slow("{}", "succeeded");
    check_slow("{\"fails\":true}", "failed");
    close_world();
}
END_TEST

static const TTest **const tests[] = {
    &a_repeated_command_takes_effect_once_and_is_answered_alike,
    &a_probe_is_answered_from_the_record_and_never_recorded,
    &a_probe_beside_its_action_sees_what_became_of_it,
    &a_compensation_that_comes_first_fences_the_action,
    &a_compensation_fences_what_was_refused_against_later_rounds,
    &refusals_have_reasons_and_are_recorded,
    &a_passing_fault_leaves_no_record,
    &a_higher_round_reopens_only_a_refusal,
    &a_refusal_by_the_database_is_an_answer_and_spoils_nothing_else,
    &each_effect_counts_up_the_clock_of_its_entities,
    &a_repeat_and_a_probe_are_answered_with_the_clock_of_the_effect,
    &what_changed_nothing_counts_nothing_up,
    &effects_of_one_batch_have_a_number_each,
    &a_handler_that_takes_long_says_so,
    &a_malformed_command_goes_to_the_dead_letters,
    &a_kill_at_any_moment_doubles_nothing,
    NULL,
};
static const struct suite_case cases[] = {{"worker", tests, 120}};
SUITE_MAIN("worker", cases)
