/* Sagas that are steps of others. To its parent the orchestrator is the service that runs them: what a parent orders comes over Kafka like a
 * command to any service, into the topic that the orchestrator reads, and is answered there. The child's id follows from its parent's,
 * so that two who make it make one, and its row is what a service's inbox is: it is made once, whether to run or, when the undoing came
 * first, never to run. */
#ifndef ENGINE_CHILDREN_H
#define ENGINE_CHILDREN_H

#include "apply.h"

/* What a parent orders. */
struct child_order {
    struct uuid parent_id;
    const char *step;
    enum command_kind kind; /* action: start it; compensation: undo it */
    int round;
    const char *definition;
    int version; /* 0: the latest */
    const char *input;
    size_t input_len;
    int64_t deadline_ms;     /* not to be begun behind it; 0: whenever */
    const char *traceparent; /* or NULL */
};

/* Makes a happening of a parent's command, in the arena. ERR_REFUSED when it is none. */
MUST_CHECK bool child_read(struct arena *arena, const struct wire_message *message, struct happening *out, struct err *err);
/* After an operator's retry another generation may be meant: finds it, and supersedes the one that failed. */
MUST_CHECK bool children_find(struct applier *applier, struct happening *happenings, size_t n, struct err *err);
/* The order was meant for another generation by now. */
bool child_is_outdated(const struct saga *saga, const struct happening *happening);
/* Why a start comes too late, as a JSON error; NULL: it does not. Static. */
const char *child_lateness(const struct child_order *order, int64_t now_ms);
/* The child as it is before its EVENT_START, in the applier's arena. NULL with ERR_REFUSED when there is no such definition. */
struct saga *child_new(struct applier *applier, const struct uuid *id, const struct child_order *order, struct err *err);
/* The answer to its parent, or NULL. */
struct store_message *child_answer(struct engine *engine, struct arena *arena, const struct saga *saga, const struct effects *effects,
                                   int64_t now_ms);

#endif
