/* Requests to routes. Server threads only parse and hand over; what reads from the database runs on the readers. */
#include "api/api.h"

#include <ctype.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "call.h"

#define CALLS_MAX 5000

static const struct route routes[] = {
    {"POST", "/v1/definitions", true, definitions_put},
    {"GET", "/v1/definitions", true, definitions_list},
    {"GET", "/v1/definitions/{}", true, definitions_get},
    {"POST", "/v1/definitions/{}/verify", true, definitions_verify},
    {"POST", "/v1/sagas", false, sagas_start},
    {"GET", "/v1/sagas", true, sagas_list},
    {"GET", "/v1/sagas/{}", false, sagas_wait},
    {"GET", "/v1/sagas/{}/history", true, sagas_history},
    {"POST", "/v1/sagas/{}/cancel", false, acts_cancel},
    {"POST", "/v1/sagas/{}/pause", false, acts_pause},
    {"POST", "/v1/sagas/{}/resume", false, acts_resume},
    {"POST", "/v1/sagas/{}/signals/{}", false, acts_signal},
    {"POST", "/v1/sagas/{}/steps/{}/retry", false, acts_retry},
    {"POST", "/v1/sagas/{}/steps/{}/resolve", false, acts_resolve},
    {"POST", "/v1/sagas/{}/steps/{}/skip", false, acts_skip},
    {"GET", "/v1/entities/{*}/conflicts", true, entities_conflicts},
    {"GET", "/v1/entities/{*}", true, entities_get},
    {"GET", "/v1/overview", true, overview_get},
    {"GET", "/v1/services", true, services_list},
    {"GET", "/", false, dashboard_page},
    {"GET", "/sagas", false, dashboard_page},
    {"GET", "/sagas/{}", false, dashboard_page},
    {"GET", "/assets/{}", false, dashboard_asset},
    {"GET", "/healthz", false, health_live},
    {"GET", "/readyz", false, health_ready},
    {"GET", "/metrics", false, health_metrics},
};

/* Decodes `len` characters of a path; false: it does not fit or has a NUL character. */
static bool decode(const char *path, size_t len, char *out, size_t size)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        char c = path[i];
        if (c == '%' && i + 2 < len && isxdigit((unsigned char)path[i + 1]) && isxdigit((unsigned char)path[i + 2])) {
            char digits[] = {path[i + 1], path[i + 2], 0};
            c = (char)strtol(digits, NULL, 16);
            i += 2;
        }
        if (!c || n + 1 >= size)
            return false;
        out[n++] = c;
    }
    out[n] = '\0';
    return true;
}

/* How much of the path a parameter takes: up to the next slash, or, for {*}, all but what follows in the pattern. */
static size_t parameter_len(const char *pattern, const char *path)
{
    size_t len = strlen(path), rest = strlen(strchr(pattern, '}') + 1);
    if (pattern[1] != '*')
        return strcspn(path, "/");
    return len > rest ? len - rest : 0;
}

/* Matches a path as it was sent against a pattern with at most two {}, or with one {*}; fills the call's parameters. */
static bool matches(const char *pattern, const char *path, struct call *call)
{
    char *parameter = call->parameter;
    size_t size = sizeof call->parameter;
    while (*pattern && *path) {
        if (pattern[0] == '{') {
            size_t len = parameter_len(pattern, path);
            if (!len || !decode(path, len, parameter, size))
                return false;
            parameter = call->second;
            size = sizeof call->second;
            path += len;
            pattern = strchr(pattern, '}') + 1;
        } else if (*pattern++ != *path++) {
            return false;
        }
    }
    return !*pattern && !*path;
}

static const struct route *find_route(const char *method, const char *path, struct call *call, const char **allowed)
{
    *allowed = NULL;
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++) {
        if (!matches(routes[i].pattern, path, call))
            continue;
        if (strcmp(routes[i].method, method) == 0)
            return &routes[i];
        *allowed = routes[i].method;
    }
    return NULL;
}

static void on_request(void *context, struct http_request *request)
{
    struct api *api = context;
    struct call *call = mem_alloc(sizeof *call);
    const char *allowed;
    call->api = api;
    call->request = request;
    call->begun_ms = clock_mono_ms();
    const char *method = http_method(request);
    const struct route *route = find_route(strcmp(method, "HEAD") == 0 ? "GET" : method, http_path(request), call, &allowed);
    call->requested = route;
    if (!route && allowed)
        call_problem(call, 405, "method-not-allowed", "This method is not for this path", allowed, NULL);
    else if (!route)
        call_not_found(call, "there is nothing at this path");
    else if (strcmp(route->method, "GET") != 0 && !call_same_site(call))
        return;
    else if (route->reads)
        call_later(call, route);
    else
        route->run(call);
}

static void *read_calls(void *argument)
{
    struct api *api = argument;
    struct reader reader = {pg_new(api->config.database_url, api->config.schema, "saga-orchestrator api", PG_ADHOC),
                            catalog_new()};
    struct call *call;
    while (queue_wait(api->calls, (void **)&call, 1, -1) || !queue_closed(api->calls)) {
        call->reader = &reader;
        call->route->run(call);
    }
    pg_free(reader.pg);
    catalog_free(reader.catalog);
    return NULL;
}

static bool start_readers(struct api *api, struct err *err)
{
    api->readers = mem_array((size_t)api->config.readers, sizeof *api->readers);
    for (; api->readers_n < api->config.readers; api->readers_n++) {
        if (pthread_create(&api->readers[api->readers_n], NULL, read_calls, api) != 0)
            return err_set(err, ERR_FATAL, "no thread for the API");
    }
    return true;
}

struct api *api_start(const struct api_config *config, struct err *err)
{
    struct api *api = mem_alloc(sizeof *api);
    api->config = *config;
    api->traffic = traffic_new(routes, sizeof routes / sizeof routes[0]);
    api->overview = overview_cache_new();
    api->calls = queue_new(CALLS_MAX);
    if (start_readers(api, err))
        api->http = http_start(config->listen, on_request, api, err);
    if (api->http)
        return api;
    api_stop(api);
    return NULL;
}

void api_set_engine(struct api *api, struct engine *engine)
{
    atomic_store(&api->engine, engine);
}

int api_port(const struct api *api)
{
    return http_port(api->http);
}

void api_quiesce(struct api *api)
{
    http_quiesce(api->http);
}

void api_stop(struct api *api)
{
    if (!api)
        return;
    http_stop(api->http);
    queue_close(api->calls);
    for (int i = 0; i < api->readers_n; i++)
        pthread_join(api->readers[i], NULL);
    queue_free(api->calls);
    traffic_free(api->traffic);
    overview_cache_free(api->overview);
    free(api->readers);
    free(api);
}
