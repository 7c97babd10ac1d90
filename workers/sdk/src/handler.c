/* Calls a handler under a savepoint: a refused action has changed nothing. The savepoint is set with the handler's first
 * statement, in the same round trip. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "base/text.h"
#include "relay/relay.h"
#include "task.h"
#include "wire/label.h"

#define BODY_MAX (900u * 1024)

static const struct pg_statement savepoint = {"handler_savepoint", "SAVEPOINT handler"};
static const struct pg_statement rollback_to = {"handler_rollback", "ROLLBACK TO SAVEPOINT handler"};
static const struct pg_statement release = {"handler_release", "RELEASE SAVEPOINT handler"};

/* The call as the SDK sees it. */
struct running {
    struct worker_call call; /* first: what the handler gets */
    struct pg *pg;
    struct arena *arena;
    const struct heartbeat *heartbeat;
    const struct task *task;
    bool has_savepoint;
    struct err db_err;
    json_t *output;
    char code[64];
    char message[400];
    int64_t after_ms;
};

static struct running *running_of(struct worker_call *call)
{
    return (struct running *)call;
}

bool worker_query(struct worker_call *call, const struct pg_statement *statement, const struct pg_params *params,
                  struct pg_rows **rows)
{
    struct running *r = running_of(call);
    struct pg_call calls[] = {{&savepoint, NULL, NULL}, {statement, params, NULL}};
    size_t first = r->has_savepoint ? 1 : 0;
    if (r->db_err.kind != ERR_NONE || !pg_try(r->pg, calls + first, 2 - first, &r->db_err))
        return false;
    r->has_savepoint = true;
    pg_rows_free(calls[0].rows);
    if (rows)
        *rows = calls[1].rows;
    else
        pg_rows_free(calls[1].rows);
    return true;
}

/* The transaction is asked for something, too: the database ends one that idles. */
void worker_heartbeat(struct worker_call *call)
{
    static const struct pg_statement alive = {"handler_alive", "SELECT 1"};
    struct running *r = running_of(call);
    const struct heartbeat *heart = r->heartbeat;
    struct err err;
    if (!inbox_accept(heart->pg, r->arena, r->task, heart->reply_topic, heart->service, &err)) {
        struct wire_label label = wire_label(&r->task->command.about, r->task->command.traceparent);
        log_line(LOG_WARN, "worker.heartbeat_lost", LOG_LABEL(&label), LOG_ERR(&err));
    } else if (heart->relay) {
        relay_wake(heart->relay);
    }
    (void)!worker_query(call, &alive, NULL, NULL); /* the handler's next statement tells */
}

void worker_output(struct worker_call *call, json_t *output)
{
    struct running *r = running_of(call);
    json_decref(r->output);
    r->output = output;
}

static void say(struct running *r, const char *code, const char *format, va_list args)
{
    snprintf(r->code, sizeof r->code, "%s", code);
    text_format(r->message, sizeof r->message, format, args);
}

enum worker_outcome worker_fail(struct worker_call *call, const char *code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(running_of(call), code, format, args);
    va_end(args);
    return WORKER_FAILED;
}

enum worker_outcome worker_again(struct worker_call *call, int64_t after_ms, const char *code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    say(running_of(call), code, format, args);
    va_end(args);
    running_of(call)->after_ms = after_ms;
    return WORKER_RETRY;
}

bool worker_text(struct worker_call *call, const char *member, const char **out)
{
    const json_t *value = json_object_get(call->input, member);
    if (json_is_string(value) && *json_string_value(value)) {
        *out = json_string_value(value);
        return true;
    }
    worker_fail(call, "bad_input", "/%s: expected a text that is not empty", member);
    return false;
}

bool worker_integer(struct worker_call *call, const char *member, int64_t min, int64_t max, int64_t *out)
{
    const json_t *value = json_object_get(call->input, member);
    if (json_is_integer(value) && json_integer_value(value) >= min && json_integer_value(value) <= max) {
        *out = json_integer_value(value);
        return true;
    }
    worker_fail(call, "bad_input", "/%s: expected a whole number from %lld to %lld", member, (long long)min,
                (long long)max);
    return false;
}

enum worker_outcome worker_bad_input(struct worker_call *call)
{
    (void)call; /* worker_text or worker_integer has said what is wrong */
    return WORKER_FAILED;
}

/* ---- the reply's body ---- */

/* False when the body is too large. */
static bool write_body(struct arena *arena, struct task *task, const char *outcome, const json_t *output,
                       const char *code, const char *message, int64_t after_ms)
{
    struct buf body = buf_new(BODY_MAX), error = buf_new(8 * 1024), value = buf_new(BODY_MAX);
    if (code)
        json_write_error(&error, code, message);
    if (output)
        json_write(&value, output);
    struct wire_reply reply = {.outcome = outcome, .error = code ? buf_text(&error) : NULL, .retry_after_ms = after_ms};
    if (output) {
        reply.output = buf_text(&value);
        reply.output_len = value.len;
    }
    wire_reply_value(&body, &reply);
    bool fits = !body.failed && !value.failed && json_text_depth(buf_text(&body), body.len) <= JSON_DEPTH_MAX;
    if (fits) {
        task->body = arena_strndup(arena, buf_text(&body), body.len);
        task->body_len = body.len;
    }
    buf_free(&body);
    buf_free(&error);
    buf_free(&value);
    return fits;
}

void set_body(struct arena *arena, struct task *task, const char *outcome, const char *error_code, const char *message)
{
    (void)write_body(arena, task, outcome, NULL, error_code, message, 0); /* a short text always fits */
}

/* ---- running it ---- */

static const struct worker_handler *find_handler(const struct worker_spec *spec, const char *name)
{
    for (const struct worker_handler *handler = spec->handlers; handler->name; handler++) {
        if (strcmp(handler->name, name) == 0)
            return handler;
    }
    return NULL;
}

/* A database error in the handler: one that passes spoils the whole transaction; one that stays is the handler's answer. */
static bool is_lasting(const struct running *r)
{
    return r->db_err.kind == ERR_REFUSED;
}

/* A failing first statement took the savepoint's own success with it: the server set it before. */
static bool undo(struct running *r, struct err *err)
{
    bool set = r->has_savepoint || r->db_err.kind == ERR_REFUSED;
    struct pg_call calls[] = {{&rollback_to, NULL, NULL}, {&release, NULL, NULL}};
    if (!set)
        return true;
    if (!pg_try(r->pg, calls, 2, err))
        return false;
    pg_rows_free(calls[0].rows);
    pg_rows_free(calls[1].rows);
    return true;
}

static bool keep(struct running *r, struct err *err)
{
    struct pg_call call = {&release, NULL, NULL};
    if (!r->has_savepoint)
        return true;
    bool ok = pg_try(r->pg, &call, 1, err);
    pg_rows_free(call.rows);
    return ok;
}

static bool conclude(struct arena *arena, struct running *r, struct task *task, enum worker_outcome outcome,
                     struct err *err)
{
    if (outcome == WORKER_SUCCEEDED) {
        if (write_body(arena, task, "succeeded", r->output, NULL, NULL, 0)) {
            task->verdict = "succeeded";
            return keep(r, err);
        }
        outcome = worker_fail(&r->call, "output_too_large", "the output is larger than %u bytes or too deeply nested", BODY_MAX);
    }
    if (!undo(r, err))
        return false;
    if (outcome == WORKER_RETRY)
        return write_body(arena, task, "retry", NULL, r->code, r->message, r->after_ms);
    set_body(arena, task, "failed", r->code, r->message);
    task->verdict = task_is_action(task) ? "failed" : NULL;
    return true;
}

static bool call_it(struct running *r, struct arena *arena, const struct worker_handler *handler, struct task *task,
                    struct err *err)
{
    enum worker_outcome outcome = handler->run(&r->call);
    if (outcome == WORKER_DATABASE || r->db_err.kind != ERR_NONE) {
        if (!is_lasting(r)) {
            *err = r->db_err;
            err->kind = ERR_RETRY;
            return false;
        }
        struct wire_label label = wire_label(&task->command.about, task->command.traceparent);
        log_line(LOG_WARN, "worker.database_refused", LOG_LABEL(&label), LOG_STR("action", handler->name), LOG_ERR(&r->db_err));
        outcome = worker_fail(&r->call, "database", "%s (%s)", r->db_err.text, r->db_err.code);
    }
    return conclude(arena, r, task, outcome, err);
}

bool call_handler(struct pg *pg, struct arena *arena, const struct worker_spec *spec, const struct heartbeat *heartbeat, struct task *task,
                  struct err *err)
{
    const struct wire_command *command = &task->command;
    const struct worker_handler *handler = find_handler(spec, command->action);
    struct running r = {.pg = pg, .arena = arena, .heartbeat = heartbeat, .task = task,
                        .call = {.saga_id = command->about.saga_id, .step = command->about.step, .attempt = command->about.attempt}};
    if (!handler) {
        struct wire_label label = wire_label(&command->about, command->traceparent);
        log_line(LOG_WARN, "worker.unknown_action", LOG_LABEL(&label), LOG_STR("action", command->action));
        set_body(arena, task, "failed", "unknown_action", "the service has no such action");
        task->verdict = task_is_action(task) ? "failed" : NULL;
        return true;
    }
    json_t *value = json_read(command->value, command->value_len, err); /* was checked when the command was read */
    r.call.input = task_is_action(task) ? value : json_object_get(value, "input");
    r.call.output = task_is_action(task) ? NULL : json_object_get(value, "output");
    bool ok = call_it(&r, arena, handler, task, err);
    json_decref(r.output);
    json_decref(value);
    return ok;
}
