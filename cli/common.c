/* Reading arguments, calling the API, printing answers. */
#include "cli.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "client.h"

#define FILE_MAX (1024 * 1024)

const char *text(const json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));
    return value ? value : "";
}

void add_escaped(struct buf *url, const char *part)
{
    for (; *part; part++)
        buf_printf(url, isalnum((unsigned char)*part) ? "%c" : "%%%02X", (unsigned char)*part);
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

json_t *read_file(const char *path, struct err *err)
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

json_t *read_argument(const char *argument, struct err *err)
{
    if (!argument)
        return json_object();
    if (argument[0] == '@')
        return read_file(argument + 1, err);
    return json_read(argument, strlen(argument), err);
}

/* ---- output ---- */

void print_problem(const json_t *problem)
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

void print_saga_line(const json_t *saga)
{
    printf("%s  %-13s  %s  %s version %lld%s\n", text(saga, "id"), text(saga, "state"), text(saga, "created_at"),
           text(saga, "definition"), (long long)json_integer_value(json_object_get(saga, "version")),
           json_is_true(json_object_get(saga, "paused")) ? ", paused" : "");
}

void print_saga(const json_t *saga)
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

int call_and_print(const struct options *o, const char *method, const char *path, const json_t *body,
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

int by_state(const struct options *o, int status, json_t *saga)
{
    if (status == EXIT_SUCCESS && o->wait && strcmp(text(saga, "state"), "COMPLETED") != 0)
        status = EXIT_NO;
    json_decref(saga);
    return status;
}
