/* What is known of each saga from outside: the watch (watch.c) notes it, the checks (checks.c) look at it in the end. */
#ifndef SIM_KNOWN_H
#define SIM_KNOWN_H

#include "core/saga.h"
#include "world.h"

/* What is known of a step from outside. */
struct fact {
    int actions, compensations; /* effects that were committed */
    bool undone;                /* its compensation has been answered: from here on no action */
    bool touched;               /* by an operator */
    bool skipped;               /* its condition did not hold */
    char verdict[12];           /* on its action, as the service has it on record */
    int round;                  /* of that verdict */
    bool refused;               /* a service has answered `failed` for its action */
};

struct known {
    struct known *next;        /* of its bucket */
    struct known *next_of_all; /* the one that was made after it */
    struct uuid id;
    const struct definition *definition;
    int64_t n;   /* its input */
    int e, f;    /* the things that it is about */
    bool is_child, has_child;
    struct uuid parent;
    char parent_step[DEFINITION_NAME_MAX];
    bool stuck;  /* it is stalled, or waits for a thing that a stuck one holds, or for its child that is stuck */
    bool asks;   /* that child, now and then */
    int64_t seq; /* of the last row of history */
    int64_t seq_xid;
    bool turned; /* it is on its way back, by an earlier transaction */
    bool paused; /* the same */
    bool begun;
    int64_t start_ms; /* it was not to begin before; 0: at once */
    bool ended;
    struct fact facts[DEFINITION_STEPS_MAX];
};

struct known *known_of(const struct uuid *id); /* NULL: there is none */
struct known *known_add(const struct uuid *id);
struct known *known_first(void); /* of all; they follow by next_of_all */
const char *step_name(const struct known *known, int step);
/* Ends the run. `known` NULL, `step` below 0: of none. */
_Noreturn void violated(int invariant, const struct known *known, int step, const char *what);
/* A service carries the step out; a saga that is a step has effects of its own. */
bool acts(const struct known *known, int step);
/* They hold one thing. */
bool share(const struct known *a, const struct known *b);

/* Checks of the order of effects (clocks.c): a record that was committed, and all at rest. */
struct schema;
struct image;
void clocks_recorded(const struct schema *service, const struct image *before, const struct image *after, int64_t xid);
void clocks_finish(void);

#endif
