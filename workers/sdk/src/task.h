/* What the SDK's files share: a command on its way through the inbox and the handler to its reply. */
#ifndef SDK_TASK_H
#define SDK_TASK_H

#include "base/arena.h"
#include "kafka/kafka.h"
#include "saga/worker.h"
#include "wire/wire.h"

enum task_way {
    WAY_RUN,        /* claimed: the handler decides */
    WAY_REPEAT,     /* answered before: the record is the reply */
    WAY_FENCED,     /* an action whose compensation came first */
    WAY_NOT_NEEDED, /* a compensation of an action that took no effect */
    WAY_NOT_SEEN,   /* a probe of an action that has no verdict here, or only one of an earlier round */
};

struct task {
    struct wire_command command;
    size_t record;    /* which Kafka record it came from */
    int twin;         /* index of an earlier task of this batch with the same key, or -1 */
    enum task_way way;
    bool reopened;    /* the row was there with an older round's `failed` */
    const char *body; /* of the reply, once it is known */
    size_t body_len;
    const char *clock; /* of the reply: what the effect has counted up; NULL: nothing */
    const char *verdict; /* to be recorded: "succeeded", "failed", or NULL: nothing is, as of a probe */
};

bool task_is_action(const struct task *task);
bool task_is_probe(const struct task *task);

/* The inbox: one round trip to claim the keys of tasks[0..n), in a transaction that is opened here. Sets their way, and the
 * body of those that were answered before. */
MUST_CHECK bool inbox_claim(struct pg *pg, struct arena *arena, struct task *tasks, size_t n, struct err *err);
/* Counts up the clocks of the entities that the effects of tasks[0..n) are about, and sets the tasks' own. The order of its locks is that of
 * the effects: it comes after all handlers and before nothing but inbox_finish, in the same transaction. */
MUST_CHECK bool clocks_tick(struct pg *pg, struct arena *arena, struct task *tasks, size_t n, const char *service, struct err *err);
/* Records the verdicts, drops the claims without one, puts the replies into the outbox, commits. */
MUST_CHECK bool inbox_finish(struct pg *pg, struct arena *arena, const struct task *tasks, size_t n,
                             const char *reply_topic, const char *service, struct err *err);
/* Puts a dead letter into the outbox, in a transaction of its own. */
MUST_CHECK bool inbox_bury(struct pg *pg, const char *topic, const struct wire_dead_letter *letter, struct err *err);

/* How a handler that takes long says so. */
struct heartbeat {
    struct pg *pg; /* not the batch's */
    const char *reply_topic, *service;
    struct relay *relay; /* NULL: another one sends it */
};
/* Puts the answer `accepted` into the outbox, in a transaction of its own. */
MUST_CHECK bool inbox_accept(struct pg *pg, struct arena *arena, const struct task *task, const char *reply_topic, const char *service, struct err *err);

/* Runs the task's handler and makes the reply's body. ERR_RETRY when the transaction must be begun again. */
MUST_CHECK bool call_handler(struct pg *pg, struct arena *arena, const struct worker_spec *spec, const struct heartbeat *heartbeat, struct task *task,
                             struct err *err);
/* The reply's body for an outcome without handler. `error_code` NULL: a success without output. */
void set_body(struct arena *arena, struct task *task, const char *outcome, const char *error_code, const char *message);

#endif
