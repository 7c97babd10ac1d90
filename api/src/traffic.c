#include "traffic.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/metric.h"
#include "call.h"

#define STATUS_END 600

struct route_traffic {
    struct histogram times;
    uint64_t answers[STATUS_END];
};

struct traffic {
    pthread_mutex_t lock;
    const struct route *routes;
    size_t routes_n;
    struct route_traffic *of; /* by route; the last is of what had none */
};

struct traffic *traffic_new(const struct route *routes, size_t routes_n)
{
    struct traffic *traffic = mem_alloc(sizeof *traffic);
    pthread_mutex_init(&traffic->lock, NULL);
    traffic->routes = routes;
    traffic->routes_n = routes_n;
    traffic->of = mem_array(routes_n + 1, sizeof *traffic->of);
    for (size_t i = 0; i <= routes_n; i++)
        traffic->of[i].times.shape = &histogram_durations;
    return traffic;
}

void traffic_free(struct traffic *traffic)
{
    pthread_mutex_destroy(&traffic->lock);
    free(traffic->of);
    free(traffic);
}

void traffic_count(struct traffic *traffic, const struct route *route, int status, int64_t ms)
{
    struct route_traffic *of = &traffic->of[route ? (size_t)(route - traffic->routes) : traffic->routes_n];
    pthread_mutex_lock(&traffic->lock);
    histogram_observe(&of->times, ms);
    if (status > 0 && status < STATUS_END)
        of->answers[status]++;
    pthread_mutex_unlock(&traffic->lock);
}

static void write_answers(const struct traffic *traffic, size_t i, const char *method, const char *pattern, struct buf *out)
{
    for (int status = 1; status < STATUS_END; status++) {
        char code[16];
        if (!traffic->of[i].answers[status])
            continue;
        snprintf(code, sizeof code, "%d", status);
        metric_value(out, "saga_http_requests_total", METRIC_LABELS({"method", method}, {"route", pattern}, {"status", code}),
                     (double)traffic->of[i].answers[status]);
    }
}

void traffic_write(struct traffic *traffic, struct buf *out)
{
    pthread_mutex_lock(&traffic->lock);
    metric_family(out, "saga_http_requests_total", "counter", "Requests answered, by route (empty: none of that path) and status.");
    for (size_t i = 0; i <= traffic->routes_n; i++)
        write_answers(traffic, i, i < traffic->routes_n ? traffic->routes[i].method : "",
                      i < traffic->routes_n ? traffic->routes[i].pattern : "", out);
    metric_family(out, "saga_http_request_seconds", "histogram",
                  "From a request, complete, to its answer; with what it asked to wait for.");
    for (size_t i = 0; i < traffic->routes_n; i++)
        metric_histogram(out, "saga_http_request_seconds",
                         METRIC_LABELS({"method", traffic->routes[i].method}, {"route", traffic->routes[i].pattern}),
                         &traffic->of[i].times);
    pthread_mutex_unlock(&traffic->lock);
}
