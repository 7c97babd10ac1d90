/* What the verifier's files share: the saga of one state, and what can happen to it. */
#ifndef VERIFY_EXPLORE_H
#define VERIFY_EXPLORE_H

#include "core/machine.h"
#include "verify/verify.h"

/* One thing that can happen. */
struct happening {
    enum event_type type;
    int step; /* -1: the saga */
    enum command_kind kind;
    enum outcome outcome; /* EVENT_REPLY */
    struct step_set not_held; /* steps whose condition, if it is looked at now, does not hold */
};

/* A saga between two events. `may` are the steps that may have an effect which nothing has undone: seen from the commands and the
 * answers, not from the steps' states. */
struct position {
    struct saga saga;
    struct saga_step steps[DEFINITION_STEPS_MAX];
    struct step_set may;
};

/* What was broken at once, or NULL. */
const char *position_start(struct position *position, const struct definition *definition, const struct step_set *not_held);
/* All that can happen to it next, whatever conditions hold; returns how many. Room for all: HAPPENINGS_MAX. */
#define HAPPENINGS_MAX (4 * DEFINITION_STEPS_MAX + 2)
size_t position_next(const struct position *position, struct happening *out);
/* The steps whose condition may be looked at when `after` (-1: the start) is done, at most one more than CONDITIONS_MAX. */
#define CONDITIONS_MAX 10 /* that are gone through in all their combinations */
size_t position_conditions(const struct position *position, int after, int *steps);
/* Lets it happen. What was broken, or NULL; the steps undone by it are added to `undone` (may be NULL). */
const char *position_move(struct position *position, const struct happening *happening, struct arena *arena,
                          struct verify_failure *undone);
/* "charge: no answer to the last attempt" */
void happening_text(const struct happening *happening, const struct definition *definition, struct buf *out);

void explore(const struct definition *definition, const struct verify_bounds *bounds, struct verification *out);

#endif
