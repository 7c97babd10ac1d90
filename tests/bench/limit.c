/* The limit of the machine: the least that three-step sagas cost, hard-wired and in the tightest batches. For each saga 16
 * row changes (insert 1 saga, 3 steps, 3 outbox rows; update each step once and the saga three times; delete 3 outbox rows)
 * and 6 messages, on the same PostgreSQL and Kafka as the product, with the same durability. No HTTP, no JSON, no definitions,
 * no history, no failures. These numbers are frozen: whatever the product writes, it is measured against them.
 *
 * Starter and engine commit, then hand the messages to the client library themselves; the relay deletes the outbox rows whose
 * messages the broker has acknowledged; the worker answers commands. Row identifiers come back from the insert, so the outbox
 * is never read. It recovers from nothing: any error ends the program. */
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/uuid.h"
#include "base/wake.h"
#include "samples.h"
#include "pg/pg.h"
#include "service/service.h"

#define STEPS 3
#define BATCH_MAX 1000
#define PARTITIONS 4
#define POLL_MS 20
#define PAYLOAD "{\"sku\":\"book\",\"qty\":1,\"account\":\"alice\",\"amount\":1999,\"country\":\"DE\",\"address\":\"1 Example St\"}"

struct options {
    struct service_config service;
    const char *database_url;
    const char *brokers;
    int64_t seconds_ms, warm_up_ms;
    int window, lone;
};

static const struct conf_option option_table[] = {
    {"database-url", CONF_STRING, offsetof(struct options, database_url), "postgresql:///saga", "URL", "the database", 0, 0},
    {"kafka-brokers", CONF_STRING, offsetof(struct options, brokers), "127.0.0.1:9092", "LIST", "the broker", 0, 0},
    {"duration", CONF_DURATION, offsetof(struct options, seconds_ms), "10s", "TIME", "how long to measure", 1000, 3600000},
    {"warm-up", CONF_DURATION, offsetof(struct options, warm_up_ms), "3s", "TIME", "before that", 0, 3600000},
    {"window", CONF_INT, offsetof(struct options, window), "2000", "N", "sagas under way at once", 1, 100000},
    {"lone", CONF_INT, offsetof(struct options, lone), "300", "N", "sagas one at a time, afterwards", 0, 100000},
    SERVICE_OPTIONS(struct options, service),
    {NULL, CONF_FLAG, 0, NULL, NULL, NULL, 0, 0},
};
static const struct conf_spec spec = {"bench-limit", "measures what this machine can do at best", NULL, NULL, option_table};

/* clang-format off */
static const char SCHEMA[] =
    "CREATE TABLE saga (id uuid PRIMARY KEY, state int NOT NULL, step int NOT NULL, created_at timestamptz NOT NULL)"
    " WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);"
    "CREATE TABLE step (saga_id uuid, position int, state int NOT NULL, output text, PRIMARY KEY (saga_id, position))"
    " WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);"
    "CREATE TABLE outbox (id uuid NOT NULL, step int NOT NULL, payload text NOT NULL)"
    " WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 20000, autovacuum_vacuum_cost_delay = 0)";
static const struct pg_statement saga_insert = {
    "saga_insert", "INSERT INTO saga SELECT id, 0, 0, now() FROM unnest($1::uuid[]) AS t(id)"};
static const struct pg_statement step_insert = {
    "step_insert", "INSERT INTO step SELECT id, position, 0 FROM unnest($1::uuid[]) AS t(id), generate_series(0, 2) AS position"};
static const struct pg_statement outbox_insert = {
    "outbox_insert",
    "INSERT INTO outbox SELECT * FROM unnest($1::uuid[], $2::int[], $3::text[]) RETURNING ctid"};
static const struct pg_statement saga_update = {
    "saga_update",
    "UPDATE saga SET step = t.step, state = (t.step = 3)::int FROM unnest($1::uuid[], $2::int[]) AS t(id, step)"
    " WHERE saga.id = t.id"};
static const struct pg_statement step_update = {
    "step_update",
    "UPDATE step SET state = 1, output = t.output FROM unnest($1::uuid[], $2::int[], $3::text[]) AS t(id, step, output)"
    " WHERE step.saga_id = t.id AND step.position = t.step - 1"};
static const struct pg_statement outbox_delete = {"outbox_delete", "DELETE FROM outbox WHERE ctid = ANY($1)"};
static const struct pg_statement left_over = {
    "left_over", "SELECT (SELECT count(*) FROM saga WHERE state <> 1), (SELECT count(*) FROM outbox)"};
/* clang-format on */

/* The key of every message: which saga, and which step it is about (the command's, or the reply's). */
struct key {
    struct uuid id;
    int32_t step;
};

static struct limit {
    struct options options;
    char commands[64], replies[64]; /* topics */
    rd_kafka_t *producer;
    atomic_bool stopping;
    atomic_llong started, ended;
    int room_fd, lone_fd;
    pthread_mutex_t lock;
    uint64_t acked[BATCH_MAX * 100]; /* rows whose messages have arrived */
    size_t acked_n;
} limit;

static _Noreturn void die(const char *what, const char *text)
{
    fprintf(stderr, "bench-limit: %s: %s\n", what, text);
    exit(EXIT_FAILURE);
}

/* ---- Kafka ---- */

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char text[256];
    if (rd_kafka_conf_set(conf, name, value, text, sizeof text) != RD_KAFKA_CONF_OK)
        die(name, text);
}

/* The tag of a command is its row; replies have none. */
static void on_report(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque)
{
    (void)client, (void)opaque;
    if (message->err)
        die("not delivered", rd_kafka_err2str(message->err));
    if (!message->_private)
        return;
    pthread_mutex_lock(&limit.lock);
    if (limit.acked_n == sizeof limit.acked / sizeof limit.acked[0])
        die("relay", "too many rows");
    limit.acked[limit.acked_n++] = (uintptr_t)message->_private;
    pthread_mutex_unlock(&limit.lock);
}

static rd_kafka_t *new_client(rd_kafka_type_t type)
{
    char text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    set(conf, "bootstrap.servers", limit.options.brokers);
    set(conf, "socket.nagle.disable", "true");
    if (type == RD_KAFKA_PRODUCER) {
        set(conf, "enable.idempotence", "true");
        set(conf, "acks", "all");
        set(conf, "linger.ms", "0");
        set(conf, "queue.buffering.max.messages", "200000");
        rd_kafka_conf_set_dr_msg_cb(conf, on_report);
    } else {
        set(conf, "group.id", "bench-limit");
        set(conf, "enable.auto.commit", "false");
    }
    rd_kafka_t *client = rd_kafka_new(type, conf, text, sizeof text);
    if (!client)
        die("Kafka", text);
    return client;
}

static void make_topics(rd_kafka_t *client)
{
    rd_kafka_NewTopic_t *topics[2];
    const char *names[2] = {limit.commands, limit.replies};
    for (int i = 0; i < 2; i++)
        topics[i] = rd_kafka_NewTopic_new(names[i], PARTITIONS, 1, NULL, 0);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_CreateTopics(client, topics, 2, NULL, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 10000);
    if (!event || rd_kafka_event_error(event))
        die("topics", event ? rd_kafka_event_error_string(event) : "timed out");
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_NewTopic_destroy_array(topics, 2);
}

static rd_kafka_t *new_consumer(const char *topic)
{
    rd_kafka_t *client = new_client(RD_KAFKA_CONSUMER);
    rd_kafka_poll_set_consumer(client);
    rd_kafka_topic_partition_list_t *all = rd_kafka_topic_partition_list_new(PARTITIONS);
    for (int i = 0; i < PARTITIONS; i++)
        rd_kafka_topic_partition_list_add(all, topic, i)->offset = 0;
    rd_kafka_assign(client, all);
    rd_kafka_topic_partition_list_destroy(all);
    return client;
}

/* What is there, at once; waits a little for the first. */
static size_t receive(rd_kafka_t *client, rd_kafka_queue_t *queue, rd_kafka_message_t **messages)
{
    messages[0] = rd_kafka_consumer_poll(client, POLL_MS);
    if (!messages[0])
        return 0;
    ssize_t more = rd_kafka_consume_batch_queue(queue, 0, messages + 1, BATCH_MAX - 1);
    return 1 + (size_t)(more > 0 ? more : 0);
}

/* The client library takes a pointer to mutable memory and copies from it. */
static char payload[] = PAYLOAD;

static void send_message(const char *topic, const struct key *key, uint64_t row)
{
    rd_kafka_resp_err_t code = rd_kafka_producev(
        limit.producer, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(key, sizeof *key),
        RD_KAFKA_V_VALUE(payload, sizeof payload - 1), RD_KAFKA_V_OPAQUE((void *)(uintptr_t)row), RD_KAFKA_V_END);
    if (code)
        die("not sent", rd_kafka_err2str(code));
}

/* ---- PostgreSQL ---- */

static struct pg *open_pg(const char *name)
{
    return pg_new(limit.options.database_url, "bench_limit", name, PG_HOT);
}

static void run(struct pg *pg, struct pg_call *calls, size_t n)
{
    struct err err;
    if (!pg_run(pg, calls, n, &err))
        die("database", err.text);
}

static void make_schema(void)
{
    struct err err;
    int applied;
    const struct pg_migration migrations[] = {{1, "bench", SCHEMA}, {0, NULL, NULL}};
    static const struct pg_statement drop = {"drop", "DROP SCHEMA IF EXISTS bench_limit CASCADE"};
    struct pg *pg = pg_new(limit.options.database_url, "bench_limit", "bench-limit", PG_ADHOC);
    if (!pg_call(pg, &drop, NULL, NULL, &err) || !pg_migrate(pg, migrations, &applied, &err))
        die("schema", err.text);
    pg_free(pg);
}

/* The rows of a batch on their way into the database. */
struct batch {
    struct key keys[BATCH_MAX]; /* with the step that the saga is to do next; STEPS: it has ended */
    size_t n;
};

static void fill(struct pg_params *params, const struct batch *batch, bool commands_only)
{
    struct pg_column *ids = pg_param_array(params, PG_UUID);
    struct pg_column *steps = pg_param_array(params, PG_INT4);
    struct pg_column *texts = pg_param_array(params, PG_TEXT);
    for (size_t i = 0; i < batch->n; i++) {
        if (commands_only && batch->keys[i].step == STEPS)
            continue;
        pg_add_uuid(ids, &batch->keys[i].id);
        pg_add_int(steps, batch->keys[i].step);
        pg_add_bytes(texts, PAYLOAD, sizeof PAYLOAD - 1);
    }
}

/* After the commit: one command a row that was inserted, in their order. */
static void release(const struct batch *batch, const struct pg_rows *rows)
{
    size_t row = 0;
    for (size_t i = 0; i < batch->n; i++) {
        if (batch->keys[i].step < STEPS)
            send_message(limit.commands, &batch->keys[i], pg_get_tid(rows, row++, 0));
    }
}

static void finish_calls(struct pg_call *calls, size_t n)
{
    for (size_t i = 0; i < n; i++)
        pg_rows_free(calls[i].rows);
}

/* ---- the four ---- */

static void start_batch(struct pg *pg, struct batch *batch, size_t n)
{
    struct pg_params ids = {0}, outbox = {0};
    batch->n = n;
    struct pg_column *column = pg_param_array(&ids, PG_UUID);
    for (size_t i = 0; i < n; i++) {
        batch->keys[i] = (struct key){uuid_v7(), 0};
        pg_add_uuid(column, &batch->keys[i].id);
    }
    fill(&outbox, batch, true);
    struct pg_call calls[] = {
        {&PG_BEGIN, NULL, NULL}, {&saga_insert, &ids, NULL}, {&step_insert, &ids, NULL}, {&outbox_insert, &outbox, NULL},
        {&PG_COMMIT, NULL, NULL}};
    run(pg, calls, 5);
    release(batch, calls[3].rows);
    finish_calls(calls, 5);
    pg_params_free(&ids);
    pg_params_free(&outbox);
    atomic_fetch_add(&limit.started, (long long)n);
}

static void *starter(void *argument)
{
    (void)argument;
    struct pg *pg = open_pg("bench-limit starter");
    struct batch *batch = mem_alloc(sizeof *batch);
    while (!atomic_load(&limit.stopping)) {
        long long room = limit.options.window - (atomic_load(&limit.started) - atomic_load(&limit.ended));
        if (room <= 0) {
            wake_wait(limit.room_fd, POLL_MS);
            continue;
        }
        start_batch(pg, batch, room < BATCH_MAX ? (size_t)room : BATCH_MAX);
    }
    free(batch);
    pg_free(pg);
    return NULL;
}

static void *worker(void *argument)
{
    atomic_bool *stop = argument;
    rd_kafka_message_t *messages[BATCH_MAX];
    rd_kafka_t *client = new_consumer(limit.commands);
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(client);
    while (!atomic_load(stop)) {
        size_t n = receive(client, queue, messages);
        for (size_t i = 0; i < n; i++) {
            struct key key;
            if (!messages[i]->err && messages[i]->key_len == sizeof key) {
                memcpy(&key, messages[i]->key, sizeof key);
                send_message(limit.replies, &key, 0);
            }
            rd_kafka_message_destroy(messages[i]);
        }
    }
    rd_kafka_queue_destroy(queue);
    rd_kafka_consumer_close(client);
    rd_kafka_destroy(client);
    return NULL;
}

static void advance(struct pg *pg, struct batch *batch)
{
    struct pg_params all = {0}, sagas = {0}, outbox = {0};
    long long ended = 0;
    struct pg_column *ids = pg_param_array(&sagas, PG_UUID), *steps = pg_param_array(&sagas, PG_INT4);
    for (size_t i = 0; i < batch->n; i++) {
        batch->keys[i].step++;
        ended += batch->keys[i].step == STEPS;
        pg_add_uuid(ids, &batch->keys[i].id);
        pg_add_int(steps, batch->keys[i].step);
    }
    fill(&all, batch, false);
    fill(&outbox, batch, true);
    struct pg_call calls[] = {
        {&PG_BEGIN, NULL, NULL}, {&saga_update, &sagas, NULL}, {&step_update, &all, NULL}, {&outbox_insert, &outbox, NULL},
        {&PG_COMMIT, NULL, NULL}};
    run(pg, calls, 5);
    if (pg_rows_affected(calls[1].rows) != batch->n || pg_rows_affected(calls[2].rows) != batch->n)
        die("engine", "a saga is missing");
    release(batch, calls[3].rows);
    finish_calls(calls, 5);
    pg_params_free(&all);
    pg_params_free(&sagas);
    pg_params_free(&outbox);
    if (!ended)
        return;
    atomic_fetch_add(&limit.ended, ended);
    wake_ring(limit.room_fd);
    wake_ring(limit.lone_fd);
}

static void *engine(void *argument)
{
    atomic_bool *stop = argument;
    rd_kafka_message_t *messages[BATCH_MAX];
    struct batch *batch = mem_alloc(sizeof *batch);
    struct pg *pg = open_pg("bench-limit engine");
    rd_kafka_t *client = new_consumer(limit.replies);
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(client);
    while (!atomic_load(stop)) {
        size_t n = receive(client, queue, messages);
        batch->n = 0;
        for (size_t i = 0; i < n; i++) {
            if (!messages[i]->err && messages[i]->key_len == sizeof batch->keys[0])
                memcpy(&batch->keys[batch->n++], messages[i]->key, sizeof batch->keys[0]);
            rd_kafka_message_destroy(messages[i]);
        }
        if (batch->n)
            advance(pg, batch);
    }
    rd_kafka_queue_destroy(queue);
    rd_kafka_consumer_close(client);
    rd_kafka_destroy(client);
    free(batch);
    pg_free(pg);
    return NULL;
}

/* Serves the delivery reports and deletes what has arrived. */
static void *relay(void *argument)
{
    atomic_bool *stop = argument;
    struct pg *pg = open_pg("bench-limit relay");
    struct pg_params params = {0};
    while (!atomic_load(stop)) {
        rd_kafka_poll(limit.producer, POLL_MS);
        while (rd_kafka_poll(limit.producer, 0))
            ;
        pthread_mutex_lock(&limit.lock);
        struct pg_column *tids = pg_param_array(&params, PG_TID);
        size_t n = limit.acked_n;
        for (size_t i = 0; i < n; i++)
            pg_add_tid(tids, limit.acked[i]);
        limit.acked_n = 0;
        pthread_mutex_unlock(&limit.lock);
        struct pg_call call = {&outbox_delete, &params, NULL};
        if (n)
            run(pg, &call, 1);
        pg_rows_free(call.rows);
        pg_params_reset(&params);
    }
    pg_params_free(&params);
    pg_free(pg);
    return NULL;
}

/* ---- measuring ---- */

static void wait_until_idle(void)
{
    int64_t until_ms = clock_mono_ms() + 30000;
    while (atomic_load(&limit.ended) < atomic_load(&limit.started)) {
        if (clock_mono_ms() > until_ms)
            die("check", "sagas were lost");
        wake_wait(limit.lone_fd, POLL_MS);
    }
}

/* The broker takes a moment over a new producer and new topics. */
static void wait_until_running(void)
{
    int64_t until_ms = clock_mono_ms() + 30000;
    while (!atomic_load(&limit.ended)) {
        if (clock_mono_ms() > until_ms)
            die("start", "no saga has ended within 30 s");
        wake_wait(limit.lone_fd, POLL_MS);
    }
}

/* The rate over the whole time and over its first and last third. */
static void measure_rate(double rates[3])
{
    int64_t at_us[4];
    long long ended[4];
    usleep((useconds_t)limit.options.warm_up_ms * 1000);
    for (int i = 0; i < 4; i++) {
        if (i)
            usleep((useconds_t)limit.options.seconds_ms * 1000 / 3);
        at_us[i] = clock_mono_us();
        ended[i] = atomic_load(&limit.ended);
    }
    for (int i = 0; i < 3; i++) {
        int from = i == 2 ? 2 : 0, to = i == 0 ? 3 : i == 1 ? 1 : 3;
        rates[i] = (double)(ended[to] - ended[from]) * 1e6 / (double)(at_us[to] - at_us[from]);
    }
}

static void measure_lone(struct samples *samples)
{
    struct pg *pg = open_pg("bench-limit lone");
    struct batch *batch = mem_alloc(sizeof *batch);
    for (int i = 0; i < limit.options.lone; i++) {
        int64_t from_us = clock_mono_us();
        start_batch(pg, batch, 1);
        wait_until_idle();
        samples_add(samples, clock_mono_us() - from_us);
    }
    free(batch);
    pg_free(pg);
}

/* Everything has ended and every message has gone, or the figures are worth nothing. */
static void check(void)
{
    struct err err;
    struct pg_rows *rows;
    struct pg *pg = pg_new(limit.options.database_url, "bench_limit", "bench-limit", PG_ADHOC);
    int64_t until_ms = clock_mono_ms() + 10000;
    for (;;) {
        if (!pg_call(pg, &left_over, NULL, &rows, &err))
            die("check", err.text);
        int64_t open = pg_get_int(rows, 0, 0), unsent = pg_get_int(rows, 0, 1);
        pg_rows_free(rows);
        if (!open && !unsent)
            break;
        if (clock_mono_ms() > until_ms)
            die("check", "a saga did not end, or the outbox is not empty");
        usleep(POLL_MS * 1000);
    }
    pg_free(pg);
}

int main(int argc, char **argv)
{
    struct conf_result result;
    int status;
    if (!service_open(&spec, argc, argv, &limit.options, &limit.options.service, &result, &status))
        return status;
    snprintf(limit.commands, sizeof limit.commands, "bench.limit.command.%" PRId64, clock_real_ms());
    snprintf(limit.replies, sizeof limit.replies, "bench.limit.reply.%" PRId64, clock_real_ms());
    limit.room_fd = wake_new();
    limit.lone_fd = wake_new();
    pthread_mutex_init(&limit.lock, NULL);
    limit.producer = new_client(RD_KAFKA_PRODUCER);
    make_schema();
    make_topics(limit.producer);

    static atomic_bool stop;
    pthread_t threads[4];
    void *(*const runs[4])(void *) = {relay, worker, engine, starter};
    for (int i = 0; i < 4; i++) {
        if (pthread_create(&threads[i], NULL, runs[i], &stop) != 0)
            die("start", "no thread");
    }
    double rates[3];
    struct samples lone = {0};
    wait_until_running();
    measure_rate(rates);
    atomic_store(&limit.stopping, true);
    pthread_join(threads[3], NULL);
    wait_until_idle();
    measure_lone(&lone);
    check();
    atomic_store(&stop, true);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    rd_kafka_flush(limit.producer, 5000);
    rd_kafka_destroy(limit.producer);
    printf("{\"sagas_per_s\": %.1f, \"first_third_per_s\": %.1f, \"last_third_per_s\": %.1f, \"e2e_p50_ms\": %.3f, "
           "\"e2e_p99_ms\": %.3f}\n",
           rates[0], rates[1], rates[2], samples_ms(&lone, 0.5), samples_ms(&lone, 0.99));
    samples_free(&lone);
    return EXIT_SUCCESS;
}
