/* What an operator looks at first: what needs a person, what lives, what happened in the last hour. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/metric.h"
#include "base/turn.h"
#include "call.h"

#define ANSWER_MAX (1024u * 1024)
#define MINUTE_MS 60000
#define MINUTES 60
#define OUTBOX_LATE_MS 10000 /* a message that waits longer does not get to Kafka */

struct overview {
    int64_t now_ms, first_ms; /* of the present minute and of the first one shown */
    struct store_gauges gauges;
    struct store_minute *minutes;
    size_t minutes_n;
    struct histogram durations;
    struct store_process *processes;
    size_t processes_n;
};

static bool read_overview(struct call *call, struct overview *out, struct err *err)
{
    struct pg *pg = call->reader->pg;
    *out = (struct overview){.now_ms = clock_real_ms(), .durations = {.shape = &histogram_fine}};
    out->first_ms = out->now_ms / MINUTE_MS * MINUTE_MS - (MINUTES - 1) * MINUTE_MS;
    return store_gauges(pg, &out->gauges, err) &&
           store_get_minutes(pg, &call->arena, out->first_ms, &out->minutes, &out->minutes_n, &out->durations, err) &&
           store_get_processes(pg, &call->arena, &out->processes, &out->processes_n, err);
}

/* ---- what needs a person ---- */

struct attention {
    struct buf *body;
    bool some;
};

static void add_attention(struct attention *attention, const char *kind, const char *text)
{
    buf_printf(attention->body, "%s{\"kind\":\"%s\",\"text\":", attention->some ? "," : "", kind);
    buf_json_str(attention->body, text);
    buf_char(attention->body, '}');
    attention->some = true;
}

static void add_process_attention(struct call *call, struct attention *attention, const struct store_process *process)
{
    char seen[CLOCK_TEXT_MAX];
    if (!process->live)
        add_attention(attention, "process-gone",
                      arena_printf(&call->arena, "%s on %s (pid %d) was last seen at %s and did not say that it ends",
                                   process->program, process->host, process->pid, clock_format(process->seen_ms, seen)));
    else if (!process->healthy)
        add_attention(attention, "process-unhealthy",
                      arena_printf(&call->arena, "%s on %s (pid %d) does not reach PostgreSQL or Kafka", process->program,
                                   process->host, process->pid));
}

static void write_attention(struct call *call, const struct overview *o, struct buf *body)
{
    struct attention attention = {body, false};
    const struct store_gauges *g = &o->gauges;
    buf_str(body, "\"attention\":[");
    if (g->stalled)
        add_attention(&attention, "sagas-stalled",
                      arena_printf(&call->arena, g->stalled == 1 ? "1 saga is stalled and needs an operator"
                                                                 : "%" PRId64 " sagas are stalled and need an operator", g->stalled));
    if (g->outbox_oldest_ms > OUTBOX_LATE_MS)
        add_attention(&attention, "outbox-waits", "Messages wait in the outbox for more than 10 s to go to Kafka");
    for (size_t i = 0; i < o->processes_n; i++)
        add_process_attention(call, &attention, &o->processes[i]);
    buf_char(body, ']');
}

/* ---- figures ---- */

static void write_live(const struct overview *o, struct buf *body)
{
    buf_printf(body, ",\"live\":{\"RUNNING\":%" PRId64 ",\"COMPENSATING\":%" PRId64 ",\"STALLED\":%" PRId64 ",\"QUEUED\":%" PRId64
               ",\"SCHEDULED\":%" PRId64 "},\"paused\":%" PRId64,
               o->gauges.running, o->gauges.compensating, o->gauges.stalled, o->gauges.queued, o->gauges.scheduled, o->gauges.paused);
    buf_printf(body, ",\"outbox\":{\"rows\":%" PRId64 ",\"oldest_ms\":%" PRId64 "}", o->gauges.outbox_rows, o->gauges.outbox_oldest_ms);
}

static void write_quantile(const struct histogram *durations, const char *name, double q, struct buf *body)
{
    double ms = histogram_quantile(durations, q);
    if (ms < 0)
        buf_printf(body, "\"%s\":null", name);
    else
        buf_printf(body, "\"%s\":%.0f", name, ms);
}

static void write_hour(const struct overview *o, struct buf *body)
{
    struct store_minute sum = {0};
    for (size_t i = 0; i < o->minutes_n; i++) {
        sum.started += o->minutes[i].started;
        sum.completed += o->minutes[i].completed;
        sum.compensated += o->minutes[i].compensated;
        sum.stalled += o->minutes[i].stalled;
    }
    buf_printf(body, ",\"last_hour\":{\"started\":%" PRId64 ",\"completed\":%" PRId64 ",\"compensated\":%" PRId64 ",\"stalled\":%" PRId64
               ",\"duration_ms\":{", sum.started, sum.completed, sum.compensated, sum.stalled);
    write_quantile(&o->durations, "p50", 0.5, body);
    buf_char(body, ',');
    write_quantile(&o->durations, "p90", 0.9, body);
    buf_char(body, ',');
    write_quantile(&o->durations, "p99", 0.99, body);
    buf_str(body, "}}");
}

/* Every minute of the hour, the empty ones too. */
static void write_minutes(const struct overview *o, struct buf *body)
{
    size_t at = 0;
    buf_str(body, ",\"minutes\":[");
    for (int i = 0; i < MINUTES; i++) {
        int64_t minute_ms = o->first_ms + i * MINUTE_MS;
        struct store_minute minute = {0};
        char text[CLOCK_TEXT_MAX];
        if (at < o->minutes_n && o->minutes[at].minute_ms == minute_ms)
            minute = o->minutes[at++];
        buf_printf(body, "%s{\"minute\":\"%s\",\"started\":%" PRId64 ",\"completed\":%" PRId64 ",\"compensated\":%" PRId64 ",\"stalled\":%" PRId64 "}",
                   i ? "," : "", clock_format(minute_ms, text), minute.started, minute.completed, minute.compensated, minute.stalled);
    }
    buf_char(body, ']');
}

static void write_text(struct buf *body, const char *name, const char *text)
{
    buf_printf(body, "\"%s\":", name);
    buf_json_str(body, text);
    buf_char(body, ',');
}

static void write_processes(const struct overview *o, struct buf *body)
{
    buf_str(body, ",\"processes\":[");
    for (size_t i = 0; i < o->processes_n; i++) {
        const struct store_process *process = &o->processes[i];
        buf_str(body, i ? ",{" : "{");
        write_text(body, "program", process->program);
        write_text(body, "version", process->version);
        write_text(body, "host", process->host);
        write_text(body, "roles", process->roles);
        buf_printf(body, "\"pid\":%d,\"live\":%s,\"healthy\":%s", process->pid, process->live ? "true" : "false",
                   process->healthy ? "true" : "false");
        buf_time_member(body, "started_at", process->started_ms);
        buf_time_member(body, "seen_at", process->seen_ms);
        buf_char(body, '}');
    }
    buf_char(body, ']');
}

static void write_overview(struct call *call, const struct overview *overview, struct buf *body)
{
    char now[CLOCK_TEXT_MAX];
    buf_printf(body, "{\"now\":\"%s\",", clock_format(overview->now_ms, now));
    write_attention(call, overview, body);
    write_live(overview, body);
    write_hour(overview, body);
    write_minutes(overview, body);
    write_processes(overview, body);
    buf_char(body, '}');
}

/* ---- asked for by many ----
 *
 * What it costs grows with what waits: however many pages ask, the database is asked once, and for a tenth of the time at most. */

#define GOOD_FOR_MIN_MS 500
#define GOOD_FOR_TIMES 10

struct overview_cache {
    struct turn turn;
    char *text; /* NULL: none yet */
};

struct overview_cache *overview_cache_new(void)
{
    struct overview_cache *cache = mem_alloc(sizeof *cache);
    turn_open(&cache->turn);
    return cache;
}

void overview_cache_free(struct overview_cache *cache)
{
    turn_close(&cache->turn);
    free(cache->text);
    free(cache);
}

/* `text` NULL: there was no answer. */
static void keep(struct overview_cache *cache, const char *text, int64_t took_ms)
{
    int64_t good_for_ms = took_ms * GOOD_FOR_TIMES > GOOD_FOR_MIN_MS ? took_ms * GOOD_FOR_TIMES : GOOD_FOR_MIN_MS;
    pthread_mutex_lock(&cache->turn.lock);
    free(cache->text);
    cache->text = mem_strdup(text);
    turn_done(&cache->turn, text ? good_for_ms : 0);
    pthread_mutex_unlock(&cache->turn.lock);
}

static bool ask(struct call *call, struct buf *body, struct err *err)
{
    struct overview overview;
    int64_t begun_ms = clock_mono_ms();
    bool ok = read_overview(call, &overview, err);
    if (ok)
        write_overview(call, &overview, body);
    keep(call->api->overview, ok && !body->failed ? buf_text(body) : NULL, clock_mono_ms() - begun_ms);
    return ok;
}

/* False when nobody has had an answer yet. */
static bool take_last(struct overview_cache *cache, struct buf *body, struct err *err)
{
    pthread_mutex_lock(&cache->turn.lock);
    if (cache->text)
        buf_str(body, cache->text);
    pthread_mutex_unlock(&cache->turn.lock);
    return body->len > 0 || err_set(err, ERR_RETRY, "the overview is being asked for");
}

void overview_get(struct call *call)
{
    struct overview_cache *cache = call->api->overview;
    struct buf body = buf_new(ANSWER_MAX);
    struct err err;
    bool ok = turn_take(&cache->turn) ? ask(call, &body, &err) : take_last(cache, &body, &err);
    if (ok) {
        call_json(call, 200, &body, NULL);
        return;
    }
    buf_free(&body);
    call_database_problem(call, &err);
}
