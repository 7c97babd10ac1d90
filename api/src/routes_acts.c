/* What operators do to sagas. An act is applied by the engine, and then the saga is shown as it is; a crash before the answer
 * leaves it applied or not, as the history tells. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "call.h"

#define REASON_MAX 500
#define BY_MAX 100

struct acting {
    struct act act;
    struct call *call;
};

static void on_acted(struct act *act)
{
    struct acting *a = act->context;
    struct call *call = a->call;
    struct act done = a->act;
    free(a);
    switch (done.result) {
    case ACT_APPLIED:
        call->status = 200;
        sagas_show_later(call);
        break;
    case ACT_NO_SAGA:
    case ACT_NO_STEP:
        call_not_found(call, done.reason);
        break;
    case ACT_NOT_NOW:
        call_problem(call, 409, "not-now", "The saga's state does not permit this", done.reason, NULL);
        break;
    case ACT_UNKNOWN:
        call_problem(call, 503, "outcome-unknown", "It may have been done: look at the saga", done.reason, NULL);
        break;
    case ACT_UNAVAILABLE:
        call_problem(call, 503, "unavailable", "Nothing was changed", done.reason, NULL);
        break;
    }
}

static void ask_engine(struct call *call, const struct act *act)
{
    struct engine *engine = atomic_load(&call->api->engine);
    struct acting *a = mem_alloc(sizeof *a);
    *a = (struct acting){*act, call};
    a->act.saga_id = call->saga_id;
    a->act.done = on_acted;
    a->act.context = a;
    if (engine && engine_act(engine, &a->act))
        return;
    free(a);
    call_problem(call, 503, "unavailable", "Nothing was changed", "the engine is not running, or too much waits", NULL);
}

/* A member that is a text of 1 to `max` bytes; NULL when there is none. */
static const char *read_text(struct call *call, const json_t *body, const char *name, size_t max, struct problems *problems)
{
    char pointer[POINTER_MAX];
    const json_t *member = json_object_get(body, name);
    if (!member)
        return NULL;
    if (json_is_string(member) && json_string_length(member) && json_string_length(member) <= max)
        return arena_strdup(&call->arena, json_string_value(member));
    problem_add(problems, pointer_member("", name, pointer), "expected a text of 1 to %zu bytes", max);
    return NULL;
}

/* Kept while the call is. */
static const char *keep(struct call *call, struct buf *text)
{
    const char *kept = arena_strndup(&call->arena, buf_text(text), text->len);
    buf_free(text);
    return kept;
}

static bool answer_problems(struct call *call, const struct problems *problems)
{
    if (problems->n)
        call_problem(call, 422, "invalid-body", "The body does not say what it must", "see errors", problems);
    return problems->n > 0;
}

/* Who and why, for the history. */
static const char *write_why(struct call *call, const char *by, const char *reason)
{
    struct buf why = buf_new(8192);
    buf_str(&why, "{\"by\":");
    buf_json_str(&why, by ? by : "an operator");
    if (reason) {
        buf_str(&why, ",\"reason\":");
        buf_json_str(&why, reason);
    }
    buf_char(&why, '}');
    return keep(call, &why);
}

struct who {
    const char *by, *reason; /* NULL: not said */
};

/* Of an act on a saga as a whole. False after having answered. */
static bool read_who(struct call *call, struct who *who)
{
    static const char *const known[] = {"by", "reason", NULL};
    struct problems problems = {0};
    json_t *body = sagas_read_id(call) ? call_body(call) : NULL;
    if (!body)
        return false;
    json_check_members(body, "", known, &problems);
    who->by = read_text(call, body, "by", BY_MAX, &problems);
    who->reason = read_text(call, body, "reason", REASON_MAX, &problems);
    json_decref(body);
    return !answer_problems(call, &problems);
}

static void act_on_saga(struct call *call, enum event_type type)
{
    struct who who;
    if (read_who(call, &who))
        ask_engine(call, &(struct act){.type = type, .why = write_why(call, who.by, who.reason)});
}

void acts_cancel(struct call *call)
{
    struct who who;
    if (!read_who(call, &who))
        return;
    struct buf error = buf_new(8192);
    json_write_error(&error, "cancelled", who.reason ? who.reason : "an operator asked for it");
    ask_engine(call, &(struct act){.type = EVENT_CANCEL, .error = keep(call, &error), .why = write_why(call, who.by, who.reason)});
}

void acts_pause(struct call *call)
{
    act_on_saga(call, EVENT_PAUSE);
}

void acts_resume(struct call *call)
{
    act_on_saga(call, EVENT_RESUME);
}

static void read_outcome(const json_t *body, struct act *act, struct problems *problems)
{
    const char *word = json_string_value(json_object_get(body, "outcome"));
    if (word && strcmp(word, "succeeded") == 0)
        act->outcome = OUTCOME_SUCCEEDED;
    else if (word && strcmp(word, "failed") == 0)
        act->outcome = OUTCOME_FAILED;
    else
        problem_add(problems, "/outcome", "expected \"succeeded\" or \"failed\"");
}

/* What a step is to have as its output; NULL: nothing. */
static void keep_output(struct call *call, const json_t *output, const char *pointer, struct act *act, struct problems *problems)
{
    struct buf text = buf_new(VALUE_MAX_BYTES);
    if (!output)
        return;
    json_write(&text, output);
    if (text.failed)
        problem_add(problems, pointer, "larger than %u bytes", VALUE_MAX_BYTES);
    act->output_len = text.len;
    act->output = keep(call, &text);
}

/* As read_text, of the query. False after having answered. */
static bool query_text(struct call *call, const char *name, size_t max, const char **out)
{
    char expected[64];
    *out = http_query(call->request, name);
    if (!*out || (**out && strlen(*out) <= max && text_is_utf8(*out)))
        return true;
    snprintf(expected, sizeof expected, "expected a text of 1 to %zu bytes", max);
    return call_bad_parameter(call, name, expected);
}

/* The body is what the step that waits for the signal gives as its output; so who sends it, a person or a program, is said in the query. */
void acts_signal(struct call *call)
{
    struct act act = {.type = EVENT_SIGNAL, .signal = call->second};
    struct problems problems = {0};
    struct who who;
    if (!query_text(call, "by", BY_MAX, &who.by) || !query_text(call, "reason", REASON_MAX, &who.reason))
        return;
    json_t *body = sagas_read_id(call) ? call_body(call) : NULL;
    if (!body)
        return;
    keep_output(call, body, "", &act, &problems);
    json_decref(body);
    act.why = who.by || who.reason ? write_why(call, who.by, who.reason) : NULL;
    if (!answer_problems(call, &problems))
        ask_engine(call, &act);
}

/* Retry, resolve and skip differ in what their body may say. */
static void act_on_step(struct call *call, enum event_type type)
{
    static const char *const plain[] = {"version", "by", "reason", NULL};
    static const char *const resolving[] = {"version", "by", "reason", "outcome", "output", NULL};
    struct problems problems = {0};
    json_t *body = sagas_read_id(call) ? call_body(call) : NULL;
    if (!body)
        return;
    struct act act = {.type = type, .step = call->second};
    json_check_members(body, "", type == EVENT_SUPPLY ? resolving : plain, &problems);
    act.version = read_text(call, body, "version", STEP_VERSION_MAX, &problems);
    const char *by = read_text(call, body, "by", BY_MAX, &problems), *reason = read_text(call, body, "reason", REASON_MAX, &problems);
    if (!json_object_get(body, "version"))
        problem_add(&problems, "/version", "missing: the step's version as it was last seen");
    if (type == EVENT_SKIP && !json_object_get(body, "reason"))
        problem_add(&problems, "/reason", "missing: say why the saga may go on without this step");
    if (type == EVENT_SUPPLY) {
        read_outcome(body, &act, &problems);
        keep_output(call, json_object_get(body, "output"), "/output", &act, &problems);
    }
    json_decref(body);
    if (answer_problems(call, &problems))
        return;
    act.why = write_why(call, by, reason);
    ask_engine(call, &act);
}

void acts_retry(struct call *call)
{
    act_on_step(call, EVENT_RETRY);
}

void acts_resolve(struct call *call)
{
    act_on_step(call, EVENT_SUPPLY);
}

void acts_skip(struct call *call)
{
    act_on_step(call, EVENT_SKIP);
}
