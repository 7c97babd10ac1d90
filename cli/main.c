/* sagactl: the operator's and developer's command line over the REST API. Exit status: 0 done, 1 the API said no or a
 * saga that was waited for did not complete, 2 wrong usage, 3 no answer. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/conf.h"
#include "base/json.h"
#include "base/mem.h"
#include "check.h"
#include "client.h"
#include "timeline.h"

#define FILE_MAX (1024 * 1024)

struct options {
    const char *url;
    const char *input;
    const char *key;
    const char *state;
    const char *definition;
    const char *wait_for;
    const char *reason;
    const char *by;
    const char *seen;
    const char *outcome;
    const char *output;
    const char *at;
    const char *delay;
    const char *live_key;
    const char *on_conflict;
    const char *labels;
    const char *parent;
    int version;
    int limit;
    int states;
    bool wait;
    bool json;
};

static const struct conf_option options[] = {
    {"url", CONF_STRING, offsetof(struct options, url), "http://127.0.0.1:8080", "URL", "the orchestrator's API", 0, 0},
    {"input", CONF_STRING, offsetof(struct options, input), NULL, "JSON", "start: the saga's input; signal: its value; @FILE reads it, @- from standard input", 0, 0},
    {"key", CONF_STRING, offsetof(struct options, key), NULL, "TEXT", "start: idempotency key; the same key starts one saga", 0, 0},
    {"use-version", CONF_INT, offsetof(struct options, version), NULL, "N", "start: this version, not the latest", 1, 1000000000},
    {"live-key", CONF_STRING, offsetof(struct options, live_key), NULL, "KEY", "start: what the saga is about; only one saga of the definition lives with it", 0, 0},
    {"on-conflict", CONF_STRING, offsetof(struct options, on_conflict), NULL, "WORD", "start: reject (default) or return the saga that lives with --live-key", 0, 0},
    {"labels", CONF_STRING, offsetof(struct options, labels), NULL, "LIST", "start, list: name:value,name:value to find the saga by", 0, 0},
    {"at", CONF_STRING, offsetof(struct options, at), NULL, "TIME", "start: not before, like 2026-01-31T10:00:00Z", 0, 0},
    {"delay", CONF_STRING, offsetof(struct options, delay), NULL, "TIME", "start: after so long, like 10m", 0, 0},
    {"wait", CONF_FLAG, offsetof(struct options, wait), NULL, NULL, "start, get: wait for the saga's end", 0, 0},
    {"wait-for", CONF_STRING, offsetof(struct options, wait_for), "30s", "TIME", "how long --wait waits", 0, 0},
    {"state", CONF_STRING, offsetof(struct options, state), NULL, "STATE", "list: SCHEDULED, QUEUED, RUNNING, COMPENSATING, STALLED, COMPLETED, COMPENSATED", 0, 0},
    {"definition", CONF_STRING, offsetof(struct options, definition), NULL, "NAME", "list: only this definition's sagas", 0, 0},
    {"parent", CONF_STRING, offsetof(struct options, parent), NULL, "ID", "list: the sagas that are steps of this one", 0, 0},
    {"states", CONF_INT, offsetof(struct options, states), "2000000", "N", "verify: looks no further than so many", 1, 100000000},
    {"limit", CONF_INT, offsetof(struct options, limit), "20", "N", "list: how many", 1, 500},
    {"reason", CONF_STRING, offsetof(struct options, reason), NULL, "TEXT", "cancel, pause, resume, retry, resolve, skip: why, for the history", 0, 0},
    {"by", CONF_STRING, offsetof(struct options, by), NULL, "NAME", "pause, resume, retry, resolve, skip: who, for the history (default: $USER)", 0, 0},
    {"seen", CONF_STRING, offsetof(struct options, seen), NULL, "VERSION", "retry, resolve, skip: only if the step is still as get has shown it", 0, 0},
    {"outcome", CONF_STRING, offsetof(struct options, outcome), "succeeded", "WORD", "resolve: succeeded, or failed for a pivot", 0, 0},
    {"output", CONF_STRING, offsetof(struct options, output), NULL, "JSON", "resolve: the step's output; @FILE reads it", 0, 0},
    {"json", CONF_FLAG, offsetof(struct options, json), NULL, NULL, "prints the API's answer as it is", 0, 0},
    {NULL, CONF_FLAG, 0, NULL, NULL, NULL, 0, 0},
};
static const struct conf_command commands[] = {
    {"list", "the newest sagas"},
    {"apply", "FILE: stores a definition ('-' reads standard input)"},
    {"verify", "FILE: tells what can become of a definition's sagas; needs no orchestrator"},
    {"definitions", "the latest version of each definition"},
    {"start", "NAME: starts a saga"},
    {"get", "ID: a saga with its steps"},
    {"history", "ID: what happened, as a timeline"},
    {"entity", "KEY: who holds it, and who waits for it"},
    {"conflicts", "KEY: which sagas met on it without holding it"},
    {"cancel", "ID: turns a running saga back"},
    {"pause", "ID: holds a saga where it is"},
    {"resume", "ID: lets it go on"},
    {"signal", "ID NAME: tells a saga what one of its steps waits for; --input says what"},
    {"retry", "ID STEP: sends a step that holds up a stalled saga once more"},
    {"resolve", "ID STEP: says what became of such a step"},
    {"skip", "ID STEP: goes on without such a step; --reason says why"},
    {NULL, NULL},
};
static const struct conf_spec spec = {"sagactl", "talks to a saga orchestrator", "[FILE | NAME | KEY | ID [STEP | NAME]]", commands, options};

enum { EXIT_NO = 1, EXIT_USAGE = 2, EXIT_SILENT = 3 };

static const char *text(const json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));
    return value ? value : "";
}

static int usage(const char *message)
{
    fprintf(stderr, "sagactl: %s; --help tells more\n", message);
    return EXIT_USAGE;
}

/* ---- input ---- */

static json_t *read_stream(FILE *file, const char *name, struct err *err)
{
    char *data = mem_alloc(FILE_MAX + 1);
    size_t len = fread(data, 1, FILE_MAX + 1, file);
    json_t *value = NULL;
    if (len > FILE_MAX) {
        err_set(err, ERR_REFUSED, "%s is larger than %d bytes", name, FILE_MAX);
    } else if (!(value = json_read(data, len, err))) {
        struct err inner = *err;
        err_set(err, ERR_REFUSED, "%s: %.400s", name, inner.text);
    }
    free(data);
    return value;
}

static json_t *read_file(const char *path, struct err *err)
{
    if (strcmp(path, "-") == 0)
        return read_stream(stdin, "standard input", err);
    FILE *file = fopen(path, "r");
    if (!file) {
        err_set(err, ERR_REFUSED, "%s cannot be read", path);
        return NULL;
    }
    json_t *value = read_stream(file, path, err);
    fclose(file);
    return value;
}

static json_t *read_argument(const char *argument, struct err *err)
{
    if (!argument)
        return json_object();
    if (argument[0] == '@')
        return read_file(argument + 1, err);
    return json_read(argument, strlen(argument), err);
}

/* ---- output ---- */

static void print_problem(const json_t *problem)
{
    fprintf(stderr, "sagactl: %s: %s\n", text(problem, "title"), text(problem, "detail"));
    const json_t *errors = json_object_get(problem, "errors");
    for (size_t i = 0; i < json_array_size(errors); i++) {
        const json_t *error = json_array_get(errors, i);
        const char *pointer = text(error, "pointer");
        fprintf(stderr, "  %s: %s\n", *pointer ? pointer : "(the whole)", text(error, "detail"));
    }
}

static void print_json(const json_t *value)
{
    json_dumpf(value, stdout, JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_ENCODE_ANY);
    printf("\n");
}

static void print_saga_line(const json_t *saga)
{
    printf("%s  %-13s  %s  %s version %lld%s\n", text(saga, "id"), text(saga, "state"), text(saga, "created_at"),
           text(saga, "definition"), (long long)json_integer_value(json_object_get(saga, "version")),
           json_is_true(json_object_get(saga, "paused")) ? ", paused" : "");
}

static void print_saga(const json_t *saga)
{
    print_saga_line(saga);
    const json_t *steps = json_object_get(saga, "steps");
    for (size_t i = 0; i < json_array_size(steps); i++) {
        const json_t *step = json_array_get(steps, i), *error = json_object_get(step, "error");
        json_int_t attempt = json_integer_value(json_object_get(step, "attempt"));
        printf("  %-24s %-20s", text(step, "name"), text(step, "state"));
        if (attempt > 1)
            printf(" attempt %lld", (long long)attempt);
        if (json_is_object(error))
            printf(" %s: %s", text(error, "code"), text(error, "message"));
        if (json_array_size(json_object_get(step, "actions")))
            printf(" [%s]", text(step, "version"));
        printf("\n");
    }
}

/* ---- calls ---- */

/* Calls the API; on success (2xx) prints the answer as JSON when asked so, else by `print`. */
static int call_and_print(const struct options *o, const char *method, const char *path, const json_t *body,
                          void (*print)(const json_t *), json_t **kept)
{
    struct err err;
    int status = 0;
    json_t *answer = NULL;
    if (!client_call(o->url, method, path, body, &status, &answer, &err)) {
        fprintf(stderr, "sagactl: %s\n", err.text);
        return EXIT_SILENT;
    }
    bool good = status >= 200 && status < 300;
    if (!good)
        print_problem(answer);
    else if (o->json)
        print_json(answer);
    else
        print(answer);
    if (kept && good)
        *kept = answer;
    else
        json_decref(answer);
    return good ? EXIT_SUCCESS : EXIT_NO;
}

static void print_stored(const json_t *answer)
{
    bool created = json_is_true(json_object_get(answer, "created"));
    printf("definition %s version %lld%s\n", text(answer, "name"),
           (long long)json_integer_value(json_object_get(answer, "version")), created ? "" : " (unchanged)");
}

static int run_apply(const struct options *o, const char *file)
{
    struct err err;
    json_t *definition = read_file(file, &err);
    if (!definition) {
        fprintf(stderr, "sagactl: %s\n", err.text);
        return EXIT_NO;
    }
    int status = call_and_print(o, "POST", "/v1/definitions", definition, print_stored, NULL);
    json_decref(definition);
    return status;
}

static int run_verify(const struct options *o, const char *file)
{
    struct err err;
    json_t *source = read_file(file, &err);
    if (!source) {
        fprintf(stderr, "sagactl: %s\n", err.text);
        return EXIT_NO;
    }
    bool good = check_definition(source, file, (size_t)o->states, o->json);
    json_decref(source);
    return good ? EXIT_SUCCESS : EXIT_NO;
}

static void print_definitions(const json_t *answer)
{
    const json_t *all = json_object_get(answer, "definitions");
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *one = json_array_get(all, i);
        printf("%-32s version %-4lld %s\n", text(one, "name"),
               (long long)json_integer_value(json_object_get(one, "version")), text(one, "created_at"));
    }
}

static void print_started(const json_t *answer)
{
    if (json_object_get(answer, "steps"))
        print_saga(answer);
    else
        printf("%s\n", text(answer, "id"));
}

/* With --wait only COMPLETED is success. */
static int by_state(const struct options *o, int status, json_t *saga)
{
    if (status == EXIT_SUCCESS && o->wait && strcmp(text(saga, "state"), "COMPLETED") != 0)
        status = EXIT_NO;
    json_decref(saga);
    return status;
}

/* "name:value,name:value"; what is no label the API refuses. */
static json_t *read_labels(const char *list)
{
    json_t *labels = json_object();
    char *copy = mem_strdup(list), *rest = copy;
    for (char *name; (name = strsep(&rest, ","));) {
        char *value = strchr(name, ':');
        if (value)
            *value++ = '\0';
        json_object_set_new(labels, name, value ? json_string(value) : json_null());
    }
    free(copy);
    return labels;
}

static int run_start(const struct options *o, const char *name)
{
    struct err err;
    json_t *input = read_argument(o->input, &err), *answer = NULL;
    if (!input) {
        fprintf(stderr, "sagactl: --input: %s\n", err.text);
        return EXIT_NO;
    }
    json_t *body = json_pack("{s:s, s:o}", "definition", name, "input", input);
    if (o->key)
        json_object_set_new(body, "idempotency_key", json_string(o->key));
    if (o->version)
        json_object_set_new(body, "version", json_integer(o->version));
    if (o->at)
        json_object_set_new(body, "start_at", json_string(o->at));
    if (o->delay)
        json_object_set_new(body, "delay", json_string(o->delay));
    if (o->live_key)
        json_object_set_new(body, "key", json_string(o->live_key));
    if (o->on_conflict)
        json_object_set_new(body, "on_conflict", json_string(o->on_conflict));
    if (o->labels)
        json_object_set_new(body, "labels", read_labels(o->labels));
    char *path = mem_printf("/v1/sagas%s%s", o->wait ? "?wait=" : "", o->wait ? o->wait_for : "");
    int status = call_and_print(o, "POST", path, body, print_started, &answer);
    free(path);
    json_decref(body);
    return by_state(o, status, answer);
}

static int run_get(const struct options *o, const char *id)
{
    json_t *answer = NULL;
    char *path = mem_printf("/v1/sagas/%s%s%s", id, o->wait ? "?wait=" : "", o->wait ? o->wait_for : "");
    int status = call_and_print(o, "GET", path, NULL, print_saga, &answer);
    free(path);
    return by_state(o, status, answer);
}

static void print_history(const json_t *answer)
{
    timeline_print(json_object_get(answer, "entries"));
}

static int run_history(const struct options *o, const char *id)
{
    char *path = mem_printf("/v1/sagas/%s/history", id);
    int status = call_and_print(o, "GET", path, NULL, print_history, NULL);
    free(path);
    return status;
}

static void print_claim(const char *word, const json_t *claim)
{
    printf("%-7s %s  %-12s  %s  %s\n", word, text(claim, "saga"), text(claim, "state"), text(claim, "since"), text(claim, "definition"));
}

static void print_entity(const json_t *answer)
{
    const json_t *holder = json_object_get(answer, "holder"), *queue = json_object_get(answer, "queue"), *claim;
    size_t i;
    if (json_is_object(holder))
        print_claim("holds", holder);
    else
        printf("nobody holds it\n");
    json_array_foreach(queue, i, claim)
        print_claim("waits", claim);
}

static void print_dirty(const json_t *dirty)
{
    const json_t *touched = json_object_get(dirty, "touched");
    printf("%-10s %s did %s of %s after %s did its %s there, which was then undone\n", "dirty", text(dirty, "by"),
           text(touched, "step"), text(dirty, "service"), text(dirty, "undone"), text(dirty, "step"));
}

static void print_conflicts(const json_t *answer)
{
    const json_t *pairs = json_object_get(answer, "pairs"), *pair, *dirty;
    size_t i, k;
    if (!json_integer_value(json_object_get(answer, "conflicts")))
        printf("no two of %zu sagas met on it\n", json_array_size(json_object_get(answer, "sagas")));
    json_array_foreach(pairs, i, pair) {
        if (strcmp(text(pair, "order"), "concurrent") == 0)
            printf("%-10s %s and %s: each was before the other somewhere\n", "concurrent", text(pair, "first"), text(pair, "second"));
        json_array_foreach(json_object_get(pair, "dirty"), k, dirty)
            print_dirty(dirty);
    }
    if (json_is_string(json_object_get(answer, "since")))
        printf("older than %s: not looked at\n", text(answer, "since"));
}

static int run_entity(const struct options *o, const char *key, bool conflicts)
{
    struct buf path = buf_new(4096);
    buf_str(&path, "/v1/entities/");
    for (; *key; key++)
        buf_printf(&path, isalnum((unsigned char)*key) ? "%c" : "%%%02X", (unsigned char)*key);
    buf_str(&path, conflicts ? "/conflicts" : "");
    int status = call_and_print(o, "GET", buf_text(&path), NULL, conflicts ? print_conflicts : print_entity, NULL);
    buf_free(&path);
    return status;
}

static int run_cancel(const struct options *o, const char *id)
{
    json_t *body = o->reason ? json_pack("{s:s}", "reason", o->reason) : json_object();
    char *path = mem_printf("/v1/sagas/%s/cancel", id);
    int status = call_and_print(o, "POST", path, body, print_saga, NULL);
    free(path);
    json_decref(body);
    return status;
}

static int run_signal(const struct options *o, const char *id, const char *name)
{
    struct err err;
    json_t *body = read_argument(o->input, &err);
    if (!body) {
        fprintf(stderr, "sagactl: --input: %s\n", err.text);
        return EXIT_NO;
    }
    char *path = mem_printf("/v1/sagas/%s/signals/%s", id, name);
    int status = call_and_print(o, "POST", path, body, print_saga, NULL);
    free(path);
    json_decref(body);
    return status;
}

/* The step's version as the API shows it now, where --seen does not say which one was looked at. */
static char *look_up_version(const struct options *o, const char *id, const char *step)
{
    struct err err;
    int status = 0;
    json_t *saga = NULL, *found;
    size_t i;
    char *version = NULL, *path = mem_printf("/v1/sagas/%s", id);
    if (!client_call(o->url, "GET", path, NULL, &status, &saga, &err))
        fprintf(stderr, "sagactl: %s\n", err.text);
    else if (status != 200)
        print_problem(saga);
    json_array_foreach(status == 200 ? json_object_get(saga, "steps") : NULL, i, found) {
        if (strcmp(text(found, "name"), step) == 0)
            version = mem_strdup(text(found, "version"));
    }
    if (status == 200 && !version)
        fprintf(stderr, "sagactl: the saga has no step '%s'\n", step);
    free(path);
    json_decref(saga);
    return version;
}

static json_t *why_body(const struct options *o)
{
    const char *by = o->by ? o->by : getenv("USER");
    json_t *body = json_object();
    if (by && *by)
        json_object_set_new(body, "by", json_string(by));
    if (o->reason)
        json_object_set_new(body, "reason", json_string(o->reason));
    return body;
}

/* Pause, resume. */
static int run_hold(const struct options *o, const char *act, const char *id)
{
    json_t *body = why_body(o);
    char *path = mem_printf("/v1/sagas/%s/%s", id, act);
    int status = call_and_print(o, "POST", path, body, print_saga, NULL);
    free(path);
    json_decref(body);
    return status;
}

static json_t *act_body(const struct options *o, const char *act, const char *version)
{
    struct err err;
    json_t *body = why_body(o);
    json_object_set_new(body, "version", json_string(version));
    if (strcmp(act, "resolve") != 0)
        return body;
    json_object_set_new(body, "outcome", json_string(o->outcome));
    json_t *output = o->output ? read_argument(o->output, &err) : NULL;
    if (output)
        json_object_set_new(body, "output", output);
    if (!o->output || output)
        return body;
    fprintf(stderr, "sagactl: --output: %s\n", err.text);
    json_decref(body);
    return NULL;
}

static int run_act(const struct options *o, const char *act, const char *id, const char *step)
{
    char *version = o->seen ? mem_strdup(o->seen) : look_up_version(o, id, step);
    json_t *body = version ? act_body(o, act, version) : NULL;
    char *path = mem_printf("/v1/sagas/%s/steps/%s/%s", id, step, act);
    int status = body ? call_and_print(o, "POST", path, body, print_saga, NULL) : EXIT_NO;
    free(path);
    free(version);
    json_decref(body);
    return status;
}

static void print_list(const json_t *answer)
{
    const json_t *all = json_object_get(answer, "sagas");
    for (size_t i = 0; i < json_array_size(all); i++)
        print_saga_line(json_array_get(all, i));
}

static int run_list(const struct options *o)
{
    char *path = mem_printf("/v1/sagas?limit=%d%s%s%s%s%s%s%s%s", o->limit, o->state ? "&state=" : "", o->state ? o->state : "",
                            o->definition ? "&definition=" : "", o->definition ? o->definition : "", o->labels ? "&label=" : "",
                            o->labels ? o->labels : "", o->parent ? "&parent=" : "", o->parent ? o->parent : "");
    int status = call_and_print(o, "GET", path, NULL, print_list, NULL);
    free(path);
    return status;
}

/* What goes into a URL from the command line. */
static bool is_plain(const char *word)
{
    for (; word && *word; word++) {
        if (!isalnum((unsigned char)*word) && !strchr("-_.:,", *word))
            return false;
    }
    return true;
}

static int run(const struct options *o, const struct conf_result *result)
{
    const char *command = result->command, *argument = result->args_n ? result->args[0] : NULL;
    bool act = strcmp(command, "retry") == 0 || strcmp(command, "resolve") == 0 || strcmp(command, "skip") == 0;
    bool wants = strcmp(command, "list") != 0 && strcmp(command, "definitions") != 0;
    bool check = strcmp(command, "verify") == 0, path = check || strcmp(command, "apply") == 0;
    bool signal = strcmp(command, "signal") == 0, two = act || signal;
    bool conflicts = strcmp(command, "conflicts") == 0, entity = conflicts || strcmp(command, "entity") == 0;
    if (two && result->args_n != 2)
        return usage("the command wants a saga's id and a name");
    if (result->args_n > (two ? 2 : 1) || (argument != NULL) != wants)
        return usage(wants ? "the command wants one argument" : "the command wants no argument");
    if ((strcmp(command, "list") == 0 && !is_plain(o->labels)) || !is_plain(o->parent) || !is_plain(o->state) || !is_plain(o->definition) || !is_plain(o->wait_for) || (!path && !entity && !is_plain(argument)) ||
        (two && !is_plain(result->args[1])))
        return usage("an argument has characters that names and ids do not have");
    if (check)
        return run_verify(o, argument);
    if (path)
        return run_apply(o, argument);
    if (signal)
        return run_signal(o, argument, result->args[1]);
    if (act)
        return run_act(o, command, argument, result->args[1]);
    if (strcmp(command, "definitions") == 0)
        return call_and_print(o, "GET", "/v1/definitions?limit=500", NULL, print_definitions, NULL);
    if (strcmp(command, "start") == 0)
        return run_start(o, argument);
    if (strcmp(command, "get") == 0)
        return run_get(o, argument);
    if (strcmp(command, "history") == 0)
        return run_history(o, argument);
    if (entity)
        return run_entity(o, argument, conflicts);
    if (strcmp(command, "pause") == 0 || strcmp(command, "resume") == 0)
        return run_hold(o, command, argument);
    if (strcmp(command, "cancel") == 0)
        return run_cancel(o, argument);
    return run_list(o);
}

int main(int argc, char **argv)
{
    struct options o = {0};
    struct conf_result result;
    struct err err;
    if (!conf_parse(&spec, argc, argv, &o, &result, &err))
        return usage(err.text);
    if (result.help) {
        conf_help(&spec);
        return EXIT_SUCCESS;
    }
    if (result.version) {
        printf("sagactl %s\n", SAGA_VERSION);
        return EXIT_SUCCESS;
    }
    return run(&o, &result);
}
