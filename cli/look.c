/* What is looked at: definitions, sagas, their history, entities. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "cli.h"
#include "timeline.h"

static void print_definitions(const json_t *answer)
{
    const json_t *all = json_object_get(answer, "definitions");
    for (size_t i = 0; i < json_array_size(all); i++) {
        const json_t *one = json_array_get(all, i);
        printf("%-32s version %-4lld %s\n", text(one, "name"),
               (long long)json_integer_value(json_object_get(one, "version")), text(one, "created_at"));
    }
}

int run_definitions(const struct options *o, const char *command, const char *argument, const char *second)
{
    (void)command, (void)argument, (void)second;
    return call_and_print(o, "GET", "/v1/definitions?limit=500", NULL, print_definitions, NULL);
}

int run_get(const struct options *o, const char *command, const char *id, const char *second)
{
    (void)command, (void)second;
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

int run_history(const struct options *o, const char *command, const char *id, const char *second)
{
    (void)command, (void)second;
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
    if (json_is_true(json_object_get(answer, "more")))
        printf("others touched it earlier: only the newest %zu were looked at\n", json_array_size(json_object_get(answer, "sagas")));
}

static int ask_of_entity(const struct options *o, const char *key, const char *what, void (*print)(const json_t *))
{
    struct buf path = buf_new(4096);
    buf_str(&path, "/v1/entities/");
    add_escaped(&path, key);
    buf_str(&path, what);
    int status = call_and_print(o, "GET", buf_text(&path), NULL, print, NULL);
    buf_free(&path);
    return status;
}

int run_entity(const struct options *o, const char *command, const char *key, const char *second)
{
    (void)command, (void)second;
    return ask_of_entity(o, key, "", print_entity);
}

int run_conflicts(const struct options *o, const char *command, const char *key, const char *second)
{
    (void)command, (void)second;
    return ask_of_entity(o, key, "/conflicts", print_conflicts);
}

static void print_list(const json_t *answer)
{
    const json_t *all = json_object_get(answer, "sagas");
    for (size_t i = 0; i < json_array_size(all); i++)
        print_saga_line(json_array_get(all, i));
}

int run_list(const struct options *o, const char *command, const char *argument, const char *second)
{
    (void)command, (void)argument, (void)second;
    char *path = mem_printf("/v1/sagas?limit=%d%s%s%s%s%s%s%s%s", o->limit, o->state ? "&state=" : "", o->state ? o->state : "",
                            o->definition ? "&definition=" : "", o->definition ? o->definition : "", o->labels ? "&label=" : "",
                            o->labels ? o->labels : "", o->parent ? "&parent=" : "", o->parent ? o->parent : "");
    int status = call_and_print(o, "GET", path, NULL, print_list, NULL);
    free(path);
    return status;
}
