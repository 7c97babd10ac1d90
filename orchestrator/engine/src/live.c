#include "live.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

#define BUCKETS 8192

/* One allocation: the struct, its steps, its texts. */
struct entry {
    struct live_saga live; /* first, so that it is the entry */
    struct entry *chain;   /* of its bucket */
    struct entry *older, *newer;
    size_t size;
    int64_t put_ms;
};

struct live {
    pthread_mutex_t lock;
    struct entry *buckets[BUCKETS];
    struct entry *oldest, *newest;
    size_t bytes, bytes_max;
    int64_t age_max_ms;
    int64_t server;
};

struct live *live_new(size_t bytes_max, int64_t age_max_ms)
{
    struct live *live = mem_alloc(sizeof *live);
    live->bytes_max = bytes_max;
    live->age_max_ms = age_max_ms;
    pthread_mutex_init(&live->lock, NULL);
    return live;
}

static struct entry **find(struct live *live, const struct uuid *id)
{
    struct entry **at = &live->buckets[uuid_hash(id) % BUCKETS];
    while (*at && !uuid_equal(&(*at)->live.saga.id, id))
        at = &(*at)->chain;
    return at;
}

static struct entry *unlink_at(struct live *live, struct entry **at)
{
    struct entry *entry = *at;
    *at = entry->chain;
    *(entry->older ? &entry->older->newer : &live->oldest) = entry->newer;
    *(entry->newer ? &entry->newer->older : &live->newest) = entry->older;
    live->bytes -= entry->size;
    return entry;
}

static void forget_all(struct live *live)
{
    while (live->oldest)
        free(unlink_at(live, find(live, &live->oldest->live.saga.id)));
}

/* By the clock that goes on while the machine sleeps. */
static void forget_old(struct live *live)
{
    int64_t least_ms = clock_real_ms() - live->age_max_ms;
    while (live->oldest && live->oldest->put_ms < least_ms)
        free(unlink_at(live, find(live, &live->oldest->live.saga.id)));
}

void live_free(struct live *live)
{
    if (!live)
        return;
    forget_all(live);
    pthread_mutex_destroy(&live->lock);
    free(live);
}

void live_take(struct live *live, int64_t server, const struct uuid *ids, size_t n, struct live_saga **out)
{
    pthread_mutex_lock(&live->lock);
    forget_old(live);
    for (size_t i = 0; i < n; i++) {
        struct entry **at = find(live, &ids[i]);
        out[i] = *at && server == live->server ? &unlink_at(live, at)->live : NULL;
    }
    pthread_mutex_unlock(&live->lock);
}

void live_drop(struct live_saga *saga)
{
    if (saga && saga->saga.definition)
        saga_release(&saga->saga);
    free(saga);
}

/* ---- copies ---- */

static size_t text_size(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

static size_t entry_size(const struct saga *saga)
{
    size_t steps_n = saga->definition->steps_n;
    size_t size = sizeof(struct entry) + steps_n * sizeof(struct saga_step) + saga->input_len + 1 +
                  text_size(saga->idempotency_key) + text_size(saga->key) + text_size(saga->parent_step) + text_size(saga->labels) + text_size(saga->clock) + text_size(saga->traceparent) + text_size(saga->definition->name);
    for (size_t i = 0; i < steps_n; i++)
        size += (saga->steps[i].output ? saga->steps[i].output_len + 1 : 0) + text_size(saga->steps[i].error);
    return size;
}

static const char *copy(char **at, const char *text, size_t len)
{
    if (!text)
        return NULL;
    char *to = *at;
    memcpy(to, text, len);
    to[len] = '\0';
    *at += len + 1;
    return to;
}

static const char *copy_text(char **at, const char *text)
{
    return copy(at, text, text ? strlen(text) : 0);
}

static struct entry *copy_of(const struct saga *saga)
{
    size_t steps_n = saga->definition->steps_n, size = entry_size(saga);
    struct entry *entry = mem_alloc(size);
    struct saga_step *steps = (struct saga_step *)(entry + 1);
    char *texts = (char *)(steps + steps_n);
    entry->size = size;
    entry->put_ms = clock_real_ms();
    entry->live = (struct live_saga){.saga = *saga, .definition_version = saga->definition->version, .steps_n = steps_n};
    entry->live.definition = copy_text(&texts, saga->definition->name);
    struct saga *to = &entry->live.saga;
    to->definition = NULL;
    to->steps = steps;
    to->input_value = NULL;
    to->input = copy(&texts, saga->input, saga->input_len);
    to->idempotency_key = copy_text(&texts, saga->idempotency_key);
    to->key = copy_text(&texts, saga->key);
    to->parent_step = copy_text(&texts, saga->parent_step);
    to->labels = copy_text(&texts, saga->labels);
    to->clock = copy_text(&texts, saga->clock);
    to->traceparent = copy_text(&texts, saga->traceparent);
    for (size_t i = 0; i < steps_n; i++) {
        const struct saga_step *from = &saga->steps[i];
        steps[i] = *from;
        steps[i].output_value = NULL;
        steps[i].output = copy(&texts, from->output, from->output_len);
        steps[i].error = copy_text(&texts, from->error);
    }
    return entry;
}

/* False when a newer one is there. */
static bool link_entry(struct live *live, struct entry *entry)
{
    struct entry **at = find(live, &entry->live.saga.id);
    if (*at && (*at)->live.saga.version > entry->live.saga.version)
        return false;
    if (*at)
        free(unlink_at(live, at));
    entry->chain = *at;
    *at = entry;
    entry->older = live->newest;
    *(live->newest ? &live->newest->newer : &live->oldest) = entry;
    live->newest = entry;
    live->bytes += entry->size;
    return true;
}

void live_put(struct live *live, int64_t server, const struct saga *saga)
{
    if (saga_ended(saga->state))
        return;
    struct entry *entry = copy_of(saga);
    pthread_mutex_lock(&live->lock);
    bool kept = server == live->server && link_entry(live, entry);
    while (live->bytes > live->bytes_max)
        free(unlink_at(live, find(live, &live->oldest->live.saga.id)));
    pthread_mutex_unlock(&live->lock);
    if (!kept)
        free(entry);
}

void live_serve(struct live *live, int64_t server)
{
    pthread_mutex_lock(&live->lock);
    if (server != live->server)
        forget_all(live);
    live->server = server;
    pthread_mutex_unlock(&live->lock);
}
