/* How many workers the services have, as Kafka knows it. One thread asks at a time; the others take the last answer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/turn.h"
#include "parts.h"

#define GOOD_FOR_MS 5000
#define NONE_TOLD (-1)

struct service {
    char name[WIRE_NAME_MAX];
    int workers;
};

struct services {
    struct turn turn;
    struct service *known;
    size_t known_n;
};

struct services *services_new(void)
{
    struct services *services = mem_alloc(sizeof *services);
    turn_open(&services->turn);
    return services;
}

void services_free(struct services *services)
{
    turn_close(&services->turn);
    free(services->known);
    free(services);
}

static int find(const struct services *services, const char *name)
{
    for (size_t i = 0; i < services->known_n; i++) {
        if (strcmp(services->known[i].name, name) == 0)
            return services->known[i].workers;
    }
    return NONE_TOLD;
}

static void keep(struct services *services, struct service *known, size_t n)
{
    pthread_mutex_lock(&services->turn.lock);
    free(services->known);
    services->known = known;
    services->known_n = n;
    turn_done(&services->turn, GOOD_FOR_MS);
    pthread_mutex_unlock(&services->turn.lock);
}

/* Workers of a service are the members of the consumer group that has the name of its topic without "command". */
static void ask(struct engine *engine, const char *const *names, size_t n)
{
    struct service *known = mem_array(n + 1, sizeof *known);
    const char **groups = mem_array(n + 1, sizeof *groups);
    int *members = mem_array(n + 1, sizeof *members);
    struct arena arena = {0};
    struct err err;
    for (size_t i = 0; i < n; i++)
        groups[i] = wire_topic(engine->config.prefix, names[i], arena_alloc(&arena, WIRE_TOPIC_MAX));
    bool ok = kafka_count_members(engine->config.brokers, groups, n, members, &err);
    if (!ok)
        log_line(LOG_DEBUG, "engine.workers_not_counted", LOG_ERR(&err));
    for (size_t i = 0; i < n; i++) {
        known[i].workers = ok ? members[i] : NONE_TOLD;
        snprintf(known[i].name, sizeof known[i].name, "%s", names[i]);
    }
    keep(engine->services, known, n);
    arena_free(&arena);
    free(groups);
    free(members);
}

void engine_count_workers(struct engine *engine, const char *const *services, size_t n, int *workers)
{
    if (turn_take(&engine->services->turn))
        ask(engine, services, n);
    pthread_mutex_lock(&engine->services->turn.lock);
    for (size_t i = 0; i < n; i++)
        workers[i] = find(engine->services, services[i]);
    pthread_mutex_unlock(&engine->services->turn.lock);
}
