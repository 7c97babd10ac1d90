#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "call.h"
#include "wire/wire.h"

#define LIST_DEFAULT 50
#define LIST_MAX 500
#define ANSWER_MAX (256u * 1024 * 1024)

static const struct route show = {"GET", "", true, sagas_get};

void sagas_show_later(struct call *call)
{
    call_later(call, &show);
}

bool sagas_try_show_later(struct call *call)
{
    return call_try_later(call, &show);
}

/* ---- a saga as JSON ---- */

static void add_text_member(struct buf *out, const char *name, const char *text)
{
    buf_printf(out, ",\"%s\":", name);
    if (text)
        buf_json_str(out, text);
    else
        buf_str(out, "null");
}

static void add_json_member(struct buf *out, const char *name, const char *json)
{
    buf_printf(out, ",\"%s\":%s", name, json ? json : "null");
}

static void add_saga(struct buf *out, const struct store_saga_view *saga)
{
    char id[UUID_TEXT_MAX], trace[WIRE_TRACE_ID_MAX];
    buf_printf(out, "{\"id\":\"%s\",\"definition\":\"%s\",\"version\":%d,\"state\":\"%s\",\"cancelled\":%s,\"paused\":%s",
               uuid_format(&saga->id, id), saga->definition, saga->version, saga->state,
               saga->cancelled ? "true" : "false", saga->paused ? "true" : "false");
    add_text_member(out, "idempotency_key", saga->idempotency_key);
    add_text_member(out, "key", saga->key);
    add_json_member(out, "labels", saga->labels ? saga->labels : "{}");
    buf_time_member(out, "created_at", saga->created_ms);
    buf_time_member(out, "start_at", saga->start_ms);
    buf_time_member(out, "ended_at", saga->ended_ms);
    buf_time_member(out, "deadline_at", saga->deadline_ms);
    if (saga->parent_step)
        buf_printf(out, ",\"parent\":{\"saga\":\"%s\",\"step\":\"%s\"}", uuid_format(&saga->parent_id, id), saga->parent_step);
    else
        buf_str(out, ",\"parent\":null");
    buf_printf(out, ",\"trace_id\":\"%s\"", wire_trace_id(saga->traceparent, &saga->id, trace));
}

/* What the machine has to see to say what an operator may do. */
static void fill_saga(struct saga *saga, const struct store_saga_view *view, const struct definition *definition,
                      const struct store_step_row *rows, struct saga_step *steps)
{
    *saga = (struct saga){.definition = definition, .cancelled = view->cancelled, .paused = view->paused, .steps = steps};
    if (!saga_state_parse(view->state, &saga->state))
        saga->state = SAGA_COMPLETED; /* a newer program's word: nothing that we know may be done */
    for (size_t i = 0; i < definition->steps_n; i++) {
        steps[i] = (struct saga_step){.round = rows[i].round, .attempt = rows[i].attempt, .waived = rows[i].waived};
        if (rows[i].state && !step_state_parse(rows[i].state, &steps[i].state))
            saga->state = SAGA_COMPLETED;
    }
}

static bool waits_for_signal(const struct saga *saga, int step)
{
    return step >= 0 && saga->definition->steps[step].kind == STEP_WAITS && saga->steps[step].state == STEP_RUNNING;
}

/* The names of what may be done now: of the saga, or of a step. */
static void add_actions(struct buf *out, const struct saga *saga, int step)
{
    static const struct {
        enum event_type type;
        const char *name;
        bool of_step;
    } acts[] = {{EVENT_CANCEL, "cancel", false}, {EVENT_PAUSE, "pause", false}, {EVENT_RESUME, "resume", false}, {EVENT_RETRY, "retry", true}, {EVENT_SUPPLY, "resolve", true}, {EVENT_SKIP, "skip", true},
              {EVENT_SIGNAL, "signal", true}};
    const char *before = "";
    buf_str(out, ",\"actions\":[");
    for (size_t i = 0; i < sizeof acts / sizeof acts[0]; i++) {
        struct event event = {.type = acts[i].type, .step = step, .outcome = OUTCOME_SUCCEEDED};
        bool deaf = acts[i].type == EVENT_SIGNAL && !waits_for_signal(saga, step);
        if (acts[i].of_step != (step >= 0) || deaf || machine_refusal(saga, &event))
            continue;
        buf_printf(out, "%s\"%s\"", before, acts[i].name);
        before = ",";
    }
    buf_char(out, ']');
}

static void add_steps(struct buf *out, const struct saga *saga, const struct store_step_row *rows)
{
    buf_str(out, ",\"steps\":[");
    for (size_t i = 0; i < saga->definition->steps_n; i++) {
        const struct step_definition *step = &saga->definition->steps[i];
        const struct saga_step *s = &saga->steps[i];
        char version[STEP_VERSION_MAX];
        const char *quote = step->service ? "\"" : "";
        buf_printf(out, "%s{\"name\":\"%s\",\"service\":%s%s%s,\"state\":\"%s\",\"round\":%d,\"attempt\":%d,\"version\":\"%s\"",
                   i ? "," : "", step->name, quote, step->service ? step->service : "null", quote, rows[i].state ? rows[i].state : step_state_name(STEP_PENDING),
                   rows[i].round, rows[i].attempt, step_version(s->state, s->round, s->attempt, version));
        add_actions(out, saga, (int)i);
        add_json_member(out, "output", rows[i].output);
        add_json_member(out, "error", rows[i].error);
        buf_char(out, '}');
    }
    buf_str(out, "]}");
}

static void answer_saga(struct call *call, const struct store_saga_view *view, const struct definition *definition,
                        const struct store_step_row *rows)
{
    char id[UUID_TEXT_MAX];
    struct saga saga;
    struct saga_step steps[DEFINITION_STEPS_MAX];
    struct buf body = buf_new(ANSWER_MAX);
    fill_saga(&saga, view, definition, rows, steps);
    add_saga(&body, view);
    add_json_member(&body, "input", view->input);
    buf_printf(&body, ",\"revision\":%lld", (long long)view->revision);
    add_actions(&body, &saga, -1);
    add_steps(&body, &saga, rows);
    const char *location =
        call->status == 201 ? arena_printf(&call->arena, "/v1/sagas/%s", uuid_format(&view->id, id)) : NULL;
    call_json(call, call->status, &body, location);
}

void sagas_show(struct call *call, const struct saga *saga)
{
    struct store_step_row rows[DEFINITION_STEPS_MAX];
    struct store_saga_view view = {.id = saga->id,
                                   .definition = saga->definition->name,
                                   .version = saga->definition->version,
                                   .state = saga_state_name(saga->state),
                                   .cancelled = saga->cancelled,
                                   .paused = saga->paused,
                                   .start_ms = saga->start_ms,
                                   .key = saga->key,
                                   .labels = saga->labels,
                                   .parent_id = saga->parent_id,
                                   .parent_step = saga->parent_step,
                                   .idempotency_key = saga->idempotency_key,
                                   .input = saga->input,
                                   .created_ms = saga->created_ms,
                                   .ended_ms = saga->ended_ms,
                                   .deadline_ms = saga->deadline_ms,
                                   .traceparent = saga->traceparent,
                                   .revision = saga->version};
    for (size_t i = 0; i < saga->definition->steps_n; i++) {
        const struct saga_step *step = &saga->steps[i];
        rows[i] = (struct store_step_row){step_state_name(step->state), step->round, step->attempt, step->waived, step->output, step->error};
    }
    answer_saga(call, &view, saga->definition, rows);
}

void sagas_answer_accepted(struct call *call)
{
    char id[UUID_TEXT_MAX], location[64];
    struct buf body = buf_new(1024);
    snprintf(location, sizeof location, "/v1/sagas/%s", uuid_format(&call->saga_id, id));
    buf_printf(&body, "{\"id\":\"%s\",\"definition\":\"%s\",\"created\":%s}", id, call->parameter,
               call->status == 201 ? "true" : "false");
    call_json(call, call->status, &body, location);
}

/* ---- show ---- */

void sagas_get(struct call *call)
{
    struct store_saga_view saga;
    struct store_step_row rows[DEFINITION_STEPS_MAX];
    const struct definition *definition = NULL;
    struct reader *reader = call->reader;
    bool found = false;
    struct err err;
    bool ok = store_get_saga(reader->pg, &call->arena, &call->saga_id, &saga, &found, &err);
    if (ok && !found) {
        call_not_found(call, "there is no such saga");
        return;
    }
    ok = ok && (definition = catalog_get(reader->catalog, reader->pg, saga.definition, saga.version, &err)) &&
         store_get_steps(reader->pg, &call->arena, &call->saga_id, rows, definition->steps_n, &err);
    if (!ok && call->started) {
        sagas_answer_accepted(call);
        return;
    }
    if (!ok) {
        call_database_problem(call, &err);
        return;
    }
    answer_saga(call, &saga, definition, rows);
}

bool sagas_read_id(struct call *call)
{
    if (uuid_parse(call->parameter, &call->saga_id))
        return true;
    call_problem(call, 400, "invalid-id", "The path has no valid id", "expected a UUID", NULL);
    return false;
}

static void on_watched(struct watch *watch, const struct saga *saga)
{
    struct call *call = watch->context;
    if (saga)
        sagas_show(call, saga);
    else
        sagas_show_later(call);
}

/* GET of one saga; with ?wait it is shown once it has ended, with ?after too once it has a higher revision. */
void sagas_wait(struct call *call)
{
    int64_t wait_ms = 0, after = -1;
    struct engine *engine = atomic_load(&call->api->engine);
    if (!sagas_read_id(call) || !call_query_duration(call, "wait", WAIT_MAX_MS, &wait_ms) ||
        !call_query_int(call, "after", 0, INT64_MAX, &after))
        return;
    call->status = 200;
    if (!wait_ms || !engine) {
        sagas_show_later(call);
        return;
    }
    struct watch *watch = arena_alloc(&call->arena, sizeof *watch);
    *watch = (struct watch){.id = call->saga_id, .changes = after >= 0, .after = after,
                            .deadline_ms = clock_mono_ms() + wait_ms, .done = on_watched, .context = call};
    engine_watch(engine, watch);
}

/* ---- list ---- */

/* "name:value,name:value" as the JSON object of them. */
static bool read_labels(struct call *call, const char **out)
{
    const char *given = http_query(call->request, "label");
    char *rest = given ? arena_strdup(&call->arena, given) : NULL;
    struct buf text = buf_new(8192);
    bool ok = true;
    buf_char(&text, '{');
    for (char *name; ok && (name = strsep(&rest, ","));) {
        char *value = strchr(name, ':');
        if (value)
            *value++ = '\0';
        ok = label_is_name(name) && label_is_value(value);
        buf_str(&text, text.len > 1 ? "," : "");
        buf_json_str(&text, name);
        buf_char(&text, ':');
        buf_json_str(&text, ok ? value : "");
    }
    buf_char(&text, '}');
    ok = ok && !text.failed;
    *out = given ? arena_strdup(&call->arena, buf_text(&text)) : NULL;
    buf_free(&text);
    return !given || ok || call_bad_parameter(call, "label", "expected name:value, or several of them with commas between");
}

static bool read_filter(struct call *call, struct store_filter *filter, int64_t *limit)
{
    enum saga_state known;
    const char *definition = http_query(call->request, "definition"), *label = http_query(call->request, "label");
    const char *cursor = http_query(call->request, "before");
    const char *of = http_query(call->request, "parent");
    struct uuid *before = arena_alloc(&call->arena, sizeof *before), *parent = arena_alloc(&call->arena, sizeof *parent);
    *filter = (struct store_filter){.state = http_query(call->request, "state"),
                                    .definition = http_query(call->request, "definition"),
                                    .parent = of ? parent : NULL,
                                    .before = cursor ? before : NULL};
    *limit = LIST_DEFAULT;
    if (filter->state && !saga_state_parse(filter->state, &known))
        return call_bad_parameter(call, "state", "expected SCHEDULED, QUEUED, RUNNING, COMPENSATING, STALLED, COMPLETED or COMPENSATED");
    if ((definition && !text_is_utf8(definition)) || (label && !text_is_utf8(label)))
        return call_bad_parameter(call, definition ? "definition" : "label", "expected UTF-8");
    if (of && label)
        return call_bad_parameter(call, "parent", "it cannot be asked for together with label");
    if (of && !uuid_parse(of, parent))
        return call_bad_parameter(call, "parent", "expected a saga's id");
    if (cursor && !uuid_parse(cursor, before))
        return call_bad_parameter(call, "before", "expected a saga's id");
    return read_labels(call, &filter->labels) && call_query_time(call, "from", &filter->from_ms) && call_query_time(call, "to", &filter->to_ms) &&
           call_query_int(call, "limit", 1, LIST_MAX, limit);
}

/* &name=value, with whatever is not plain in the value written as RFC 3986 has it. */
static void buf_query(struct buf *out, const char *name, const char *value)
{
    buf_printf(out, "&%s=", name);
    for (; *value; value++) {
        if (isalnum((unsigned char)*value) || strchr("-_.~:,", *value))
            buf_char(out, *value);
        else
            buf_printf(out, "%%%02X", (unsigned char)*value);
    }
}

/* The address of the next page: the same filter, from the last saga on. */
static void add_next(struct call *call, struct buf *body, const struct uuid *last, const struct store_filter *filter, int64_t limit)
{
    char text[UUID_TEXT_MAX > CLOCK_TEXT_MAX ? UUID_TEXT_MAX : CLOCK_TEXT_MAX];
    struct buf url = buf_new(8192);
    buf_printf(&url, "/v1/sagas?before=%s&limit=%d", uuid_format(last, text), (int)limit);
    if (filter->state)
        buf_printf(&url, "&state=%s", filter->state);
    if (filter->definition)
        buf_printf(&url, "&definition=%s", filter->definition);
    if (filter->parent)
        buf_query(&url, "parent", http_query(call->request, "parent"));
    if (filter->labels)
        buf_query(&url, "label", http_query(call->request, "label"));
    if (filter->from_ms)
        buf_printf(&url, "&from=%s", clock_format(filter->from_ms, text));
    if (filter->to_ms)
        buf_printf(&url, "&to=%s", clock_format(filter->to_ms, text));
    buf_json_str(body, buf_text(&url));
    buf_free(&url);
}

void sagas_list(struct call *call)
{
    struct store_filter filter;
    int64_t limit;
    struct store_saga_view *sagas;
    size_t n;
    struct err err;
    if (!read_filter(call, &filter, &limit))
        return;
    if (!store_list_sagas(call->reader->pg, &call->arena, &filter, (int)limit + 1, &sagas, &n, &err)) {
        call_database_problem(call, &err);
        return;
    }
    bool more = n > (size_t)limit;
    struct buf body = buf_new(ANSWER_MAX);
    buf_str(&body, "{\"sagas\":[");
    for (size_t i = 0; i < n - more; i++) {
        buf_str(&body, i ? "," : "");
        add_saga(&body, &sagas[i]);
        buf_char(&body, '}');
    }
    buf_str(&body, "],\"next\":");
    if (more)
        add_next(call, &body, &sagas[n - 2].id, &filter, limit);
    else
        buf_str(&body, "null");
    buf_char(&body, '}');
    call_json(call, 200, &body, NULL);
}

/* ---- history ---- */

void sagas_history(struct call *call)
{
    const char **batches;
    struct store_saga_view saga;
    int64_t after = 0, limit = LIST_MAX, last;
    size_t n = 0;
    bool found = false, any = false;
    struct err err;
    struct pg *pg = call->reader->pg;
    if (!sagas_read_id(call) || !call_query_int(call, "after", 0, INT64_MAX, &after) ||
        !call_query_int(call, "limit", 1, LIST_MAX, &limit))
        return;
    if (!store_get_saga(pg, &call->arena, &call->saga_id, &saga, &found, &err) ||
        !store_get_history(pg, &call->arena, &call->saga_id, after, (int)limit, &batches, &n, &last, &err)) {
        call_database_problem(call, &err);
        return;
    }
    if (!found) {
        call_not_found(call, "there is no such saga");
        return;
    }
    struct buf body = buf_new(ANSWER_MAX);
    buf_str(&body, "{\"entries\":[");
    for (size_t i = 0; i < n; i++) { /* each batch is an array: what is between its brackets goes into one */
        size_t len = strlen(batches[i]);
        if (len <= 2)
            continue;
        buf_str(&body, any ? "," : "");
        buf_add(&body, batches[i] + 1, len - 2);
        any = true;
    }
    buf_printf(&body, "],\"last\":%lld,\"next\":", (long long)last);
    if (n == (size_t)limit)
        buf_printf(&body, "\"/v1/sagas/%s/history?after=%lld&limit=%lld\"}", call->parameter, (long long)last, (long long)limit);
    else
        buf_str(&body, "null}");
    call_json(call, 200, &body, NULL);
}
