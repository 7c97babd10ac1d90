/* The services that definitions name. */
#include <string.h>

#include "call.h"
#include "wire/wire.h"

#define ANSWER_MAX (4u * 1024 * 1024)
#define DEFINITIONS_MAX 1000
#define SERVICES_MAX 500

struct service {
    const char *name;
    const char *definitions[16]; /* the first ones */
    size_t definitions_n;
};

struct services {
    struct service items[SERVICES_MAX]; /* by name */
    size_t n;
};

/* NULL when there are too many. */
static struct service *get_service(struct arena *arena, struct services *services, const char *name)
{
    size_t at = 0;
    while (at < services->n && strcmp(services->items[at].name, name) < 0)
        at++;
    if (at < services->n && strcmp(services->items[at].name, name) == 0)
        return &services->items[at];
    if (services->n == SERVICES_MAX)
        return NULL;
    memmove(&services->items[at + 1], &services->items[at], (services->n++ - at) * sizeof services->items[0]);
    services->items[at] = (struct service){.name = arena_strdup(arena, name)};
    return &services->items[at];
}

static void add_use(struct service *service, const char *definition)
{
    size_t n = service->definitions_n;
    if (n == sizeof service->definitions / sizeof service->definitions[0] ||
        (n && strcmp(service->definitions[n - 1], definition) == 0))
        return;
    service->definitions[service->definitions_n++] = definition;
}

static void add_definition(struct arena *arena, struct services *services, const struct store_definition *definition)
{
    struct err err;
    json_t *source = json_read(definition->source, strlen(definition->source), &err);
    const json_t *step;
    size_t i;
    json_array_foreach(json_object_get(source, "steps"), i, step) {
        const char *name = json_string_value(json_object_get(step, "service"));
        struct service *service = name ? get_service(arena, services, name) : NULL;
        if (service)
            add_use(service, definition->name);
    }
    json_decref(source);
}

static void write_service(struct buf *body, const struct service *service, const char *prefix, int workers)
{
    char topic[WIRE_TOPIC_MAX];
    buf_str(body, "{\"name\":");
    buf_json_str(body, service->name);
    buf_str(body, ",\"topic\":");
    buf_json_str(body, wire_command_topic(prefix, service->name, topic));
    if (workers < 0)
        buf_str(body, ",\"workers\":null,\"definitions\":[");
    else
        buf_printf(body, ",\"workers\":%d,\"definitions\":[", workers);
    for (size_t i = 0; i < service->definitions_n; i++) {
        buf_str(body, i ? "," : "");
        buf_json_str(body, service->definitions[i]);
    }
    buf_str(body, "]}");
}

void services_list(struct call *call)
{
    struct engine *engine = atomic_load(&call->api->engine);
    struct store_definition *definitions;
    size_t n;
    struct err err;
    if (!engine) {
        call_problem(call, 503, "unavailable", "The orchestrator is starting", "try again soon", NULL);
        return;
    }
    if (!store_list_definitions(call->reader->pg, &call->arena, "", DEFINITIONS_MAX, &definitions, &n, &err)) {
        call_database_problem(call, &err);
        return;
    }
    struct services *services = arena_alloc(&call->arena, sizeof *services);
    for (size_t i = 0; i < n; i++)
        add_definition(&call->arena, services, &definitions[i]);
    const char *names[SERVICES_MAX];
    int workers[SERVICES_MAX];
    for (size_t i = 0; i < services->n; i++)
        names[i] = services->items[i].name;
    engine_count_workers(engine, names, services->n, workers);
    struct buf body = buf_new(ANSWER_MAX);
    buf_str(&body, "{\"services\":[");
    for (size_t i = 0; i < services->n; i++) {
        buf_str(&body, i ? "," : "");
        write_service(&body, &services->items[i], engine_prefix(engine), workers[i]);
    }
    buf_str(&body, "]}");
    call_json(call, 200, &body, NULL);
}
