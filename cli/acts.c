/* What is done to sagas: cancel, pause, resume, signal, and the repairs of what has stalled. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli.h"
#include "client.h"

/* Takes over the path and the body. */
static int post(const struct options *o, char *path, json_t *body)
{
    int status = call_and_print(o, "POST", path, body, print_saga, NULL);
    free(path);
    json_decref(body);
    return status;
}

static const char *who(const struct options *o)
{
    const char *by = o->by ? o->by : getenv("USER");
    return by && *by ? by : NULL;
}

static void add_parameter(struct buf *url, const char *name, const char *value)
{
    if (!value)
        return;
    buf_printf(url, "%c%s=", memchr(url->data, '?', url->len) ? '&' : '?', name);
    add_escaped(url, value);
}

int run_signal(const struct options *o, const char *command, const char *id, const char *name)
{
    (void)command;
    struct err err;
    json_t *body = read_argument(o->input, &err);
    if (!body) {
        fprintf(stderr, "sagactl: --input: %s\n", err.text);
        return EXIT_NO;
    }
    struct buf url = buf_new(8192);
    buf_printf(&url, "/v1/sagas/%s/signals/%s", id, name);
    add_parameter(&url, "by", who(o));
    add_parameter(&url, "reason", o->reason);
    char *path = url.failed ? NULL : mem_strdup(buf_text(&url));
    buf_free(&url);
    if (path)
        return post(o, path, body);
    fprintf(stderr, "sagactl: --by and --reason are too long\n");
    json_decref(body);
    return EXIT_NO;
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
    json_t *body = json_object();
    if (who(o))
        json_object_set_new(body, "by", json_string(who(o)));
    if (o->reason)
        json_object_set_new(body, "reason", json_string(o->reason));
    return body;
}

/* Cancel, pause, resume. */
int run_hold(const struct options *o, const char *act, const char *id, const char *second)
{
    (void)second;
    return post(o, mem_printf("/v1/sagas/%s/%s", id, act), why_body(o));
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

int run_act(const struct options *o, const char *act, const char *id, const char *step)
{
    char *version = o->seen ? mem_strdup(o->seen) : look_up_version(o, id, step);
    json_t *body = version ? act_body(o, act, version) : NULL;
    free(version);
    return body ? post(o, mem_printf("/v1/sagas/%s/steps/%s/%s", id, step, act), body) : EXIT_NO;
}
