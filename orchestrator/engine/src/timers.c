/* Timers, and what the relay reports. The thread sleeps until the earliest wake-up that anybody knows of; a look at the
 * database once a second is the safety net for those that other processes wrote. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "apply.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/wake.h"
#include "service/carrier.h"

#define LOOK_EVERY_MS 1000
#define PUT_OFF_MS 60000 /* what cannot be woken is left alone for so long */

struct batch {
    struct applier *applier;
    struct happening items[2 * BATCH_MAX];
    size_t n;
    struct happening *queued[BATCH_MAX];
    size_t queued_n;
    struct uuid put_off[BATCH_MAX]; /* sagas that could not be woken; they are due all the time and must not hide others */
    size_t put_off_n;
    int64_t put_off_until_ms;
};

void timers_hint(struct engine *engine, int64_t wake_ms)
{
    long long known = atomic_load(&engine->next_wake_ms);
    while (wake_ms < known) {
        if (!atomic_compare_exchange_weak(&engine->next_wake_ms, &known, wake_ms))
            continue;
        wake_ring(engine->timers_fd);
        return;
    }
}

void timers_apply(struct engine *engine, struct happening *happening)
{
    if (!queue_push(engine->happened, happening))
        free(happening); /* reports are hints: the timeout then counts from where it did */
}

/* One allocation with the texts behind the struct. */
static struct happening *report_of(const struct wire_message *message, const char *error)
{
    struct arena arena = {0};
    struct wire_command command;
    struct err err;
    struct happening *report = NULL;
    if (wire_command_read(&arena, message, &command, &err)) {
        size_t name_len = strlen(command.about.step) + 1, error_len = error ? strlen(error) + 1 : 0;
        report = mem_alloc(sizeof *report + name_len + error_len);
        char *texts = (char *)(report + 1);
        memcpy(texts, command.about.step, name_len);
        report->saga_id = command.about.saga_id;
        report->step_name = texts;
        report->event = (struct event){.round = command.about.round, .attempt = command.about.attempt};
        (void)!command_kind_parse(command.about.kind, &report->event.kind);
        if (error)
            report->event.error = memcpy(texts + name_len, error, error_len);
    }
    arena_free(&arena);
    return report;
}

void relay_released_late(void *context, const struct wire_message *message, int64_t at_ms)
{
    struct happening *report = report_of(message, NULL);
    if (!report)
        return; /* a dead letter, not a command */
    report->event.type = EVENT_RELEASED;
    report->event.at_ms = at_ms;
    timers_apply(context, report);
}

void relay_refused(void *context, const struct wire_message *message, const struct err *err)
{
    struct buf text = buf_new(2048);
    json_write_error(&text, "unpublishable", err->text);
    struct happening *report = report_of(message, buf_text(&text));
    buf_free(&text);
    if (!report)
        return;
    report->event.type = EVENT_REFUSED;
    timers_apply(context, report);
}

static bool attempt(void *context, size_t first, size_t n, struct err *err)
{
    struct batch *batch = context;
    return apply_happenings(batch->applier, batch->items + first, n, err);
}

static bool is_stopping(void *context)
{
    struct batch *batch = context;
    return atomic_load(&batch->applier->engine->stopping);
}

static bool set_aside(void *context, size_t item, const struct err *err)
{
    (void)err;
    struct batch *batch = context;
    char id[UUID_TEXT_MAX];
    atomic_fetch_add(&batch->applier->engine->set_aside, 1);
    log_line(LOG_ERROR, "engine.saga_put_off", LOG_STR("saga_id", uuid_format(&batch->items[item].saga_id, id)),
             LOG_INT("for_ms", PUT_OFF_MS));
    if (batch->put_off_n < BATCH_MAX)
        batch->put_off[batch->put_off_n++] = batch->items[item].saga_id;
    batch->put_off_until_ms = clock_mono_ms() + PUT_OFF_MS;
    return true;
}

static bool is_put_off(const struct batch *batch, const struct uuid *id)
{
    for (size_t i = 0; i < batch->put_off_n; i++) {
        if (uuid_equal(&batch->put_off[i], id))
            return true;
    }
    return false;
}

static void take_reports(struct batch *batch, struct queue *queue)
{
    batch->queued_n = queue_take(queue, (void **)batch->queued, BATCH_MAX);
    for (size_t i = 0; i < batch->queued_n; i++)
        batch->items[batch->n++] = *batch->queued[i];
}

/* Adds the sagas that are due; those put off are looked past. *next_ms is when the next one is due, 0: unknown. */
static bool take_due(struct batch *batch, int64_t *next_ms, struct err *err)
{
    struct uuid due[2 * BATCH_MAX];
    size_t n, taken = 0;
    if (batch->put_off_n && clock_mono_ms() > batch->put_off_until_ms)
        batch->put_off_n = 0;
    if (!store_due(batch->applier->pg, clock_real_ms(), due, BATCH_MAX + batch->put_off_n, &n, next_ms, err))
        return false;
    for (size_t i = 0; i < n && taken < BATCH_MAX; i++) {
        if (is_put_off(batch, &due[i]))
            continue;
        batch->items[batch->n++] = (struct happening){.saga_id = due[i], .event = {.type = EVENT_TIMER}};
        taken++;
    }
    return true;
}

/* One batch; returns when the next is due by the clock, 0 when nobody knows. */
static int64_t turn(struct engine *engine, struct batch *batch)
{
    struct err err;
    int64_t next_ms = 0;
    struct carrier carrier = {batch, attempt, set_aside, "timers", is_stopping, &engine->timers_healthy};
    batch->n = 0;
    take_reports(batch, engine->happened);
    bool known = take_due(batch, &next_ms, &err);
    atomic_store(&engine->timers_healthy, known);
    if (!known)
        log_line(LOG_DEBUG, "engine.timers_blind", LOG_ERR(&err));
    carrier_carry(&carrier, batch->n);
    for (size_t i = 0; i < batch->queued_n; i++)
        free(batch->queued[i]);
    return next_ms;
}

static void sleep_until(struct engine *engine, int64_t wake_ms)
{
    int64_t left = wake_ms - clock_real_ms();
    struct pollfd fds[] = {{.fd = engine->timers_fd, .events = POLLIN}, {.fd = queue_fd(engine->happened), .events = POLLIN}};
    if (left > 0)
        poll(fds, 2, (int)left);
    wake_clear(engine->timers_fd);
}

void *timers_run(void *argument)
{
    struct engine *engine = argument;
    struct applier applier;
    struct batch *batch = mem_alloc(sizeof *batch);
    applier_open(&applier, engine, "saga-orchestrator timers");
    batch->applier = &applier;
    while (!atomic_load(&engine->stopping)) {
        /* Hints that come from here on count; what was written before is found by the look. */
        atomic_store(&engine->next_wake_ms, clock_real_ms() + LOOK_EVERY_MS);
        int64_t next_ms = turn(engine, batch);
        if (next_ms)
            timers_hint(engine, next_ms);
        int64_t wake_ms;
        while (!atomic_load(&engine->stopping) && !queue_len(engine->happened) &&
               (wake_ms = atomic_load(&engine->next_wake_ms)) > clock_real_ms())
            sleep_until(engine, wake_ms);
    }
    applier_close(&applier);
    free(batch);
    return NULL;
}
