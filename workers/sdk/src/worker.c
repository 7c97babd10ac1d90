/* The program around the handlers. A batch: claim keys, run handlers, record verdicts and replies, commit, then let the
 * offsets go. A crash before the commit has the batch come again; after it, its commands are answered from the inbox. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"
#include "relay/relay.h"
#include "service/carrier.h"
#include "service/service.h"
#include "task.h"
#include "wire/label.h"

#define BATCH_MAX 200
#define RECEIVE_MS 200

struct options {
    struct service_config service;
    const char *database_url;
    struct service_kafka kafka;
    const char *schema;
    struct service_member member;
    bool no_relay;
};

static const struct conf_option options[] = {
    {"database-url", CONF_STRING, offsetof(struct options, database_url), "postgresql:///saga", "URL", "the service's database", 0, 0},
    {"worker-schema", CONF_STRING, offsetof(struct options, schema), NULL, "NAME", "its schema there (default: the service's name)", 0, 0},
    SERVICE_KAFKA_OPTIONS(struct options, kafka),
    SERVICE_MEMBER_OPTIONS(struct options, member),
    {"no-relay", CONF_FLAG, offsetof(struct options, no_relay), NULL, NULL, "a saga-relay publishes the replies", 0, 0},
    SERVICE_OPTIONS(struct options, service),
    {NULL, CONF_FLAG, 0, NULL, NULL, NULL, 0, 0},
};
static const struct conf_command commands[] = {
    {"serve", "carries out the service's steps, after bringing its schema up to date"},
    {"migrate", "brings the service's schema up to date and leaves"},
    {NULL, NULL},
};

struct worker {
    const struct worker_spec *spec;
    const struct options *options;
    char command_topic[WIRE_TOPIC_MAX], reply_topic[WIRE_TOPIC_MAX], dead_topic[WIRE_TOPIC_MAX];
    struct pg *pg;
    struct relay *relay;
    struct heartbeat heartbeat;
    atomic_bool healthy;
    struct arena arena; /* of the batch: parsed commands */
    struct arena scratch; /* of one attempt at it */
    struct kafka_record *records[BATCH_MAX];
    struct task tasks[BATCH_MAX];
    size_t records_n, tasks_n;
    size_t base; /* the first task of the part that is being carried */
    bool said_ready;
};

/* ---- a batch ---- */

static bool bury(struct worker *worker, size_t record, const char *reason)
{
    struct wire_message message;
    struct wire_dead_letter letter;
    struct err err;
    kafka_record_message(worker->records[record], &message);
    wire_dead_letter(&worker->arena, &message, reason, kafka_record_partition(worker->records[record]),
                     kafka_record_offset(worker->records[record]), &letter);
    struct wire_label label = wire_label_of(&message);
    log_line(LOG_WARN, "worker.dead_letter", LOG_LABEL(&label), LOG_STR("reason", reason));
    while (!inbox_bury(worker->pg, worker->dead_topic, &letter, &err)) {
        if (err.kind == ERR_REFUSED) {
            log_line(LOG_ERROR, "worker.dead_letter_lost", LOG_LABEL(&label), LOG_ERR(&err));
            return true;
        }
        if (service_wait(200))
            return false;
    }
    if (worker->relay)
        relay_wake(worker->relay);
    return true;
}

/* False when it was asked to stop in the middle. */
static bool parse(struct worker *worker)
{
    worker->tasks_n = 0;
    for (size_t i = 0; i < worker->records_n; i++) {
        struct wire_message message;
        struct err err;
        struct task task = {.record = i, .twin = -1};
        kafka_record_message(worker->records[i], &message);
        if (wire_command_read(&worker->arena, &message, &task.command, &err))
            worker->tasks[worker->tasks_n++] = task;
        else if (!bury(worker, i, err.text))
            return false;
    }
    return true;
}

static bool same_step(const struct wire_about *a, const struct wire_about *b)
{
    return uuid_equal(&a->saga_id, &b->saga_id) && strcmp(a->step, b->step) == 0 && strcmp(a->namespace_, b->namespace_) == 0;
}

static bool same_key(const struct wire_about *a, const struct wire_about *b)
{
    return same_step(a, b) && strcmp(a->kind, b->kind) == 0;
}

static void find_twins(struct task *tasks, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        tasks[i].twin = -1;
        tasks[i].reopened = false;
        tasks[i].verdict = NULL;
        tasks[i].clock = NULL;
        for (size_t k = 0; k < i && tasks[i].twin < 0 && !task_is_probe(&tasks[i]); k++) {
            if (tasks[k].twin < 0 && same_key(&tasks[i].command.about, &tasks[k].command.about))
                tasks[i].twin = (int)k;
        }
    }
}

static bool past_deadline(const struct task *task)
{
    return task_is_action(task) && task->command.deadline_ms && task->command.deadline_ms < clock_real_ms();
}

static bool do_task(struct worker *worker, struct task *task, struct err *err)
{
    struct arena *arena = &worker->scratch;
    switch (task->way) {
    case WAY_REPEAT:
        return true;
    case WAY_FENCED:
        set_body(arena, task, "failed", "refused", "its compensation came first");
        return true;
    case WAY_NOT_NEEDED:
        set_body(arena, task, "succeeded", NULL, NULL);
        task->verdict = "succeeded";
        return true;
    case WAY_NOT_SEEN:
        set_body(arena, task, "not_seen", NULL, NULL);
        return true;
    case WAY_RUN:
        if (!past_deadline(task))
            return call_handler(worker->pg, arena, worker->spec, &worker->heartbeat, task, err);
        set_body(arena, task, "failed", "deadline_passed", "the command came after the saga's deadline");
        task->verdict = "failed";
        return true;
    }
    return true;
}

static void log_answered(const struct task *tasks, size_t n)
{
    static const char *const ways[] = {"run", "repeat", "fenced", "not_needed", "not_seen"};
    for (size_t i = 0; i < n && log_enabled(LOG_DEBUG); i++) {
        const struct task *task = &tasks[i];
        struct wire_label label = wire_label(&task->command.about, task->command.traceparent);
        log_line(LOG_DEBUG, "worker.answered", LOG_LABEL(&label), LOG_STR("action", task->command.action),
                 LOG_STR("way", ways[task->way]), LOG_STR("verdict", task->verdict));
    }
}

static void answer_twins(struct task *tasks, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct task *twin = tasks[i].twin < 0 ? NULL : &tasks[tasks[i].twin];
        if (!twin)
            continue;
        tasks[i].body = twin->body;
        tasks[i].body_len = twin->body_len;
        tasks[i].clock = twin->clock;
    }
}

static bool attempt(void *context, size_t first, size_t n, struct err *err)
{
    struct worker *worker = context;
    struct task *tasks = worker->tasks + worker->base + first;
    arena_reset(&worker->scratch);
    find_twins(tasks, n);
    if (!inbox_claim(worker->pg, &worker->scratch, tasks, n, err))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (tasks[i].twin < 0 && !do_task(worker, &tasks[i], err)) {
            pg_disconnect(worker->pg); /* ends the transaction, whatever state it is in */
            return false;
        }
    }
    if (!clocks_tick(worker->pg, &worker->scratch, tasks, n, worker->spec->service, err))
        return false;
    answer_twins(tasks, n);
    fault_point("worker.before_commit");
    if (!inbox_finish(worker->pg, &worker->scratch, tasks, n, worker->reply_topic, worker->spec->service, err))
        return false;
    fault_point("worker.after_commit");
    log_answered(tasks, n);
    if (worker->relay)
        relay_wake(worker->relay);
    return true;
}

static bool is_stopping(void *context)
{
    (void)context;
    return service_wait(0);
}

static bool set_aside(void *context, size_t item, const struct err *err)
{
    struct worker *worker = context;
    return bury(worker, worker->tasks[worker->base + item].record, err->text);
}

/* It has to see what became of the other: of its own key in another round, or of the action that it asks about. */
static bool comes_after(const struct task *task, const struct task *other)
{
    const struct wire_about *about = &task->command.about, *before = &other->command.about;
    if (task_is_probe(task))
        return task_is_action(other) && same_step(about, before);
    return about->round != before->round && same_key(about, before);
}

/* What comes after another goes in a part, and a transaction, of its own. */
static size_t part_end(const struct worker *worker, size_t first)
{
    for (size_t i = first + 1; i < worker->tasks_n; i++) {
        for (size_t k = first; k < i; k++) {
            if (comes_after(&worker->tasks[i], &worker->tasks[k]))
                return i;
        }
    }
    return worker->tasks_n;
}

static bool process(struct worker *worker)
{
    struct carrier carrier = {worker, attempt, set_aside, "commands", is_stopping, &worker->healthy};
    arena_reset(&worker->arena);
    if (!parse(worker))
        return false;
    for (worker->base = 0; worker->base < worker->tasks_n;) {
        size_t end = part_end(worker, worker->base);
        if (!carrier_carry(&carrier, end - worker->base))
            return false;
        worker->base = end;
    }
    return true;
}

/* ---- the loop ---- */

static struct kafka_consumer *open_consumer(struct worker *worker, struct err *err)
{
    char group[WIRE_TOPIC_MAX];
    const char *topics[] = {worker->command_topic};
    struct kafka_consumer_config config = {.brokers = worker->options->kafka.brokers,
                                           .client = worker->spec->program,
                                           .group = wire_topic(worker->options->kafka.prefix, worker->spec->service, group),
                                           .instance = worker->options->member.instance,
                                           .topics = topics,
                                           .topics_n = 1,
                                           .fetch_wait_ms = worker->options->member.fetch_wait_ms};
    return kafka_consumer_new(&config, err);
}

static void say_ready(struct worker *worker, struct kafka_consumer *consumer)
{
    if (worker->said_ready || kafka_partitions(consumer) == 0)
        return;
    log_line(LOG_INFO, "ready", LOG_STR("topic", worker->command_topic), LOG_INT("partitions", kafka_partitions(consumer)));
    worker->said_ready = true;
}

/* Until it is asked to end or the consumer is lost. */
static bool consume(struct worker *worker, struct kafka_consumer *consumer, struct err *err)
{
    while (!service_wait(0)) {
        if (!kafka_receive(consumer, worker->records, BATCH_MAX, RECEIVE_MS, &worker->records_n, err))
            return false;
        say_ready(worker, consumer);
        if (worker->records_n && process(worker)) {
            fault_point("worker.before_offsets");
            kafka_done(consumer, worker->records, worker->records_n);
        }
        for (size_t i = 0; i < worker->records_n; i++)
            kafka_record_free(worker->records[i]);
        worker->records_n = 0;
    }
    return true;
}

static void serve(struct worker *worker)
{
    bool ended = false;
    while (!ended && !service_wait(0)) {
        struct err err = {0};
        struct kafka_consumer *consumer = open_consumer(worker, &err);
        ended = consumer && consume(worker, consumer, &err);
        kafka_consumer_free(consumer);
        if (ended)
            break;
        log_line(LOG_ERROR, "worker.consumer_lost", LOG_ERR(&err));
        service_wait(1000);
    }
}

/* ---- start and end ---- */

static bool migrate(void *context, struct err *err)
{
    struct worker *worker = context;
    int applied;
    if (!pg_migrate(worker->pg, worker->spec->migrations, &applied, err))
        return false;
    if (applied)
        log_line(LOG_INFO, "migrated", LOG_INT("applied", applied));
    return true;
}

static bool make_topics(void *context, struct err *err)
{
    struct worker *worker = context;
    const char *topics[] = {worker->command_topic, worker->reply_topic, worker->dead_topic};
    return kafka_ensure_topics(worker->options->kafka.brokers, topics, 3, worker->options->member.partitions, err);
}

static bool start_relay(struct worker *worker, struct err *err)
{
    if (worker->options->no_relay)
        return true;
    struct relay_config config = {.database_url = worker->options->database_url,
                                  .schema = worker->options->schema,
                                  .brokers = worker->options->kafka.brokers,
                                  .dead_topic = worker->dead_topic,
                                  .name = worker->spec->program};
    worker->relay = relay_start(&config, err);
    return worker->relay != NULL;
}

static bool run(struct worker *worker, const char *command, struct err *err)
{
    if (!service_retry("PostgreSQL", migrate, worker, err))
        return false;
    if (strcmp(command, "migrate") == 0)
        return true;
    if (!service_retry("Kafka", make_topics, worker, err) || !start_relay(worker, err))
        return false;
    worker->heartbeat.relay = worker->relay;
    log_line(LOG_INFO, "started", LOG_STR("service", worker->spec->service));
    serve(worker);
    return true;
}

int worker_main(const struct worker_spec *spec, int argc, char **argv)
{
    struct options o = {0};
    struct conf_result result;
    struct conf_spec conf = {spec->program, spec->about, NULL, commands, options};
    struct err err = {0};
    int status;
    if (!service_open(&conf, argc, argv, &o, &o.service, &result, &status))
        return status;
    if (!o.schema)
        o.schema = spec->service;
    struct worker *worker = mem_alloc(sizeof *worker);
    worker->spec = spec;
    worker->options = &o;
    wire_command_topic(o.kafka.prefix, spec->service, worker->command_topic);
    wire_topic(o.kafka.prefix, "reply", worker->reply_topic);
    wire_topic(o.kafka.prefix, "dead", worker->dead_topic);
    worker->pg = pg_new(o.database_url, o.schema, spec->program, PG_HOT);
    worker->heartbeat = (struct heartbeat){.pg = pg_new(o.database_url, o.schema, spec->program, PG_HOT), .reply_topic = worker->reply_topic,
                                           .service = spec->service};
    bool ok = run(worker, result.command, &err) || err.kind == ERR_NONE;
    if (!ok)
        log_line(LOG_ERROR, "failed", LOG_ERR(&err));
    relay_free(worker->relay);
    pg_free(worker->pg);
    pg_free(worker->heartbeat.pg);
    arena_free(&worker->arena);
    arena_free(&worker->scratch);
    free(worker);
    log_line(LOG_INFO, "stopped", LOG_STR("service", spec->service));
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
