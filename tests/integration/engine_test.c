/* The engine on the real servers, against a participant made of a few lines: starts, replies, timers, compensation. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/json.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "kafka/kafka.h"
#include "participant.h"
#include "servers.h"
#include "store/store.h"
#include "parts.h"
#include "suite.h"

#define OK(call) ck_assert_msg((call), "%s: %s", #call, err.text)

static struct err err;
static struct pg *pg;
static struct arena arena;
static char *name; /* schema and topic prefix */
static struct engine *engine;

/* ---- a participant: one service, answers as the command's input says ---- */

static struct participant *participant;
static pthread_mutex_t seen_lock = PTHREAD_MUTEX_INITIALIZER;
static char seen[4096]; /* "a1 b1 A1" */
static char traces[4096]; /* the traceparents, in the same order */

static void note_seen(char letter, int attempt, const char *traceparent)
{
    pthread_mutex_lock(&seen_lock);
    size_t len = strlen(seen);
    snprintf(traces + strlen(traces), sizeof traces - strlen(traces), "%s ", traceparent);
    snprintf(seen + len, sizeof seen - len, "%s%c%d", len ? " " : "", letter, attempt);
    pthread_mutex_unlock(&seen_lock);
}

static void copy_seen(char *out, size_t size, bool clear)
{
    pthread_mutex_lock(&seen_lock);
    snprintf(out, size, "%s", seen);
    if (clear)
        seen[0] = traces[0] = '\0';
    pthread_mutex_unlock(&seen_lock);
}

/* The step's input is a list of answers, one an attempt; compensations always succeed. */
static void answer(struct participant *self, const struct wire_command *command)
{
    struct err fault;
    json_t *input = json_read(command->value, command->value_len, &fault);
    size_t last = json_array_size(input) ? json_array_size(input) - 1 : 0;
    size_t at = (size_t)command->about.attempt - 1 < last ? (size_t)command->about.attempt - 1 : last;
    const char *word = json_string_value(json_array_get(input, at));
    bool compensation = strcmp(command->about.kind, "compensation") == 0;
    if (compensation || !word || strcmp(word, "ok") == 0)
        participant_reply(self, command, "{\"outcome\":\"succeeded\",\"output\":{\"id\":7}}");
    else if (strcmp(word, "no") == 0)
        participant_reply(self, command, "{\"outcome\":\"failed\",\"error\":{\"code\":\"no\"}}");
    else if (strcmp(word, "busy") == 0)
        participant_reply(self, command, "{\"outcome\":\"retry\",\"retry_after\":\"20ms\"}");
    else if (strcmp(word, "twice") == 0) {
        participant_reply(self, command, "{\"outcome\":\"succeeded\",\"output\":{\"id\":7}}");
        participant_reply(self, command, "{\"outcome\":\"succeeded\",\"output\":{\"id\":8}}");
    } /* else "silent" */
    json_decref(input);
    note_seen((char)(compensation ? command->about.step[0] - 32 : command->about.step[0]), command->about.attempt,
              command->traceparent);
}

/* ---- the world ---- */

static const char *const definition =
    "{\"name\":\"d\",\"steps\":["
    "{\"name\":\"a\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\",\"input\":\"${input.a}\",\"timeout\":\"300ms\","
    "\"retry\":{\"max_attempts\":3,\"initial\":\"20ms\"}},"
    "{\"name\":\"b\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\",\"input\":\"${input.b}\",\"timeout\":\"10s\"},"
    "{\"name\":\"c\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\",\"input\":\"${input.c}\",\"timeout\":\"10s\"}]}";

static int64_t retention_ms;

static void start_engine_with(bool relay)
{
    struct engine_config config = {.database_url = servers_database_url(), .schema = name, .brokers = servers_kafka_brokers(),
                                   .prefix = name, .partitions = 4, .with_engine = true, .with_relay = relay, .retention_ms = retention_ms};
    engine = engine_start(&config, &err);
    OK(engine != NULL);
}

static void start_engine(void)
{
    start_engine_with(true);
}

static void await_count(atomic_int *count, int n)
{
    int64_t deadline = clock_mono_ms() + 30000;
    while (atomic_load(count) < n && clock_mono_ms() < deadline)
        usleep(2000);
    ck_assert_int_eq(atomic_load(count), n);
}

static void await_ready(void)
{
    struct engine_health health = {0};
    int64_t deadline = clock_mono_ms() + 20000;
    while (clock_mono_ms() < deadline && !health.ready) {
        usleep(10000);
        engine_health(engine, &health);
    }
    ck_assert(health.database && health.consuming && health.relaying && health.ready);
}

static void put_definition(const char *text)
{
    struct problems problems = {0};
    int version;
    bool created;
    json_t *source = json_read(text, strlen(text), &err);
    struct definition *d = definition_read(source, &problems);
    ck_assert_msg(d != NULL, "%s %s", problems.items[0].pointer, problems.items[0].detail);
    OK(store_put_definition(pg, d, &version, &created, &err));
    definition_free(d);
    json_decref(source);
}

static void open_world(void)
{
    int applied;
    const char *services[] = {"s"};
    name = servers_unique_name();
    pg = pg_new(servers_database_url(), name, "engine_test", PG_HOT);
    OK(store_migrate(pg, &applied, &err));
    put_definition(definition);
    participant = participant_start(name, services, 1, answer);
    start_engine();
    await_ready();
}

static void close_world(void)
{
    engine_stop(engine);
    engine_free(engine);
    participant_stop(participant);
    pg_free(pg);
    arena_free(&arena);
    free(name);
}

static atomic_int answered;

static void on_start(struct start *start)
{
    (void)start;
    atomic_fetch_add(&answered, 1);
}

static struct start submit_traced(const char *definition_name, const char *input, const char *key, const char *traceparent)
{
    struct start start = {.definition = definition_name, .input = input, .input_len = strlen(input),
                          .idempotency_key = key, .traceparent = traceparent, .done = on_start};
    atomic_store(&answered, 0);
    ck_assert_int_eq(engine_submit(engine, &start), SUBMIT_TAKEN);
    await_count(&answered, 1);
    return start;
}

static struct start submit(const char *definition_name, const char *input, const char *key)
{
    return submit_traced(definition_name, input, key, NULL);
}

static atomic_int watched;

static void on_watch(struct watch *watch, const struct saga *saga)
{
    (void)saga;
    (void)watch;
    atomic_fetch_add(&watched, 1);
}

static struct store_saga_view await_end(const struct uuid *id)
{
    struct watch watch = {.id = *id, .deadline_ms = clock_mono_ms() + 20000, .done = on_watch};
    struct store_saga_view view;
    bool found;
    atomic_store(&watched, 0);
    engine_watch(engine, &watch);
    await_count(&watched, 1);
    OK(store_get_saga(pg, &arena, id, &view, &found, &err));
    ck_assert(found);
    return view;
}

static void check_saga(const char *input, const char *expected_state, const char *expected_commands)
{
    char commands[sizeof seen];
    copy_seen(commands, sizeof commands, true);
    struct start start = submit("d", input, NULL);
    ck_assert_int_eq(start.result, START_CREATED);
    struct store_saga_view view = await_end(&start.id);
    copy_seen(commands, sizeof commands, false);
    ck_assert_msg(strcmp(view.state, expected_state) == 0, "%s: %s after %s", input, view.state, commands);
    ck_assert_msg(strcmp(commands, expected_commands) == 0, "%s: %s", input, commands);
}

START_TEST(sagas_run_to_their_end)
{
    open_world();
    struct start first = submit("d", "{\"a\":[\"ok\"],\"b\":[\"ok\"],\"c\":[\"ok\"]}", NULL);
    await_end(&first.id); /* either way: a new broker's first answers may take longer than this definition's timeouts */
    check_saga("{\"a\":[\"ok\"],\"b\":[\"ok\"],\"c\":[\"ok\"]}", "COMPLETED", "a1 b1 c1");
    check_saga("{\"a\":[\"no\"],\"b\":[\"ok\"],\"c\":[\"ok\"]}", "COMPENSATED", "a1");
    check_saga("{\"a\":[\"ok\"],\"b\":[\"ok\"],\"c\":[\"no\"]}", "COMPENSATED", "a1 b1 c1 B1 A1");
    check_saga("{\"a\":[\"busy\",\"busy\",\"ok\"],\"b\":[\"ok\"],\"c\":[\"ok\"]}", "COMPLETED", "a1 a2 a3 b1 c1");
    check_saga("{\"a\":[\"silent\",\"ok\"],\"b\":[\"ok\"],\"c\":[\"ok\"]}", "COMPLETED", "a1 a2 b1 c1");
    check_saga("{\"a\":[\"silent\"],\"b\":[\"ok\"],\"c\":[\"ok\"]}", "COMPENSATED", "a1 a2 a3 A1");
    check_saga("{\"a\":[\"twice\"],\"b\":[\"twice\"],\"c\":[\"ok\"]}", "COMPLETED", "a1 b1 c1");
    check_saga("{\"a\":[\"ok\"],\"c\":[\"ok\"]}", "COMPENSATED", "a1 A1"); /* b's input leads nowhere */
    close_world();
}
END_TEST

START_TEST(keys_and_definitions_are_answered)
{
    open_world();
    const char *input = "{\"a\":[\"ok\"],\"b\":[\"ok\"],\"c\":[\"ok\"]}";
    struct start first = submit("d", input, "k1");
    ck_assert_int_eq(first.result, START_CREATED);
    struct start again = submit("d", "{\"b\":[\"ok\"],\"a\":[\"ok\"],\"c\":[\"ok\"]}", "k1");
    ck_assert_int_eq(again.result, START_EXISTS);
    ck_assert(uuid_equal(&first.id, &again.id));
    struct start other = submit("d", "{}", "k1");
    ck_assert_int_eq(other.result, START_CONFLICT);
    struct start missing = submit("nothing", "{}", NULL);
    ck_assert_int_eq(missing.result, START_NO_DEFINITION);
    struct start twins[40];
    atomic_store(&answered, 0);
    for (int i = 0; i < 40; i++) {
        twins[i] = (struct start){.definition = "d", .input = input, .input_len = strlen(input), .idempotency_key = "k2",
                                  .done = on_start};
        ck_assert_int_eq(engine_submit(engine, &twins[i]), SUBMIT_TAKEN);
    }
    await_count(&answered, 40);
    int created = 0;
    for (int i = 0; i < 40; i++) {
        created += twins[i].result == START_CREATED;
        ck_assert(uuid_equal(&twins[i].id, &twins[0].id));
    }
    ck_assert_int_eq(created, 1);
    close_world();
}
END_TEST

START_TEST(a_saga_that_ended_long_ago_is_let_go)
{
    static const char input[] = "{\"a\":[\"ok\"],\"b\":[\"ok\"],\"c\":[\"ok\"]}";
    struct engine_health health = {0};
    retention_ms = 500;
    open_world();
    struct start first = submit("d", input, "once");
    ck_assert_str_eq(await_end(&first.id).state, "COMPLETED");
    for (int64_t deadline = clock_mono_ms() + 20000; health.purged == 0; usleep(5000)) {
        ck_assert_int_lt(clock_mono_ms(), deadline);
        engine_health(engine, &health);
    }
    struct store_saga_view view;
    bool found;
    OK(store_get_saga(pg, &arena, &first.id, &view, &found, &err));
    ck_assert(!found);
    ck_assert_uint_eq(health.purged, 1);
    struct start second = submit("d", input, "once"); /* its key is forgotten, too */
    ck_assert_int_eq(second.result, START_CREATED);
    close_world();
}
END_TEST

static void ignore_report(void *context, void *tag, const struct kafka_record *record, const struct err *fault)
{
    (void)context, (void)tag, (void)record, (void)fault;
}

static void send_raw(const char *value, size_t len, const char *saga_id, const char *step)
{
    char topic[WIRE_TOPIC_MAX];
    struct kafka_producer *producer = kafka_producer_new(servers_kafka_brokers(), "raw", ignore_report, NULL, &err);
    const char *headers[][2] = {{"ce_type", "saga.reply"}, {"saga-protocol", "1"}, {"saga-namespace", "default"},
                                {"saga-id", saga_id}, {"saga-step", step}, {"saga-kind", "action"},
                                {"saga-round", "1"}, {"saga-attempt", "1"}};
    struct wire_message message = {.topic = wire_topic(name, "reply", topic), .value = value, .value_len = len};
    for (size_t i = 0; i < 8 && saga_id; i++)
        message.headers[message.headers_n++] = (struct wire_header){headers[i][0], headers[i][1], strlen(headers[i][1])};
    kafka_send(producer, &message, NULL);
    kafka_push(producer, 10000);
    ck_assert_int_eq((int)kafka_open(producer), 0);
    kafka_producer_free(producer);
}

/* Submits for a while until the engine says `wanted`; the starts that it takes meanwhile may be answered later. */
static bool submit_until(enum submit_result wanted, int64_t for_ms)
{
    static struct start starts[20000];
    static size_t used;
    int64_t deadline = clock_mono_ms() + for_ms;
    while (used < sizeof starts / sizeof starts[0] && clock_mono_ms() < deadline) {
        struct start *start = &starts[used++];
        *start = (struct start){.definition = "nobody-has-this", .input = "{}", .input_len = 2, .done = on_start};
        if (engine_submit(engine, start) == wanted)
            return true;
        usleep(5000);
    }
    return false;
}

/* Nobody writes dead letters from here on until the end of the transaction. */
static void hold_outbox(void)
{
    static const struct pg_statement lock = {"lock", "LOCK TABLE outbox IN SHARE MODE"};
    OK(pg_call(pg, &PG_BEGIN, NULL, NULL, &err));
    OK(pg_call(pg, &lock, NULL, NULL, &err));
}

START_TEST(starts_wait_while_replies_do)
{
    enum { N = 20000 };
    char topic[WIRE_TOPIC_MAX];
    log_init("engine_test", LOG_ERROR, false); /* a line for each of them helps nobody */
    open_world();
    struct kafka_producer *producer = kafka_producer_new(servers_kafka_brokers(), "raw", ignore_report, NULL, &err);
    struct wire_message junk = {.topic = wire_topic(name, "reply", topic), .value = "junk", .value_len = 4};
    hold_outbox();
    for (int i = 0; i < N; i++)
        kafka_send(producer, &junk, NULL);
    kafka_push(producer, 20000);
    ck_assert_int_eq((int)kafka_open(producer), 0);
    kafka_producer_free(producer);
    bool busy = false;
    for (int tries = 0; tries < 10 && !busy; tries++) { /* the batch in hand may be a small one; then the next is not */
        busy = submit_until(SUBMIT_BUSY, 2000);
        OK(pg_call(pg, &PG_COMMIT, NULL, NULL, &err));
        if (!busy)
            hold_outbox();
    }
    ck_assert(busy);
    ck_assert(submit_until(SUBMIT_TAKEN, 30000));
    close_world();
}
END_TEST

START_TEST(bad_replies_go_to_the_dead_letters_and_the_rest_goes_on)
{
    open_world();
    const char *good = "{\"outcome\":\"succeeded\",\"output\":1}";
    struct start start = submit("d", "{\"a\":[\"ok\"],\"b\":[\"ok\"],\"c\":[\"ok\"]}", NULL);
    char id[UUID_TEXT_MAX];
    uuid_format(&start.id, id);
    send_raw("not json\0\xff", 10, NULL, NULL);
    send_raw("{", 1, id, "a");
    send_raw(good, strlen(good), id, "nothing");
    send_raw(good, strlen(good), "0197c0de-0000-7000-8000-00000000000a", "a");
    struct engine_health health = {0};
    int64_t deadline = clock_mono_ms() + 20000;
    while (health.dead_letters < 4 && clock_mono_ms() < deadline) {
        usleep(10000);
        engine_health(engine, &health);
    }
    ck_assert_uint_eq(health.dead_letters, 4);
    struct store_saga_view view = await_end(&start.id);
    ck_assert_str_eq(view.state, "COMPLETED");
    char topic[WIRE_TOPIC_MAX];
    const char *topics[] = {wire_topic(name, "dead", topic)};
    struct kafka_consumer_config config = {servers_kafka_brokers(), "test", "dead", NULL, topics, 1, 0};
    struct kafka_consumer *consumer = kafka_consumer_new(&config, &err);
    int got = 0;
    while (got < 4 && clock_mono_ms() < deadline) {
        struct kafka_record *record;
        size_t n;
        OK(kafka_receive(consumer, &record, 1, 100, &n, &err));
        if (!n)
            continue;
        struct wire_message message;
        kafka_record_message(record, &message);
        ck_assert_ptr_nonnull(wire_header(&arena, &message, "saga-dead-reason"));
        kafka_record_free(record);
        got++;
    }
    ck_assert_int_eq(got, 4);
    kafka_consumer_free(consumer);
    close_world();
}
END_TEST

/* To the orchestrator, into the partition of `key`: a parent's command with `action`, or a reply when that is NULL. */
static void send_keyed(struct kafka_producer *to, const struct uuid *key, const struct uuid *saga_id, const char *step, const char *action,
                       const char *value)
{
    char topic[WIRE_TOPIC_MAX], saga[UUID_TEXT_MAX], partition[UUID_TEXT_MAX], command[UUID_TEXT_MAX];
    struct uuid id = uuid_v7();
    const char *headers[][2] = {{"ce_type", action ? "saga.command" : "saga.reply"}, {"ce_id", uuid_format(&id, command)},
                                {"saga-protocol", WIRE_PROTOCOL}, {"saga-namespace", "default"}, {"saga-id", uuid_format(saga_id, saga)},
                                {"saga-step", step}, {"saga-kind", action && strcmp(action, "undo") == 0 ? "compensation" : "action"},
                                {"saga-action", action ? action : ""}, {"saga-round", "1"}, {"saga-attempt", "1"}};
    uuid_format(key, partition);
    struct wire_message message = {.topic = wire_topic(name, "reply", topic), .key = partition, .key_len = strlen(partition),
                                   .value = value, .value_len = strlen(value)};
    for (size_t i = 0; i < sizeof headers / sizeof headers[0]; i++)
        message.headers[message.headers_n++] = (struct wire_header){headers[i][0], headers[i][1], strlen(headers[i][1])};
    kafka_send(to, &message, NULL);
}

/* As a parent would send it; the parent itself is not there. */
static void send_order(struct kafka_producer *to, const struct uuid *parent, const char *action, const char *value)
{
    send_keyed(to, parent, parent, "s", action, value);
}

/* What a child is told in one batch, in an order that no parent would choose, stops nobody. */
START_TEST(a_child_is_made_before_whatever_else_is_there_for_it)
{
    static const char order[] = "{\"definition\":\"d\",\"version\":1,\"input\":{\"a\":[\"silent\",\"ok\"],\"b\":[\"ok\"],\"c\":[\"ok\"]}}";
    open_world();
    struct uuid parent = uuid_v7(), other = uuid_v7(), child = child_id(&parent, "s", 1), undone = child_id(&other, "s", 1);
    char undo[1000];
    engine_stop(engine);
    engine_free(engine);
    struct kafka_producer *raw = kafka_producer_new(servers_kafka_brokers(), "raw", ignore_report, NULL, &err);
    send_keyed(raw, &parent, &child, "a", NULL, "{\"outcome\":\"succeeded\",\"output\":1}"); /* before anybody asked */
    send_order(raw, &parent, "start", order);
    snprintf(undo, sizeof undo, "{\"input\":%s,\"output\":null}", order);
    send_order(raw, &other, "undo", undo);
    send_order(raw, &other, "start", order); /* comes late */
    send_order(raw, &other, "start", "{\"definition\":\"none\",\"version\":1,\"input\":{}}");
    send_order(raw, &other, "dance", order);
    kafka_push(raw, 1000);
    start_engine();
    await_ready();
    struct engine_health health = {0};
    for (int64_t deadline = clock_mono_ms() + 20000; health.replies < 6 && clock_mono_ms() < deadline; usleep(5000))
        engine_health(engine, &health);
    ck_assert_str_eq(await_end(&child).state, "COMPLETED");
    struct store_saga_view view = await_end(&undone);
    ck_assert_str_eq(view.state, "COMPENSATED");
    ck_assert_str_eq(view.parent_step, "s");
    kafka_producer_free(raw);
    close_world();
}
END_TEST

START_TEST(a_stopped_engine_goes_on_where_it_was)
{
    enum { N = 100 };
    open_world();
    struct start starts[N];
    const char *input = "{\"a\":[\"busy\",\"ok\"],\"b\":[\"ok\"],\"c\":[\"no\"]}";
    atomic_store(&answered, 0);
    for (int i = 0; i < N; i++) {
        starts[i] = (struct start){.definition = "d", .input = input, .input_len = strlen(input), .done = on_start};
        ck_assert_int_eq(engine_submit(engine, &starts[i]), SUBMIT_TAKEN);
    }
    await_count(&answered, N);
    for (int i = 0; i < 3; i++) {
        engine_stop(engine);
        engine_free(engine);
        start_engine();
    }
    await_ready();
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(starts[i].result, START_CREATED);
        struct store_saga_view view = await_end(&starts[i].id);
        ck_assert_str_eq(view.state, "COMPENSATED");
    }
    close_world();
}
END_TEST

/* The service's topic is not there, so its command cannot leave; the deadline passes; nothing was ever sent. */
START_TEST(a_saga_whose_command_cannot_leave_turns_at_its_deadline)
{
    static const char *const text =
        "{\"name\":\"lost\",\"timeout\":\"1s\",\"steps\":[{\"name\":\"a\",\"service\":\"nowhere\",\"action\":\"do\","
        "\"compensation\":\"undo\",\"timeout\":\"1s\",\"retry\":{\"max_attempts\":9}}]}";
    open_world();
    put_definition(text);
    struct start start = submit("lost", "{}", NULL);
    ck_assert_int_eq(start.result, START_CREATED);
    struct store_saga_view view = await_end(&start.id);
    ck_assert_str_eq(view.state, "COMPENSATED");
    struct store_step_row step;
    OK(store_get_steps(pg, &arena, &start.id, &step, 1, &err));
    ck_assert_str_eq(step.state, "FAILED");
    ck_assert_ptr_nonnull(strstr(step.error, "withdrawn"));
    close_world();
}
END_TEST

static void on_act(struct act *act)
{
    ck_assert_int_eq(act->result, ACT_APPLIED);
}

START_TEST(a_cancel_takes_back_what_has_not_left_without_waiting_for_its_timeout)
{
    static const char *const text =
        "{\"name\":\"lost\",\"steps\":[{\"name\":\"a\",\"service\":\"nowhere\",\"action\":\"do\",\"compensation\":\"undo\",\"timeout\":\"1h\"}]}";
    open_world();
    put_definition(text);
    engine_stop(engine);
    start_engine_with(false); /* a relay that is away */
    struct start start = submit("lost", "{}", NULL);
    struct act act = {.saga_id = start.id, .type = EVENT_CANCEL, .done = on_act};
    ck_assert(engine_act(engine, &act));
    ck_assert_str_eq(await_end(&start.id).state, "COMPENSATED");
    struct store_step_row step;
    OK(store_get_steps(pg, &arena, &start.id, &step, 1, &err));
    ck_assert_ptr_nonnull(strstr(step.error, "withdrawn"));
    close_world();
}
END_TEST

/* Two copies of the engine get the same keys at the same time: each key has one saga, and both say which. */
START_TEST(two_copies_agree_on_every_key)
{
    enum { N = 300 };
    static struct start starts[2][N];
    static char keys[N][16];
    const char *input = "{\"a\":[\"ok\"],\"b\":[\"ok\"],\"c\":[\"ok\"],\"filling\":\"so that what follows in memory differs\"}";
    open_world();
    struct engine *first = engine;
    start_engine();
    await_ready(); /* while partitions change hands the steps' short timeouts would pass */
    struct engine *copies[2] = {first, engine};
    atomic_store(&answered, 0);
    for (int i = 0; i < N; i++) {
        snprintf(keys[i], sizeof keys[i], "key-%d", i);
        for (int copy = 0; copy < 2; copy++) {
            starts[copy][i] = (struct start){.definition = "d", .input = input, .input_len = strlen(input),
                                             .idempotency_key = keys[i], .done = on_start};
            ck_assert_int_eq(engine_submit(copies[copy], &starts[copy][i]), SUBMIT_TAKEN);
        }
    }
    await_count(&answered, 2 * N);
    for (int i = 0; i < N; i++) {
        int created = (starts[0][i].result == START_CREATED) + (starts[1][i].result == START_CREATED);
        int existing = (starts[0][i].result == START_EXISTS) + (starts[1][i].result == START_EXISTS);
        ck_assert_msg(created == 1 && existing == 1, "key %d: results %d and %d", i, starts[0][i].result, starts[1][i].result);
        ck_assert(uuid_equal(&starts[0][i].id, &starts[1][i].id));
    }
    for (int i = 0; i < N; i++)
        ck_assert_str_eq(await_end(&starts[0][i].id).state, "COMPLETED");
    engine_stop(first);
    engine_free(first);
    close_world();
}
END_TEST

START_TEST(one_trace_goes_through_all_commands)
{
    open_world();
    enum { N = 6 };
    char commands[sizeof seen], spans[N][17];
    const char *parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    copy_seen(commands, sizeof commands, true);
    struct start start =
        submit_traced("d", "{\"a\":[\"busy\",\"ok\"],\"b\":[\"ok\"],\"c\":[\"no\"]}", NULL, parent);
    struct store_saga_view view = await_end(&start.id);
    ck_assert_str_eq(view.traceparent, parent);
    copy_seen(commands, sizeof commands, false);
    ck_assert_str_eq(commands, "a1 a2 b1 c1 B1 A1");
    const char *at = traces;
    for (int i = 0; i < N; i++, at += 56) {
        ck_assert(strncmp(at, parent, 35) == 0 && strncmp(at + 52, "-01 ", 4) == 0);
        snprintf(spans[i], sizeof spans[i], "%.16s", at + 36);
        for (int k = 0; k < i; k++)
            ck_assert_str_ne(spans[i], spans[k]);
    }
    close_world();
}
END_TEST

START_TEST(branches_run_beside_each_other)
{
    char commands[sizeof seen];
    open_world();
    put_definition("{\"name\":\"g\",\"steps\":["
                   "{\"name\":\"d\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\",\"input\":\"${input.d}\",\"after\":[\"b\",\"c\"]},"
                   "{\"name\":\"a\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\",\"input\":[\"ok\"],\"after\":[]},"
                   "{\"name\":\"b\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\",\"input\":[\"ok\"],\"after\":[\"a\"]},"
                   "{\"name\":\"c\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\",\"input\":[\"ok\"],\"after\":[\"a\"]}]}");
    copy_seen(commands, sizeof commands, true);
    struct start start = submit("g", "{\"d\":[\"ok\"]}", NULL);
    ck_assert_str_eq(await_end(&start.id).state, "COMPLETED");
    copy_seen(commands, sizeof commands, true);
    ck_assert_str_eq(commands, "a1 b1 c1 d1");
    start = submit("g", "{\"d\":[\"no\"]}", NULL);
    ck_assert_str_eq(await_end(&start.id).state, "COMPENSATED");
    copy_seen(commands, sizeof commands, false);
    ck_assert_str_eq(commands, "a1 b1 c1 d1 C1 B1 A1"); /* both branches before what came before them */
    close_world();
}
END_TEST

/* As another orchestrator would, a second between the events. */
static void apply_elsewhere(const struct uuid *id, const struct event *events, size_t events_n)
{
    struct catalog *catalog = catalog_new();
    struct saga *saga;
    size_t n;
    OK(store_load(pg, &arena, catalog, id, 1, &saga, &n, &err));
    ck_assert_uint_eq(n, 1);
    struct effects effects = {.arena = &arena, .new_id = uuid_v7};
    for (size_t i = 0; i < events_n; i++)
        machine_apply(saga, &events[i], clock_real_ms() + (int64_t)i * 1000, &effects);
    struct store_change change = {.saga = saga, .history = effects.history};
    OK(store_save(pg, &change, 1, &(struct store_terms){0}, &err));
    saga_release(saga);
    catalog_free(catalog);
}

START_TEST(a_saga_that_somebody_else_changed_goes_on_from_there)
{
    open_world();
    char commands[sizeof seen];
    struct start first = submit("d", "{\"a\":[\"ok\"],\"b\":[\"ok\"],\"c\":[\"ok\"]}", NULL);
    await_end(&first.id); /* warm */
    copy_seen(commands, sizeof commands, true);
    struct start start = submit("d", "{\"a\":[\"silent\",\"ok\"],\"b\":[\"ok\"],\"c\":[\"ok\"]}", NULL);
    apply_elsewhere(&start.id, &(struct event){.type = EVENT_CANCEL}, 1); /* the engine remembers the saga as it was before */
    struct store_saga_view view = await_end(&start.id);
    copy_seen(commands, sizeof commands, false);
    ck_assert_str_eq(view.state, "COMPENSATED");
    ck_assert_str_eq(commands, "a1 A1");
    close_world();
}
END_TEST

static void await_revision(const struct uuid *id, int64_t revision)
{
    struct store_saga_view view = {0};
    bool found;
    int64_t deadline = clock_mono_ms() + 20000;
    while (view.revision < revision && clock_mono_ms() < deadline) {
        OK(store_get_saga(pg, &arena, id, &view, &found, &err));
        usleep(5000);
    }
    ck_assert_int_eq(view.revision, revision);
}

/* The second attempt of step b cannot be published. */
static void refuse_second(const struct uuid *id)
{
    struct wire_command command = {.id = uuid_v7(), .about = {"default", *id, "b", "action", 1, 2}, .action = "do", .source = "test",
                                   .value = "{}", .value_len = 2};
    struct wire_message message;
    struct err refusal;
    wire_command_message(&arena, &command, clock_real_ms(), &message);
    err_set(&refusal, ERR_REFUSED, "too large");
    relay_refused(engine, &message, &refusal);
}

START_TEST(a_report_goes_by_what_the_saga_is_now)
{
    static const struct event again[] = {{.type = EVENT_REPLY, .step = 1, .round = 1, .attempt = 1, .outcome = OUTCOME_RETRY,
                                          .retry_after_ms = 1}, {.type = EVENT_TIMER}};
    open_world();
    char commands[sizeof seen];
    copy_seen(commands, sizeof commands, true);
    struct start start = submit("d", "{\"a\":[\"ok\"],\"b\":[\"silent\"],\"c\":[\"ok\"]}", NULL);
    await_revision(&start.id, 3); /* started; b sent; the timer of a's 300 ms, which leaves 10 s for b */
    int64_t from_ms = clock_mono_ms();
    apply_elsewhere(&start.id, again, 2); /* b is at its second attempt, which the engine does not remember */
    refuse_second(&start.id);
    ck_assert_str_eq(await_end(&start.id).state, "COMPENSATED");
    copy_seen(commands, sizeof commands, false);
    ck_assert_str_eq(commands, "a1 b1 B1 A1");
    ck_assert_int_lt(clock_mono_ms() - from_ms, 8000); /* the report did it, not the attempt's 10 s */
    close_world();
}
END_TEST

static const TTest **const tests[] = {
    &a_saga_that_ended_long_ago_is_let_go,
    &a_cancel_takes_back_what_has_not_left_without_waiting_for_its_timeout,
    &two_copies_agree_on_every_key,
    &a_saga_whose_command_cannot_leave_turns_at_its_deadline,
    &sagas_run_to_their_end,
    &keys_and_definitions_are_answered,
    &bad_replies_go_to_the_dead_letters_and_the_rest_goes_on,
    &starts_wait_while_replies_do,
    &a_child_is_made_before_whatever_else_is_there_for_it,
    &a_stopped_engine_goes_on_where_it_was,
    &one_trace_goes_through_all_commands,
    &branches_run_beside_each_other,
    &a_saga_that_somebody_else_changed_goes_on_from_there,
    &a_report_goes_by_what_the_saga_is_now,
    NULL,
};
static const struct suite_case cases[] = {{"engine", tests, 120}};
SUITE_MAIN("engine", cases)
