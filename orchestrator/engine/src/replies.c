/* Replies: Kafka to sagas. Offsets are stored after the commit, so a crash has the batch delivered again, and the machine
 * finds that it has happened. What is no reply goes to the dead-letter topic through the outbox: it is not lost either. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "apply.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "children.h"
#include "service/carrier.h"
#include "tally.h"
#include "wire/label.h"

#define RECEIVE_MS 500
#define REBUILD_PAUSE_MS 1000
#define STANDBY_AFTER_MS 10000

/* One batch in hand. */
struct batch {
    struct applier *applier;
    struct arena arena; /* of the parsed replies */
    struct kafka_record *records[BATCH_MAX];
    size_t records_n;
    struct happening happenings[BATCH_MAX];
    size_t source[BATCH_MAX]; /* the record of each happening */
    size_t happenings_n;
    const char *faults[BATCH_MAX]; /* by record; NULL: fine */
};

static void to_happening(const struct wire_reply *reply, struct happening *out)
{
    *out = (struct happening){.saga_id = reply->about.saga_id, .step_name = reply->about.step};
    out->event = (struct event){.type = EVENT_REPLY,
                                .round = reply->about.round,
                                .attempt = reply->about.attempt,
                                .output = reply->output,
                                .output_len = reply->output_len,
                                .error = reply->error,
                                .retry_after_ms = reply->retry_after_ms,
                                .clock = reply->clock};
    (void)!command_kind_parse(reply->about.kind, &out->event.kind); /* wire has checked both words */
    (void)!outcome_parse(reply->outcome, &out->event.outcome);
}

/* A command to the orchestrator itself. */
static bool is_order(struct arena *arena, const struct wire_message *message)
{
    const char *type = wire_header(arena, message, "ce_type");
    return type && strcmp(type, "saga.command") == 0;
}

static void parse(struct batch *batch)
{
    arena_reset(&batch->arena);
    batch->happenings_n = 0;
    for (size_t i = 0; i < batch->records_n; i++) {
        struct wire_message message;
        struct wire_reply reply;
        struct err err;
        kafka_record_message(batch->records[i], &message);
        batch->faults[i] = NULL;
        if (is_order(&batch->arena, &message)) {
            batch->source[batch->happenings_n] = i;
            if (child_read(&batch->arena, &message, &batch->happenings[batch->happenings_n], &err))
                batch->happenings_n++;
            else
                batch->faults[i] = arena_strdup(&batch->arena, err.text);
            continue;
        }
        if (!wire_reply_read(&batch->arena, &message, &reply, &err)) {
            batch->faults[i] = arena_strdup(&batch->arena, err.text);
            continue;
        }
        batch->source[batch->happenings_n] = i;
        to_happening(&reply, &batch->happenings[batch->happenings_n++]);
    }
}

static bool attempt(void *context, size_t first, size_t n, struct err *err)
{
    struct batch *batch = context;
    return apply_happenings(batch->applier, batch->happenings + first, n, err);
}

static bool is_stopping(void *context)
{
    struct batch *batch = context;
    return atomic_load(&batch->applier->engine->stopping);
}

static bool set_aside(void *context, size_t item, const struct err *err)
{
    struct batch *batch = context;
    batch->happenings[item].refusal = arena_strdup(&batch->arena, err->text);
    atomic_fetch_add(&batch->applier->engine->set_aside, 1);
    return true;
}

static void collect_refusals(struct batch *batch)
{
    for (size_t i = 0; i < batch->happenings_n; i++) {
        if (batch->happenings[i].refusal)
            batch->faults[batch->source[i]] = batch->happenings[i].refusal;
    }
}

static struct store_message *letter_of(struct batch *batch, size_t record)
{
    struct arena *arena = &batch->arena;
    struct wire_message message;
    struct wire_dead_letter letter;
    kafka_record_message(batch->records[record], &message);
    wire_dead_letter(arena, &message, batch->faults[record], kafka_record_partition(batch->records[record]),
                     kafka_record_offset(batch->records[record]), &letter);
    struct store_message *out = arena_alloc(arena, sizeof *out);
    *out = (struct store_message){.id = uuid_v7(), .topic = batch->applier->engine->dead_topic, .key = letter.key,
                                  .headers = letter.headers, .value = letter.value, .value_len = letter.value_len};
    return out;
}

static bool bury_all(void *context, size_t first, size_t n, struct err *err)
{
    (void)first, (void)n;
    struct batch *batch = context;
    struct store_message *letters = NULL;
    for (size_t i = batch->records_n; i-- > 0;) {
        if (!batch->faults[i])
            continue;
        struct store_message *letter = letter_of(batch, i);
        letter->next = letters;
        letters = letter;
    }
    return store_put_messages(batch->applier->pg, letters, err);
}

static bool bury_failed(void *context, size_t item, const struct err *err)
{
    (void)context, (void)item; /* a letter is always valid */
    log_line(LOG_ERROR, "engine.dead_letter_lost", LOG_ERR(err));
    return true;
}

static void log_fault(const struct batch *batch, size_t record)
{
    struct wire_message message;
    kafka_record_message(batch->records[record], &message);
    struct wire_label label = wire_label_of(&message);
    log_line(LOG_WARN, "engine.dead_letter", LOG_LABEL(&label), LOG_STR("reason", batch->faults[record]),
             LOG_INT("partition", kafka_record_partition(batch->records[record])),
             LOG_INT("offset", kafka_record_offset(batch->records[record])));
}

static size_t count_faults(const struct batch *batch)
{
    size_t n = 0;
    for (size_t i = 0; i < batch->records_n; i++) {
        if (!batch->faults[i])
            continue;
        log_fault(batch, i);
        n++;
    }
    return n;
}

/* False when it was asked to stop in the middle: nothing is marked as done then. */
static bool process(struct batch *batch)
{
    struct engine *engine = batch->applier->engine;
    struct carrier carrier = {batch, attempt, set_aside, "replies", is_stopping, &engine->replies_healthy};
    int64_t begun_us = clock_mono_us();
    parse(batch);
    if (!carrier_carry(&carrier, batch->happenings_n))
        return false;
    collect_refusals(batch);
    size_t faults = count_faults(batch);
    carrier.attempt = bury_all;
    carrier.set_aside = bury_failed;
    if (faults && !carrier_carry(&carrier, 1))
        return false;
    if (faults && engine->relay)
        relay_wake(engine->relay);
    atomic_fetch_add(&engine->dead_letters, faults);
    atomic_fetch_add(&engine->replies, batch->records_n);
    tally_batch(engine->tally, TALLY_REPLIES, batch->records_n, clock_mono_us() - begun_us);
    return true;
}

/* A newcomer waits for its partitions; one who still has none stands by, and others have them. */
static bool is_consuming(struct kafka_consumer *consumer)
{
    int64_t joined_ms = kafka_joined_ms(consumer);
    return kafka_partitions(consumer) > 0 || (joined_ms && clock_mono_ms() - joined_ms > STANDBY_AFTER_MS);
}

static struct kafka_consumer *open_consumer(struct engine *engine, struct err *err)
{
    const char *topics[] = {engine->reply_topic};
    char group[WIRE_TOPIC_MAX];
    struct kafka_consumer_config config = {.brokers = engine->config.brokers,
                                           .client = "saga-orchestrator",
                                           .group = wire_topic(engine->config.prefix, "orchestrator", group),
                                           .instance = engine->config.instance,
                                           .topics = topics,
                                           .topics_n = 1,
                                           .fetch_wait_ms = engine->config.fetch_wait_ms};
    return kafka_consumer_new(&config, err);
}

static void free_records(struct batch *batch)
{
    for (size_t i = 0; i < batch->records_n; i++)
        kafka_record_free(batch->records[i]);
    batch->records_n = 0;
}

/* Batches that come full mean that more waits behind them. */
static void note_backlog(struct engine *engine, size_t received)
{
    if (received < BATCH_MAX)
        atomic_store(&engine->behind_since_ms, 0);
    else if (!atomic_load(&engine->behind_since_ms))
        atomic_store(&engine->behind_since_ms, clock_mono_ms());
}

/* Consumes until the engine stops or the consumer is lost. */
static bool consume(struct engine *engine, struct kafka_consumer *consumer, struct batch *batch, struct err *err)
{
    while (!atomic_load(&engine->stopping)) {
        if (!kafka_receive(consumer, batch->records, BATCH_MAX, RECEIVE_MS, &batch->records_n, err))
            return false;
        atomic_store(&engine->consuming, is_consuming(consumer));
        note_backlog(engine, batch->records_n);
        if (batch->records_n && process(batch)) {
            fault_point("engine.before_offsets");
            kafka_done(consumer, batch->records, batch->records_n);
        }
        free_records(batch);
    }
    return true;
}

void *replies_run(void *argument)
{
    struct engine *engine = argument;
    struct applier applier;
    struct batch *batch = calloc(1, sizeof *batch);
    if (!batch)
        abort();
    applier_open(&applier, engine, "saga-orchestrator replies");
    batch->applier = &applier;
    while (!atomic_load(&engine->stopping)) {
        struct err err = {0};
        struct kafka_consumer *consumer = open_consumer(engine, &err);
        bool ok = consumer && consume(engine, consumer, batch, &err);
        atomic_store(&engine->consuming, false);
        kafka_consumer_free(consumer);
        if (ok)
            break;
        log_line(LOG_ERROR, "engine.consumer_lost", LOG_ERR(&err));
        poll(NULL, 0, REBUILD_PAUSE_MS);
    }
    arena_free(&batch->arena);
    applier_close(&applier);
    free(batch);
    return NULL;
}
