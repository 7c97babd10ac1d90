/* The verifier: everything that participants, clients and time can do to a saga of a definition, on the real core. It tells what
 * becomes of the saga when a step fails, what stays in place, what is never reached, and, should an invariant ever be broken, the
 * shortest way there.
 *
 * What is collapsed: conditions that can never hold are found first (condition.h), all others hold or not, whatever the rest does; attempts (each action has one, the last; a step that pauses between two is not looked at), values (every
 * template gives some value, though that of a step that was skipped may be null), time (any step may fall silent before any
 * other), and what comes before the first step (the saga's time has come, and it has its entities). An orchestrator that dies before its commit leaves the state as it was, one that dies after it is told once more: so each
 * event is also applied twice. What operators do to a stalled saga is not looked at: the simulator does that. */
#ifndef VERIFY_VERIFY_H
#define VERIFY_VERIFY_H

#include "base/buf.h"
#include "core/definition.h"

struct verify_bounds {
    size_t states; /* look no further than so many, */
    size_t moves;  /* and let no more happen than that; each costs microseconds, of a hundred steps a tenth of a millisecond */
};

/* What follows when a step does not succeed and all others do. */
struct verify_failure {
    int step;
    bool cannot_fail; /* so: it only lets time pass, it is never begun, or (unknown) it is heard of sooner or later */
    bool stalls;      /* it needs an operator: it is the pivot, or behind it */
    int undone[DEFINITION_STEPS_MAX]; /* steps whose compensation runs, in this order, */
    int stages[DEFINITION_STEPS_MAX]; /* and, for each of these: 0, or one more than the latest of those that followed it and are undone */
    size_t undone_n;
    struct step_set left; /* steps that were done and that nothing undoes */
};

struct verification {
    bool complete; /* every state was looked at */
    size_t states;
    size_t completed, compensated, stalled; /* of the states in which a saga rests: nothing of it is in flight */
    struct verify_failure failed[DEFINITION_STEPS_MAX];  /* by step: it answers `failed`, */
    struct verify_failure unknown[DEFINITION_STEPS_MAX]; /* or its outcome stays unknown */
    struct step_set reached;                              /* steps that can be begun at all */
    struct step_set never_true;                           /* steps whose condition can never hold (see docs/definitions.md) */
    const char *violation;                                /* which invariant; NULL: none */
    char **trace;                                         /* the shortest way to it, a line for each event */
    size_t trace_n;
    struct arena arena;
};

/* Any thread. False when the definition cannot be simplified for it, which does not happen to one that was read. Free with
 * verify_free in any case. */
MUST_CHECK bool verify(const struct definition *definition, const struct verify_bounds *bounds, struct verification *out);
void verify_free(struct verification *verification);

/* As a JSON object. */
void verify_write(const struct verification *verification, const struct definition *definition, struct buf *out);
/* For people, several lines. */
void verify_print(const struct verification *verification, const struct definition *definition, struct buf *out);

#endif
