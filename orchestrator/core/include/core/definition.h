/* A definition: what a saga's author wrote, checked and compiled. Immutable once read; any thread may use it. */
#ifndef CORE_DEFINITION_H
#define CORE_DEFINITION_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/problem.h"
#include "core/template.h"

#define DEFINITION_STEPS_MAX 100
#define DEFINITION_NAME_MAX 64
#define DEFINITION_VERSION_MAX 1000000000
#define DEFINITION_TIMEOUT_DEFAULT_MS 30000
#define DEFINITION_CHILD_TIMEOUT_MS (3600 * 1000) /* of a step that runs a saga: then that is asked how it is */
#define DEFINITION_ORCHESTRATOR "saga" /* the service that runs sagas as steps */

/* Some of a definition's steps, by index. */
struct step_set {
    uint64_t bits[2];
};
void step_set_add(struct step_set *set, size_t step);
void step_set_remove(struct step_set *set, size_t step);
void step_set_join(struct step_set *set, const struct step_set *other);
bool step_set_has(const struct step_set *set, size_t step);
bool step_set_meets(const struct step_set *set, const struct step_set *other); /* they have a step in common */

/* When silence outlasts a step's timeout: send the same command again, ask what became of it, or give the step up and
 * compensate. A probe counts as an attempt. */
enum on_timeout { ON_TIMEOUT_RETRY, ON_TIMEOUT_PROBE, ON_TIMEOUT_COMPENSATE };

/* The pause before attempt n+1 is initial * multiplier^(n-1), at most max, less a random share of up to `jitter`. */
struct retry_policy {
    int max_attempts; /* 0: no bound */
    int64_t initial_ms;
    int64_t max_ms;
    double multiplier;
    double jitter; /* 0 to 1 */
};

/* What a step does: it has a participant carry out its action, it waits for a signal, or it lets time pass. */
enum step_kind { STEP_CALLS, STEP_WAITS, STEP_DELAYS };

struct step_definition {
    const char *name;
    enum step_kind kind;
    const char *signal;  /* STEP_WAITS: its name; else NULL */
    const char *service; /* STEP_CALLS; else NULL, as are action and compensation */
    const char *action;
    const char *compensation; /* NULL: there is nothing to undo */
    const char *child;        /* the definition of the saga that it runs: the orchestrator itself is its service; else NULL */
    int child_version;        /* 0: not said */
    struct step_set after;       /* it begins when all of these are done */
    struct step_set ancestors;   /* these and those that they waited for, and so on */
    struct step_set descendants; /* those that wait for this one, directly or not */
    const json_t *when; /* the step is skipped unless this is true (core/logic.h); NULL: it never is */
    const struct template_node *input;
    int64_t timeout_ms; /* STEP_DELAYS: how long */
    enum on_timeout on_timeout;
    struct retry_policy retry;
    struct retry_policy compensation_retry;
};

struct entity_definition; /* core/entity.h */

struct definition {
    const char *name;
    int version;        /* 0 until the store gives it one */
    int64_t timeout_ms; /* the saga's deadline after its start; 0: none */
    struct step_definition *steps;
    size_t steps_n;
    struct template_names names; /* of the steps */
    int *order; /* of the steps, each behind its ancestors */
    int pivot;  /* the step behind which there is no way back; -1: none */
    struct entity_definition *entities; /* which a saga holds or observes */
    size_t entities_n;
    bool rejects_busy; /* a start whose entities are held is refused; otherwise it waits */
    json_t *source;
    json_t *made; /* what templates were compiled from besides the source */
    char *canonical; /* the source as canonical JSON: equal definitions have equal texts */
    struct arena arena;
};

/* Reads and checks a definition. NULL with at least one problem when it is not one. Takes its own reference to
 * `source`. Free with definition_free. */
struct definition *definition_read(json_t *source, struct problems *problems);
void definition_free(struct definition *definition); /* NULL is fine */
/* The index of the step with that name, or -1. */
int definition_step(const struct definition *definition, const char *name);

/* The pause before the next attempt, when `attempts` have been made; `spread` is any hash and decides the jitter, so that
 * the same saga always gives the same pause. */
int64_t retry_pause_ms(const struct retry_policy *policy, int attempts, uint64_t spread);
bool retry_exhausted(const struct retry_policy *policy, int attempts);

#endif
