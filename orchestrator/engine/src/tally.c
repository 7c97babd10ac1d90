#include "tally.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/metric.h"

#define DEFINITION_BUCKETS 256
#define MINUTE_MS 60000

struct step_tally {
    struct step_tally *next;
    char *name;
    uint64_t retries[KINDS_N];
    struct histogram durations[KINDS_N]; /* of the attempt that brought the verdict */
};

struct minute_tally {
    int64_t minute; /* since 1970 */
    uint64_t started, completed, compensated, stalled;
    struct histogram durations;
    uint64_t changed; /* tally->changes then */
};

struct definition_tally {
    struct definition_tally *next, *next_of_all;
    char *name;
    struct minute_tally minutes[2]; /* the present one and the one before, by its number's parity */
    uint64_t started, completed, compensated, stalled, cancelled;
    struct histogram durations[2]; /* of completed and of compensated ones */
    struct step_tally *steps;
};

struct tally {
    pthread_mutex_t lock;
    uint64_t changes;
    struct definition_tally *definitions[DEFINITION_BUCKETS], *all;
    size_t definitions_n;
    struct histogram sizes[TALLY_BATCHES_N], times[TALLY_BATCHES_N];
};

struct tally *tally_new(void)
{
    struct tally *tally = mem_alloc(sizeof *tally);
    pthread_mutex_init(&tally->lock, NULL);
    for (int i = 0; i < TALLY_BATCHES_N; i++) {
        tally->sizes[i].shape = &histogram_sizes;
        tally->times[i].shape = &histogram_short_durations;
    }
    return tally;
}

static void free_definition(struct definition_tally *definition)
{
    for (struct step_tally *step = definition->steps, *next; step; step = next) {
        next = step->next;
        free(step->name);
        free(step);
    }
    free(definition->name);
    free(definition);
}

void tally_free(struct tally *tally)
{
    for (struct definition_tally *definition = tally->all, *next; definition; definition = next) {
        next = definition->next_of_all;
        free_definition(definition);
    }
    pthread_mutex_destroy(&tally->lock);
    free(tally);
}

static struct definition_tally *definition_of(struct tally *tally, const char *name)
{
    struct definition_tally **bucket = &tally->definitions[hash_bytes(name, strlen(name), 0) % DEFINITION_BUCKETS];
    for (struct definition_tally *definition = *bucket; definition; definition = definition->next) {
        if (strcmp(definition->name, name) == 0)
            return definition;
    }
    struct definition_tally *definition = mem_alloc(sizeof *definition);
    definition->name = mem_strdup(name);
    definition->durations[0].shape = definition->durations[1].shape = &histogram_durations;
    definition->next = *bucket;
    definition->next_of_all = tally->all;
    tally->definitions_n++;
    return tally->all = *bucket = definition;
}

static struct step_tally *step_of(struct definition_tally *definition, const char *name)
{
    for (struct step_tally *step = definition->steps; step; step = step->next) {
        if (strcmp(step->name, name) == 0)
            return step;
    }
    struct step_tally *step = mem_alloc(sizeof *step);
    step->name = mem_strdup(name);
    for (int kind = 0; kind < KINDS_N; kind++)
        step->durations[kind].shape = &histogram_durations;
    step->next = definition->steps;
    return definition->steps = step;
}

/* ---- counting ---- */

static void count_attempt(struct definition_tally *definition, const struct saga *saga, const struct history_entry *entry,
                          enum command_kind kind)
{
    const struct saga_step *step = &saga->steps[entry->step];
    struct step_tally *tally = step_of(definition, saga->definition->steps[entry->step].name);
    /* Of the attempts a step remembers the last, whose command's id tells when it was made. */
    if (step->attempt == entry->attempt && machine_kind(step) == kind)
        histogram_observe(&tally->durations[kind], entry->at_ms - uuid_v7_ms(&step->command_id));
}

static void count_retry(struct definition_tally *definition, const struct saga *saga, const struct history_entry *entry,
                        enum command_kind kind)
{
    if (entry->attempt > 1)
        step_of(definition, saga->definition->steps[entry->step].name)->retries[kind]++;
}

static struct minute_tally *minute_of(struct tally *tally, struct definition_tally *definition, int64_t at_ms)
{
    int64_t minute = at_ms / MINUTE_MS;
    struct minute_tally *out = &definition->minutes[minute & 1];
    if (minute != out->minute)
        *out = (struct minute_tally){.minute = minute, .durations = {.shape = &histogram_fine}};
    out->changed = ++tally->changes;
    return out;
}

static void count_saga(struct tally *tally, struct definition_tally *definition, const struct saga *saga,
                       const struct history_entry *entry)
{
    const char *event = entry->event;
    if (strcmp(event, "saga_started") == 0) {
        definition->started++;
        minute_of(tally, definition, entry->at_ms)->started++;
    } else if (strcmp(event, "saga_stalled") == 0) {
        definition->stalled++;
        minute_of(tally, definition, entry->at_ms)->stalled++;
    } else if (strcmp(event, "saga_cancelled") == 0) {
        definition->cancelled++;
    } else if (strcmp(event, "saga_completed") == 0 || strcmp(event, "saga_compensated") == 0) {
        struct minute_tally *minute = minute_of(tally, definition, entry->at_ms);
        bool completed = saga->state == SAGA_COMPLETED;
        int64_t took_ms = entry->at_ms - (saga->start_ms > saga->created_ms ? saga->start_ms : saga->created_ms);
        (*(completed ? &definition->completed : &definition->compensated))++;
        (*(completed ? &minute->completed : &minute->compensated))++;
        histogram_observe(&definition->durations[completed ? 0 : 1], took_ms);
        histogram_observe(&minute->durations, took_ms);
    }
}

static void count_entry(struct tally *tally, struct definition_tally *definition, const struct saga *saga, const struct history_entry *entry)
{
    const char *event = entry->event;
    if (strcmp(event, "action_sent") == 0)
        count_retry(definition, saga, entry, KIND_ACTION);
    else if (strcmp(event, "compensation_sent") == 0)
        count_retry(definition, saga, entry, KIND_COMPENSATION);
    else if (strcmp(event, "action_succeeded") == 0 || strcmp(event, "action_failed") == 0)
        count_attempt(definition, saga, entry, KIND_ACTION);
    else if (strcmp(event, "compensation_succeeded") == 0 || strcmp(event, "compensation_failed") == 0)
        count_attempt(definition, saga, entry, KIND_COMPENSATION);
    else
        count_saga(tally, definition, saga, entry);
}

void tally_saga(struct tally *tally, const struct saga *saga, const struct history_entry *history)
{
    pthread_mutex_lock(&tally->lock);
    struct definition_tally *definition = definition_of(tally, saga->definition->name);
    for (const struct history_entry *entry = history; entry; entry = entry->next)
        count_entry(tally, definition, saga, entry);
    pthread_mutex_unlock(&tally->lock);
}

void tally_batch(struct tally *tally, enum tally_batch kind, size_t n, int64_t us)
{
    pthread_mutex_lock(&tally->lock);
    histogram_observe(&tally->sizes[kind], (int64_t)n);
    histogram_observe(&tally->times[kind], us);
    pthread_mutex_unlock(&tally->lock);
}

static void copy_minute(const struct definition_tally *definition, const struct minute_tally *from, struct arena *arena,
                        struct store_minute *out)
{
    size_t n = histogram_fine.bounds_n + 1;
    uint64_t *durations = arena_array(arena, n, sizeof *durations);
    memcpy(durations, from->durations.counts, n * sizeof *durations);
    *out = (struct store_minute){.minute_ms = from->minute * MINUTE_MS,
                                 .definition = arena_strdup(arena, definition->name),
                                 .started = (int64_t)from->started,
                                 .completed = (int64_t)from->completed,
                                 .compensated = (int64_t)from->compensated,
                                 .stalled = (int64_t)from->stalled,
                                 .durations = durations};
}

uint64_t tally_minutes(struct tally *tally, uint64_t since, struct arena *arena, struct store_minute **out, size_t *n)
{
    pthread_mutex_lock(&tally->lock);
    *n = 0;
    *out = tally->changes > since ? arena_array(arena, 2 * tally->definitions_n, sizeof **out) : NULL;
    for (const struct definition_tally *d = tally->all; d && *out; d = d->next_of_all) {
        for (size_t i = 0; i < 2; i++) {
            if (d->minutes[i].changed > since)
                copy_minute(d, &d->minutes[i], arena, &(*out)[(*n)++]);
        }
    }
    uint64_t changes = tally->changes;
    pthread_mutex_unlock(&tally->lock);
    return changes;
}

/* ---- as metrics ----
 *
 * Definitions and steps are only ever added, at the front of their lists, and keep their names: the lock is held to copy the
 * figures of one, not while they are written. */

static struct definition_tally *first_definition(struct tally *tally)
{
    pthread_mutex_lock(&tally->lock);
    struct definition_tally *first = tally->all;
    pthread_mutex_unlock(&tally->lock);
    return first;
}

static void copy(struct tally *tally, void *to, const void *from, size_t size)
{
    pthread_mutex_lock(&tally->lock);
    memcpy(to, from, size);
    pthread_mutex_unlock(&tally->lock);
}

static bool is_empty(const struct histogram *histogram)
{
    for (size_t i = 0; i <= histogram->shape->bounds_n; i++) {
        if (histogram->counts[i])
            return false;
    }
    return true;
}

static void write_counter(struct tally *tally, struct buf *out, const char *name, const char *help, size_t offset)
{
    metric_family(out, name, "counter", help);
    for (const struct definition_tally *d = first_definition(tally); d; d = d->next_of_all) {
        uint64_t value;
        copy(tally, &value, (const char *)d + offset, sizeof value);
        metric_value(out, name, METRIC_LABELS({"definition", d->name}), (double)value);
    }
}

static void write_sagas(struct tally *tally, struct buf *out)
{
    static const struct {
        const char *name, *help;
        size_t offset;
    } counters[] = {
        {"saga_started_total", "Sagas accepted.", offsetof(struct definition_tally, started)},
        {"saga_completed_total", "Sagas that completed.", offsetof(struct definition_tally, completed)},
        {"saga_compensated_total", "Sagas that were undone.", offsetof(struct definition_tally, compensated)},
        {"saga_stalled_total", "Times that a saga stalled: it needs an operator.", offsetof(struct definition_tally, stalled)},
        {"saga_cancelled_total", "Sagas that were cancelled.", offsetof(struct definition_tally, cancelled)},
    };
    static const char *const outcomes[] = {"COMPLETED", "COMPENSATED"};
    for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++)
        write_counter(tally, out, counters[i].name, counters[i].help, counters[i].offset);
    metric_family(out, "saga_duration_seconds", "histogram", "From the acceptance of a saga, or the time set for it, to its end.");
    for (const struct definition_tally *d = first_definition(tally); d; d = d->next_of_all) {
        struct histogram durations[2];
        copy(tally, durations, d->durations, sizeof durations);
        for (size_t i = 0; i < 2; i++)
            metric_histogram(out, "saga_duration_seconds", METRIC_LABELS({"definition", d->name}, {"state", outcomes[i]}), &durations[i]);
    }
}

/* What has never run, as most compensations, is left out. */
static void write_step(struct buf *out, const struct definition_tally *definition, const struct step_tally *step)
{
    for (int kind = 0; kind < KINDS_N; kind++) {
        if (!is_empty(&step->durations[kind]))
            metric_histogram(out, "saga_step_duration_seconds",
                             METRIC_LABELS({"definition", definition->name}, {"step", step->name}, {"kind", command_kind_name(kind)}),
                             &step->durations[kind]);
    }
}

static void write_retries(struct buf *out, const struct definition_tally *definition, const struct step_tally *step)
{
    for (int kind = 0; kind < KINDS_N; kind++)
        metric_value(out, "saga_retries_total",
                     METRIC_LABELS({"definition", definition->name}, {"step", step->name}, {"kind", command_kind_name(kind)}),
                     (double)step->retries[kind]);
}

static void write_steps(struct tally *tally, struct buf *out,
                        void (*write)(struct buf *out, const struct definition_tally *definition, const struct step_tally *step))
{
    for (const struct definition_tally *d = first_definition(tally); d; d = d->next_of_all) {
        struct step_tally *first, step;
        copy(tally, &first, &d->steps, sizeof first);
        for (const struct step_tally *at = first; at; at = step.next) {
            copy(tally, &step, at, sizeof step);
            write(out, d, &step);
        }
    }
}

static void write_batches(struct tally *tally, struct buf *out)
{
    static const char *const kinds[TALLY_BATCHES_N] = {"starts", "replies", "timers"};
    struct histogram sizes[TALLY_BATCHES_N], times[TALLY_BATCHES_N];
    copy(tally, sizes, tally->sizes, sizeof sizes);
    copy(tally, times, tally->times, sizeof times);
    metric_family(out, "saga_engine_batch_items", "histogram", "Starts, replies, or timers and operators' acts carried at once.");
    for (int i = 0; i < TALLY_BATCHES_N; i++)
        metric_histogram(out, "saga_engine_batch_items", METRIC_LABELS({"batch", kinds[i]}), &sizes[i]);
    metric_family(out, "saga_engine_batch_seconds", "histogram", "From taking such a batch to having answered or committed all of it.");
    for (int i = 0; i < TALLY_BATCHES_N; i++)
        metric_histogram(out, "saga_engine_batch_seconds", METRIC_LABELS({"batch", kinds[i]}), &times[i]);
}

void tally_write(struct tally *tally, struct buf *out)
{
    write_sagas(tally, out);
    metric_family(out, "saga_step_duration_seconds", "histogram", "From the command of an attempt to its verdict.");
    write_steps(tally, out, write_step);
    metric_family(out, "saga_retries_total", "counter", "Attempts of steps after their first.");
    write_steps(tally, out, write_retries);
    write_batches(tally, out);
}
