/* Definitions by chance: sequences and graphs, short and long timeouts, bounded and endless retries. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "core/link.h"
#include "world.h"

#define PLANS_MAX 6
#define STEPS_MAX 6

static struct definition *plans[PLANS_MAX];
static size_t plans_count;

static void add_retry(json_t *step, const char *member, int attempts_min)
{
    json_object_set_new(step, member,
                        json_pack("{s:i, s:s, s:s, s:f, s:f}", "max_attempts", attempts_min + (int)sim_below(5 - (uint64_t)attempts_min), "initial", "100ms", "max",
                                  "2s", "multiplier", 2.0, "jitter", 0.3));
}

/* Names of some of the steps before this one. */
static void add_after(json_t *step, size_t i)
{
    json_t *after = json_array();
    for (size_t k = 0; k < i; k++) {
        char name[8];
        snprintf(name, sizeof name, "s%zu", k);
        if (sim_chance(0.4))
            json_array_append_new(after, json_string(name));
    }
    json_object_set_new(step, "after", after);
}

static json_t *make_pause(const char *name, bool may_wait)
{
    if (may_wait)
        return json_pack("{s:s, s:s, s:s}", "name", name, "wait", "go", "timeout", sim_chance(0.2) ? "300ms" : "1m");
    return json_pack("{s:s, s:s}", "name", name, "delay", sim_chance(0.5) ? "50ms" : "2s");
}

static json_t *make_call(const char *name)
{
    static const char *const timeouts[] = {"400ms", "1s", "3s", "10s"};
    char service[8];
    snprintf(service, sizeof service, "svc%d", (int)sim_below(SERVICES_N));
    json_t *step = json_pack("{s:s, s:s, s:s, s:s, s:{s:s}, s:s}", "name", name, "service", service, "action", "act",
                             "compensation", "undo", "input", "n", "${input.n}", "timeout", timeouts[sim_below(4)]);
    if (sim_chance(0.1))
        json_object_set_new(step, "compensation", json_null());
    const char *on_timeout = sim_chance(0.2) ? "compensate" : sim_chance(0.25) ? "probe" : "retry";
    json_object_set_new(step, "on_timeout", json_string(on_timeout));
    if (sim_chance(0.5))
        add_retry(step, "retry", strcmp(on_timeout, "probe") == 0 ? 2 : 1);
    if (sim_chance(0.1))
        add_retry(step, "compensation_retry", 1);
    return step;
}

/* A saga of a plan made before, if there is one that can be a step; one with a pivot makes the step the pivot. */
static json_t *make_child(const char *name, bool may_be_pivot)
{
    const struct definition *child = plans_count ? plans[sim_below(plans_count)] : NULL;
    if (!child || (child->pivot >= 0 && !may_be_pivot))
        return NULL;
    json_t *step = json_pack("{s:s, s:s, s:{s:s, s:s, s:s}, s:s}", "name", name, "saga", child->name, "input", "n",
                             "${input.n}", "e", "${input.e}", "f", "${input.f}", "timeout", sim_chance(0.5) ? "3s" : "20s"); /* longer than a relay takes to look: or all is never at rest */
    if (sim_chance(0.3))
        add_retry(step, "retry", 1);
    if (child->pivot >= 0)
        json_object_set_new(step, "pivot", json_true());
    return step;
}

/* One of the steps at most waits: a signal is waited for once. */
static json_t *make_step(size_t i, bool graph, bool pauses, size_t waiter, bool may_be_pivot)
{
    char name[8];
    snprintf(name, sizeof name, "s%zu", i);
    json_t *step = pauses && sim_chance(0.15) ? make_child(name, may_be_pivot) : NULL;
    if (!step)
        step = pauses && sim_chance(i == waiter ? 0.3 : 0.08) ? make_pause(name, i == waiter) : make_call(name);
    if (sim_chance(0.15) && !json_object_get(step, "pivot"))
        json_object_set_new(step, "when", json_pack("{s:[{s:[{s:s}, i]}, i]}", "==", "%", "var", "input.n", 2, (int)sim_below(2)));
    if (graph)
        add_after(step, i);
    return step;
}

/* A sequence may have its pivot anywhere; in a graph it is found by trying. */
static void set_pivot(json_t *source, size_t n)
{
    json_t *step = json_array_get(json_object_get(source, "steps"), sim_below(n));
    struct problems problems = {0};
    if (!json_object_get(step, "service") && !json_object_get(step, "saga"))
        return;
    json_object_set_new(step, "pivot", json_true());
    const char *on_timeout = json_string_value(json_object_get(step, "on_timeout"));
    if (on_timeout && strcmp(on_timeout, "compensate") == 0)
        json_object_del(step, "on_timeout");
    json_object_del(step, "when");
    struct definition *definition = definition_read(source, &problems);
    if (!definition)
        json_object_del(step, "pivot");
    definition_free(definition);
}

/* One of two kinds of things, or one of each, in either order. */
static void add_entities(json_t *source)
{
    json_t *e = json_string("e${input.e}"), *f = json_pack("{s:s}", "key", "f${input.f}");
    json_t *entities = json_array();
    if (sim_chance(0.5))
        json_array_append(entities, e);
    json_array_append(entities, f);
    if (json_array_size(entities) == 1 && sim_chance(0.5))
        json_array_append(entities, e);
    json_object_set_new(source, "entities", entities);
    if (sim_chance(0.2))
        json_object_set_new(source, "on_busy", json_string("reject"));
    json_decref(e);
    json_decref(f);
}

/* A thing that the sagas touch without holding it. */
static void add_observed(json_t *source)
{
    json_t *entities = json_object_get(source, "entities");
    if (!entities) {
        entities = json_array();
        json_object_set_new(source, "entities", entities);
    }
    json_array_append_new(entities, json_pack("{s:s, s:s}", "key", "g${input.e}", "mode", "observe"));
}

static const struct definition *look_up(void *context, const char *name, int version)
{
    (void)context, (void)version; /* each has one */
    return plan_named(name);
}

/* `steps` 0: by chance. */
static struct definition *make_plan(size_t number, size_t steps_n)
{
    char name[16];
    snprintf(name, sizeof name, "plan%zu", number);
    json_t *steps = json_array(), *source = json_pack("{s:s}", "name", name);
    size_t n = steps_n ? steps_n : 1 + sim_below(STEPS_MAX);
    bool graph = !steps_n && sim_chance(0.5);
    size_t waiter = sim_below(n);
    bool has_pivot = false;
    for (size_t i = 0; i < n; i++) {
        json_t *step = make_step(i, graph, !steps_n, waiter, !graph && !has_pivot);
        has_pivot = has_pivot || json_object_get(step, "pivot");
        json_array_append_new(steps, step);
    }
    json_object_set_new(source, "steps", steps);
    if (sim_chance(0.3))
        json_object_set_new(source, "timeout", json_string(sim_chance(0.5) ? "2s" : "20s"));
    if (!has_pivot && sim_chance(0.4))
        set_pivot(source, n);
    if (!steps_n && sim_chance(0.3))
        add_entities(source);
    if (!steps_n && sim_chance(0.3))
        add_observed(source);
    struct problems problems = {0};
    definition_link(source, look_up, NULL, &problems);
    struct definition *definition = problems.n ? NULL : definition_read(source, &problems);
    if (!definition)
        sim_fail("a definition of the simulator is refused: %s", problems.n ? problems.items[0].detail : "?");
    json_decref(source);
    definition->version = 1;
    return definition;
}

void plans_make(size_t steps)
{
    size_t n = 1 + sim_below(PLANS_MAX);
    for (plans_count = 0; plans_count < n; plans_count++)
        plans[plans_count] = make_plan(plans_count, steps);
}

bool plan_wants(const struct definition *definition, int step, int64_t n)
{
    int64_t rest;
    const json_t *when = definition->steps[step].when;
    return !when || json_unpack((json_t *)(uintptr_t)when, "{s:[o, I]}", "==", &(json_t *){NULL}, &rest) != 0 || n % 2 == rest;
}

size_t plans_n(void)
{
    return plans_count;
}

const struct definition *plan_at(size_t i)
{
    return plans[i];
}

const struct definition *plan_named(const char *name)
{
    for (size_t i = 0; i < plans_count; i++) {
        if (strcmp(plans[i]->name, name) == 0)
            return plans[i];
    }
    return NULL;
}
