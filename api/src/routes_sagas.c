#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "call.h"
#include "wire/wire.h"

#define WAIT_MAX_MS (10 * 60 * 1000)
#define LIST_DEFAULT 50
#define LIST_MAX 500
#define KEY_MAX 200
#define ANSWER_MAX (256u * 1024 * 1024)

static const struct route show = {"GET", "", true, sagas_get};

void sagas_show_later(struct call *call)
{
    call_later(call, &show);
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
    buf_printf(out, "{\"id\":\"%s\",\"definition\":\"%s\",\"version\":%d,\"state\":\"%s\",\"cancelled\":%s",
               uuid_format(&saga->id, id), saga->definition, saga->version, saga->state,
               saga->cancelled ? "true" : "false");
    add_text_member(out, "idempotency_key", saga->idempotency_key);
    buf_time_member(out, "created_at", saga->created_ms);
    buf_time_member(out, "ended_at", saga->ended_ms);
    buf_time_member(out, "deadline_at", saga->deadline_ms);
    buf_printf(out, ",\"trace_id\":\"%s\"", wire_trace_id(saga->traceparent, &saga->id, trace));
}

/* What the machine has to see to say what an operator may do. */
static void fill_saga(struct saga *saga, const struct store_saga_view *view, const struct definition *definition,
                      const struct store_step_row *rows, struct saga_step *steps)
{
    *saga = (struct saga){.definition = definition, .cancelled = view->cancelled, .steps = steps};
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
    } acts[] = {{EVENT_CANCEL, "cancel", false}, {EVENT_RETRY, "retry", true}, {EVENT_SUPPLY, "resolve", true}, {EVENT_SKIP, "skip", true},
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

/* A saga that the engine has in hand, as the database would show it. */
static void show_saga(struct call *call, const struct saga *saga)
{
    struct store_step_row rows[DEFINITION_STEPS_MAX];
    struct store_saga_view view = {.id = saga->id,
                                   .definition = saga->definition->name,
                                   .version = saga->definition->version,
                                   .state = saga_state_name(saga->state),
                                   .cancelled = saga->cancelled,
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

/* ---- start ---- */

/* A start on its way through the engine, and the wait for its end. */
struct starting {
    struct start start;
    struct watch watch;
    struct call *call;
    char definition[DEFINITION_NAME_MAX];
    char key[KEY_MAX + 1];
    char traceparent[WIRE_TRACEPARENT_MAX];
    char *input;
    int64_t wait_ms;
};

static void free_starting(struct starting *s)
{
    free(s->input);
    free(s);
}

static void note_started(struct starting *s, int status)
{
    struct call *call = s->call;
    call->saga_id = s->start.id;
    call->status = status;
    call->started = true;
    snprintf(call->parameter, sizeof call->parameter, "%s", s->definition);
}

/* The short answer: accepted and safe. */
static void answer_accepted(struct call *call)
{
    char id[UUID_TEXT_MAX], location[64];
    struct buf body = buf_new(1024);
    snprintf(location, sizeof location, "/v1/sagas/%s", uuid_format(&call->saga_id, id));
    buf_printf(&body, "{\"id\":\"%s\",\"definition\":\"%s\",\"created\":%s}", id, call->parameter,
               call->status == 201 ? "true" : "false");
    call_json(call, call->status, &body, location);
}

/* The saga has ended, or the wait has. */
static void finish_wait(struct starting *s, const struct saga *saga, int status)
{
    struct call *call = s->call;
    note_started(s, status);
    free_starting(s);
    if (saga)
        show_saga(call, saga);
    else if (!call_try_later(call, &show))
        answer_accepted(call);
}

static void on_created_and_ended(struct watch *watch, const struct saga *saga)
{
    finish_wait(watch->context, saga, 201);
}

static void on_existing_ended(struct watch *watch, const struct saga *saga)
{
    finish_wait(watch->context, saga, 200);
}

static void set_watch(struct starting *s, void (*done)(struct watch *watch, const struct saga *saga))
{
    s->watch = (struct watch){.id = s->start.id, .deadline_ms = clock_mono_ms() + s->wait_ms, .done = done, .context = s};
}

static void refuse_start(struct starting *s)
{
    static const struct {
        enum start_result result;
        int status;
        const char *kind, *title, *pointer;
    } answers[] = {
        {START_CONFLICT, 409, "idempotency-conflict", "The idempotency key is in use", "/idempotency_key"},
        {START_NO_DEFINITION, 422, "unknown-definition", "There is no such definition", "/definition"},
        {START_UNAVAILABLE, 503, "unavailable", "The saga was not accepted", NULL},
        {START_UNKNOWN, 503, "outcome-unknown", "Whether the saga was accepted is not known", NULL},
        {START_REFUSED, 422, "refused", "The database refuses this saga", NULL},
    };
    struct problems problems = {0};
    char reason[300], id[UUID_TEXT_MAX];
    size_t i = 0;
    while (answers[i].result != s->start.result)
        i++;
    snprintf(reason, sizeof reason, "%s", s->start.reason);
    if (s->start.result == START_UNKNOWN)
        snprintf(reason, sizeof reason, "%s; look for /v1/sagas/%s, or ask again with the same idempotency key",
                 s->start.reason, uuid_format(&s->start.id, id));
    if (answers[i].pointer)
        problem_add(&problems, answers[i].pointer, "%s", s->start.reason);
    struct call *call = s->call;
    free_starting(s);
    call_problem(call, answers[i].status, answers[i].kind, answers[i].title, reason, &problems);
}

/* A new saga that is waited for does not come here: its watch reports it. */
static void on_started(struct start *start)
{
    struct starting *s = start->context;
    struct call *call = s->call;
    if (start->result != START_CREATED && start->result != START_EXISTS) {
        refuse_start(s);
        return;
    }
    if (s->wait_ms) {
        set_watch(s, on_existing_ended);
        engine_watch(atomic_load(&call->api->engine), &s->watch);
        return;
    }
    note_started(s, start->result == START_CREATED ? 201 : 200);
    free_starting(s);
    answer_accepted(call);
}

static void read_definition(struct starting *s, const json_t *body, struct problems *problems)
{
    const json_t *name = json_object_get(body, "definition"), *version = json_object_get(body, "version");
    if (!name)
        problem_add(problems, "/definition", "missing: the name of a definition");
    else if (!json_is_string(name) || strlen(json_string_value(name)) >= sizeof s->definition)
        problem_add(problems, "/definition", "expected the name of a definition");
    else
        snprintf(s->definition, sizeof s->definition, "%s", json_string_value(name));
    if (version && (!json_is_integer(version) || json_integer_value(version) < 1 || json_integer_value(version) > 1000000000))
        problem_add(problems, "/version", "expected a whole number above 0");
    else
        s->start.version = (int)json_integer_value(version);
}

static void set_key(struct starting *s, const char *key, const char *pointer, struct problems *problems)
{
    if (!*key || strlen(key) > KEY_MAX)
        problem_add(problems, pointer, "expected 1 to %d bytes", KEY_MAX);
    else if (s->start.idempotency_key && strcmp(s->key, key) != 0)
        problem_add(problems, pointer, "the header Idempotency-Key says another key");
    else {
        snprintf(s->key, sizeof s->key, "%s", key);
        s->start.idempotency_key = s->key;
    }
}

static void read_key(struct starting *s, const json_t *body, struct problems *problems)
{
    const char *header = http_header(s->call->request, "Idempotency-Key");
    const json_t *member = json_object_get(body, "idempotency_key");
    if (header)
        set_key(s, header, "", problems);
    if (member && !json_is_string(member))
        problem_add(problems, "/idempotency_key", "expected a string");
    else if (member)
        set_key(s, json_string_value(member), "/idempotency_key", problems);
}

/* One that is not understood is left alone, as the specification has it: the saga then begins a trace of its own. */
static void read_traceparent(struct starting *s)
{
    const char *header = http_header(s->call->request, "traceparent");
    if (!header || !wire_traceparent_valid(header))
        return;
    memcpy(s->traceparent, header, sizeof s->traceparent);
    s->start.traceparent = s->traceparent;
}

static void read_input(struct starting *s, const json_t *body, struct problems *problems)
{
    const json_t *input = json_object_get(body, "input");
    struct buf text = buf_new(VALUE_MAX_BYTES);
    if (input)
        json_write(&text, input);
    else
        buf_str(&text, "{}");
    if (text.failed)
        problem_add(problems, "/input", "larger than %u bytes", VALUE_MAX_BYTES);
    s->start.input_len = text.len;
    s->start.input = s->input = text.data;
}

/* NULL once the engine has it, otherwise what stands in the way, and the status that says so. */
static const char *submit(struct engine *engine, struct starting *s, int *status)
{
    struct engine_health health;
    *status = 503;
    if (!engine)
        return "the engine is not running yet";
    engine_health(engine, &health);
    if (!health.relaying)
        return "Kafka is not available, commands wait in the outbox";
    switch (engine_submit(engine, &s->start)) {
    case SUBMIT_TAKEN:
        return NULL;
    case SUBMIT_BUSY:
        *status = 429;
        return "more is accepted than can be done: the sagas under way go first";
    case SUBMIT_STOPPED:
        break;
    }
    return "the engine stops";
}

void sagas_start(struct call *call)
{
    static const char *const known[] = {"definition", "version", "input", "idempotency_key", NULL};
    struct engine *engine = atomic_load(&call->api->engine);
    int64_t wait_ms = 0;
    struct problems problems = {0};
    if (!call_query_duration(call, "wait", WAIT_MAX_MS, &wait_ms))
        return;
    json_t *body = call_body(call);
    if (!body)
        return;
    struct starting *s = mem_alloc(sizeof *s);
    s->call = call;
    s->wait_ms = wait_ms;
    s->start.done = on_started;
    s->start.context = s;
    s->start.definition = s->definition;
    set_watch(s, on_created_and_ended);
    s->start.watch = wait_ms ? &s->watch : NULL;
    json_check_members(body, "", known, &problems);
    read_definition(s, body, &problems);
    read_key(s, body, &problems);
    read_traceparent(s);
    read_input(s, body, &problems);
    json_decref(body);
    int status = 422;
    const char *obstacle = problems.n ? NULL : submit(engine, s, &status);
    if (!problems.n && !obstacle)
        return;
    free_starting(s);
    if (obstacle)
        call_problem(call, status, status == 429 ? "overloaded" : "unavailable", "The saga was not accepted", obstacle, NULL);
    else
        call_problem(call, 422, "invalid-body", "The body does not say what it must", "see errors", &problems);
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
        answer_accepted(call);
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
        show_saga(call, saga);
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

static bool read_filter(struct call *call, struct store_filter *filter, int64_t *limit)
{
    enum saga_state known;
    const char *cursor = http_query(call->request, "before");
    struct uuid *before = arena_alloc(&call->arena, sizeof *before);
    *filter = (struct store_filter){.state = http_query(call->request, "state"),
                                    .definition = http_query(call->request, "definition"),
                                    .before = cursor ? before : NULL};
    *limit = LIST_DEFAULT;
    if (filter->state && !saga_state_parse(filter->state, &known))
        return call_bad_parameter(call, "state", "expected RUNNING, COMPENSATING, STALLED, COMPLETED or COMPENSATED");
    if (cursor && !uuid_parse(cursor, before))
        return call_bad_parameter(call, "before", "expected a saga's id");
    return call_query_time(call, "from", &filter->from_ms) && call_query_time(call, "to", &filter->to_ms) &&
           call_query_int(call, "limit", 1, LIST_MAX, limit);
}

/* The address of the next page: the same filter, from the last saga on. */
static void add_next(struct buf *body, const struct uuid *last, const struct store_filter *filter, int64_t limit)
{
    char text[UUID_TEXT_MAX > CLOCK_TEXT_MAX ? UUID_TEXT_MAX : CLOCK_TEXT_MAX];
    struct buf url = buf_new(1024);
    buf_printf(&url, "/v1/sagas?before=%s&limit=%d", uuid_format(last, text), (int)limit);
    if (filter->state)
        buf_printf(&url, "&state=%s", filter->state);
    if (filter->definition)
        buf_printf(&url, "&definition=%s", filter->definition);
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
        add_next(&body, &sagas[n - 2].id, &filter, limit);
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
