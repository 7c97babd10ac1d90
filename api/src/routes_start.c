/* Starting a saga, and waiting for its end in the same request. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "call.h"
#include "wire/wire.h"

#define KEY_MAX 200
#define AHEAD_MAX_MS (366LL * 24 * 3600 * 1000)
#define LABELS_MAX 16

/* A start on its way through the engine, and the wait for its end. */
struct starting {
    struct start start;
    struct watch watch;
    struct call *call;
    char definition[DEFINITION_NAME_MAX];
    char key[KEY_MAX + 1];
    char traceparent[WIRE_TRACEPARENT_MAX];
    char live_key[KEY_MAX + 1];
    char *input, *labels;
    int64_t wait_ms;
};

static void free_starting(struct starting *s)
{
    free(s->input);
    free(s->labels);
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

/* The saga has ended, or the wait has. */
static void finish_wait(struct starting *s, const struct saga *saga, int status)
{
    struct call *call = s->call;
    note_started(s, status);
    free_starting(s);
    if (saga)
        sagas_show(call, saga);
    else if (!sagas_try_show_later(call))
        sagas_answer_accepted(call);
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
        {START_KEY_TAKEN, 409, "key-conflict", "A saga with this key is under way", "/key"},
        {START_BUSY, 409, "entity-busy", "Another saga holds an entity of this one", NULL},
        {START_NO_ENTITY, 422, "no-entity", "The input does not say which entities the saga is about", "/input"},
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
    if (s->start.result == START_KEY_TAKEN)
        snprintf(reason, sizeof reason, "%s: /v1/sagas/%s", s->start.reason, uuid_format(&s->start.id, id));
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
    sagas_answer_accepted(call);
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
    if (version && (!json_is_integer(version) || json_integer_value(version) < 1 || json_integer_value(version) > DEFINITION_VERSION_MAX))
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

/* What it is about. */
static void read_live_key(struct starting *s, const json_t *body, struct problems *problems)
{
    const json_t *key = json_object_get(body, "key"), *on_conflict = json_object_get(body, "on_conflict");
    const char *word = json_string_value(on_conflict);
    size_t len = json_string_length(key);
    if (key && (len < 1 || len > KEY_MAX))
        problem_add(problems, "/key", "expected a text of 1 to %d bytes", KEY_MAX);
    else if (key)
        s->start.key = strcpy(s->live_key, json_string_value(key));
    if (on_conflict && !key)
        problem_add(problems, "/on_conflict", "there is no key that could be taken");
    else if (on_conflict && (!word || (strcmp(word, "reject") != 0 && strcmp(word, "return") != 0)))
        problem_add(problems, "/on_conflict", "expected \"reject\" or \"return\"");
    s->start.return_live = word && strcmp(word, "return") == 0;
}

static void read_labels(struct starting *s, json_t *body, struct problems *problems)
{
    json_t *labels = json_object_get(body, "labels"), *value;
    const char *name;
    char pointer[POINTER_MAX];
    if (!labels)
        return;
    if (!json_is_object(labels) || json_object_size(labels) > LABELS_MAX)
        problem_add(problems, "/labels", "expected an object of at most %d texts", LABELS_MAX);
    json_object_foreach(json_is_object(labels) ? labels : NULL, name, value) {
        if (!label_is_name(name) || !label_is_value(json_string_value(value)))
            problem_add(problems, pointer_member("/labels", name, pointer), LABEL_EXPECTED);
    }
    s->start.labels = s->labels = json_dumps(labels, JSON_COMPACT);
}

/* When it is to begin: a time, or how long from now. */
static void read_beginning(struct starting *s, const json_t *body, struct problems *problems)
{
    const json_t *at = json_object_get(body, "start_at"), *delay = json_object_get(body, "delay");
    int64_t now_ms = clock_real_ms(), delay_ms = 0;
    if (at && delay)
        problem_add(problems, "/delay", "start_at says already when it is to begin");
    else if (at && (!json_is_string(at) || !clock_parse(json_string_value(at), &s->start.start_ms)))
        problem_add(problems, "/start_at", "expected a time like 2026-01-31T10:00:00Z");
    else if (delay && (!json_is_string(delay) || !duration_parse(json_string_value(delay), &delay_ms)))
        problem_add(problems, "/delay", "expected a duration like \"250ms\", \"5s\", \"10m\", \"2h\" or \"7d\"");
    else if (delay)
        s->start.start_ms = now_ms + delay_ms;
    if (s->start.start_ms > now_ms + AHEAD_MAX_MS)
        problem_add(problems, at ? "/start_at" : "/delay", "more than a year ahead");
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
    static const char *const known[] = {"definition", "version", "input", "idempotency_key", "start_at", "delay", "key", "on_conflict", "labels",
                                        NULL};
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
    read_beginning(s, body, &problems);
    read_live_key(s, body, &problems);
    read_labels(s, body, &problems);
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
