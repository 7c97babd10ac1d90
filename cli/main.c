/* sagactl: the operator's and developer's command line over the REST API. Exit status: 0 done, 1 the API said no or a
 * saga that was waited for did not complete, 2 wrong usage, 3 no answer. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf.h"
#include "base/mem.h"
#include "check.h"
#include "cli.h"

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
    {"reason", CONF_STRING, offsetof(struct options, reason), NULL, "TEXT", "cancel, pause, resume, signal, retry, resolve, skip: why, for the history", 0, 0},
    {"by", CONF_STRING, offsetof(struct options, by), NULL, "NAME", "cancel, pause, resume, signal, retry, resolve, skip: who, for the history (default: $USER)", 0, 0},
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

static int usage(const char *message)
{
    fprintf(stderr, "sagactl: %s; --help tells more\n", message);
    return EXIT_USAGE;
}

static void print_stored(const json_t *answer)
{
    bool created = json_is_true(json_object_get(answer, "created"));
    printf("definition %s version %lld%s\n", text(answer, "name"),
           (long long)json_integer_value(json_object_get(answer, "version")), created ? "" : " (unchanged)");
}

static int run_apply(const struct options *o, const char *command, const char *file, const char *second)
{
    (void)command, (void)second;
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

static int run_verify(const struct options *o, const char *command, const char *file, const char *second)
{
    (void)command, (void)second;
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

static void print_started(const json_t *answer)
{
    if (json_object_get(answer, "steps"))
        print_saga(answer);
    else
        printf("%s\n", text(answer, "id"));
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

static int run_start(const struct options *o, const char *command, const char *name, const char *second)
{
    (void)command, (void)second;
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

/* What goes into a URL from the command line. */
static bool is_plain(const char *word)
{
    for (; word && *word; word++) {
        if (!isalnum((unsigned char)*word) && !strchr("-_.:,", *word))
            return false;
    }
    return true;
}

/* What a command is given. */
enum takes { TAKES_NOTHING, TAKES_FILE, TAKES_KEY, TAKES_NAME, TAKES_TWO_NAMES };

static const struct {
    const char *name;
    enum takes takes;
    command_run *run;
} runs[] = {
    {"list", TAKES_NOTHING, run_list},
    {"apply", TAKES_FILE, run_apply},
    {"verify", TAKES_FILE, run_verify},
    {"definitions", TAKES_NOTHING, run_definitions},
    {"start", TAKES_NAME, run_start},
    {"get", TAKES_NAME, run_get},
    {"history", TAKES_NAME, run_history},
    {"entity", TAKES_KEY, run_entity},
    {"conflicts", TAKES_KEY, run_conflicts},
    {"cancel", TAKES_NAME, run_hold},
    {"pause", TAKES_NAME, run_hold},
    {"resume", TAKES_NAME, run_hold},
    {"signal", TAKES_TWO_NAMES, run_signal},
    {"retry", TAKES_TWO_NAMES, run_act},
    {"resolve", TAKES_TWO_NAMES, run_act},
    {"skip", TAKES_TWO_NAMES, run_act},
};

static bool options_are_plain(const struct options *o, const char *command)
{
    const char *labels = strcmp(command, "list") == 0 ? o->labels : NULL; /* elsewhere they go into a body */
    return is_plain(labels) && is_plain(o->parent) && is_plain(o->state) && is_plain(o->definition) && is_plain(o->wait_for);
}

static int run(const struct options *o, const struct conf_result *result)
{
    const char *argument = result->args_n > 0 ? result->args[0] : NULL, *second = result->args_n > 1 ? result->args[1] : NULL;
    size_t i = 0;
    while (strcmp(runs[i].name, result->command) != 0) /* conf_parse knows the same */
        i++;
    enum takes takes = runs[i].takes;
    size_t wanted = takes == TAKES_NOTHING ? 0 : takes == TAKES_TWO_NAMES ? 2 : 1;
    if (result->args_n != wanted)
        return usage(wanted == 2 ? "the command wants a saga's id and a name" : wanted ? "the command wants one argument" : "the command wants no argument");
    if (!options_are_plain(o, result->command) || (takes >= TAKES_NAME && (!is_plain(argument) || !is_plain(second))))
        return usage("an argument has characters that names and ids do not have");
    return runs[i].run(o, result->command, argument, second);
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
