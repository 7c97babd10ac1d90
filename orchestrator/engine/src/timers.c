/* Timers, what the relay reports, and what operators do. The thread sleeps until the earliest wake-up that anybody knows of; a look at the
 * database once a second is the safety net for those that other processes wrote. */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "apply.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/wake.h"
#include "service/carrier.h"
#include "tally.h"

#define LOOK_EVERY_MS 1000
#define PUT_OFF_MS 60000 /* what cannot be woken is left alone for so long */

/* What waits in the queue; one allocation, the texts behind it or in the act. */
struct report {
    struct happening happening;
    struct act *act; /* whose it is, or NULL */
};

struct batch {
    struct applier *applier;
    struct happening items[2 * BATCH_MAX];
    bool applied[2 * BATCH_MAX];
    bool doubted[2 * BATCH_MAX]; /* a commit of it was answered by nobody */
    size_t n;
    struct report *queued[BATCH_MAX]; /* the first of the items */
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

/* Reports of the relay are hints: when one is lost the timeout counts from where it did. */
static void push_hint(struct engine *engine, struct report *report)
{
    if (!queue_push(engine->happened, report))
        free(report);
}

static struct report *report_of(const struct wire_message *message, const char *error)
{
    struct arena arena = {0};
    struct wire_command command;
    struct err err;
    struct report *report = NULL;
    if (wire_command_read(&arena, message, &command, &err)) {
        size_t name_len = strlen(command.about.step) + 1, error_len = error ? strlen(error) + 1 : 0;
        report = mem_alloc(sizeof *report + name_len + error_len);
        char *texts = (char *)(report + 1);
        memcpy(texts, command.about.step, name_len);
        struct happening *happening = &report->happening;
        happening->saga_id = command.about.saga_id;
        happening->step_name = texts;
        happening->event = (struct event){.round = command.about.round, .attempt = command.about.attempt};
        (void)!command_kind_parse(command.about.kind, &happening->event.kind);
        if (error)
            happening->event.error = memcpy(texts + name_len, error, error_len);
    }
    arena_free(&arena);
    return report;
}

void relay_released_late(void *context, const struct wire_message *message, int64_t at_ms)
{
    struct report *report = report_of(message, NULL);
    if (!report)
        return; /* a dead letter, not a command */
    report->happening.event.type = EVENT_RELEASED;
    report->happening.event.at_ms = at_ms;
    push_hint(context, report);
}

void relay_refused(void *context, const struct wire_message *message, const struct err *err)
{
    struct buf text = buf_new(2048);
    json_write_error(&text, "unpublishable", err->text);
    struct report *report = report_of(message, buf_text(&text));
    buf_free(&text);
    if (!report)
        return;
    report->happening.event.type = EVENT_REFUSED;
    push_hint(context, report);
}

bool engine_act(struct engine *engine, struct act *act)
{
    struct report *report = mem_alloc(sizeof *report);
    *report = (struct report){.act = act, .happening = {.saga_id = act->saga_id, .step_name = act->step, .signal = act->signal}};
    report->happening.event = (struct event){.type = act->type, .error = act->error, .version = act->version, .why = act->why,
                                             .outcome = act->outcome, .output = act->output, .output_len = act->output_len};
    if (queue_push(engine->happened, report))
        return true;
    free(report);
    return false;
}

static bool attempt(void *context, size_t first, size_t n, struct err *err)
{
    struct batch *batch = context;
    if (!apply_happenings(batch->applier, batch->items + first, n, err)) {
        if (err->in_doubt)
            memset(batch->doubted + first, true, n);
        return false;
    }
    memset(batch->applied + first, true, n);
    return true;
}

static bool is_stopping(void *context)
{
    struct batch *batch = context;
    return atomic_load(&batch->applier->engine->stopping);
}

static bool set_aside(void *context, size_t item, const struct err *err)
{
    struct batch *batch = context;
    char id[UUID_TEXT_MAX];
    atomic_fetch_add(&batch->applier->engine->set_aside, 1);
    log_line(LOG_ERROR, "engine.saga_put_off", LOG_STR("saga_id", uuid_format(&batch->items[item].saga_id, id)),
             LOG_INT("for_ms", PUT_OFF_MS), LOG_ERR(err));
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
    memset(batch->applied, false, sizeof batch->applied);
    memset(batch->doubted, false, sizeof batch->doubted);
    batch->queued_n = queue_take(queue, (void **)batch->queued, BATCH_MAX);
    for (size_t i = 0; i < batch->queued_n; i++)
        batch->items[batch->n++] = batch->queued[i]->happening;
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

static void finish(struct act *act, enum act_result result, const char *reason)
{
    act->result = result;
    snprintf(act->reason, sizeof act->reason, "%s", reason);
    act->done(act);
}

/* A refusal after a commit in doubt may be the act's own doing. */
static void answer(struct act *act, const struct happening *happening, bool applied, bool doubted)
{
    if (doubted && (!applied || happening->refusal))
        finish(act, ACT_UNKNOWN, "the database went away while it was asked to do it");
    else if (!applied)
        finish(act, ACT_UNAVAILABLE, "it could not be applied");
    else if (!happening->refusal)
        finish(act, ACT_APPLIED, "");
    else
        finish(act, !happening->found ? ACT_NO_SAGA : happening->event.step < 0 ? ACT_NO_STEP : ACT_NOT_NOW, happening->refusal);
}

static void finish_reports(struct batch *batch)
{
    for (size_t i = 0; i < batch->queued_n; i++) {
        if (batch->queued[i]->act)
            answer(batch->queued[i]->act, &batch->items[i], batch->applied[i], batch->doubted[i]);
        free(batch->queued[i]);
    }
    batch->queued_n = 0;
}

/* One batch; returns when the next is due by the clock, 0 when nobody knows. */
static int64_t turn(struct engine *engine, struct batch *batch)
{
    struct err err;
    int64_t next_ms = 0;
    struct carrier carrier = {batch, attempt, set_aside, "timers", is_stopping, &engine->timers_healthy};
    batch->n = 0;
    take_reports(batch, engine->happened);
    bool known = !engine->config.with_engine || take_due(batch, &next_ms, &err);
    atomic_store(&engine->timers_healthy, known);
    if (!known)
        log_line(LOG_DEBUG, "engine.timers_blind", LOG_ERR(&err));
    int64_t begun_us = clock_mono_us();
    if (carrier_carry(&carrier, batch->n) && batch->n)
        tally_batch(engine->tally, TALLY_TIMERS, batch->n, clock_mono_us() - begun_us);
    finish_reports(batch);
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
    queue_close(engine->happened);
    do {
        batch->n = 0;
        take_reports(batch, engine->happened);
        finish_reports(batch);
    } while (queue_len(engine->happened));
    applier_close(&applier);
    free(batch);
    return NULL;
}
