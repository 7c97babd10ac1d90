/* The sagas under way that this process wrote last, as they were then, so that the next event needs no look at the
 * database. Whoever wants to change one takes it out, and puts it back after the commit. One that is missing is loaded; one
 * that somebody else has changed meanwhile is refused when it is saved, and loaded then: as long as its history is there, so nothing is kept for
 * as long as retention might take. Nothing depends on what is here: it goes with the process. Any thread. */
#ifndef ENGINE_LIVE_H
#define ENGINE_LIVE_H

#include <stddef.h>
#include <stdint.h>

#include "core/saga.h"

struct live;

/* Holds about `bytes_max`; beyond it those that were put in first are forgotten, as is what was put in longer than `age_max_ms` ago. */
struct live *live_new(size_t bytes_max, int64_t age_max_ms);
void live_free(struct live *live); /* NULL is fine */

/* A saga as it was put in. Its definition is only named: definitions belong to threads. */
struct live_saga {
    struct saga saga; /* definition is NULL until the taker sets it */
    const char *definition;
    int definition_version;
    size_t steps_n;
};

/* What is here is what one server has committed: `server` (store_server) says which the caller's connection leads to. When
 * it is another one, everything is forgotten; whoever still speaks with the one before finds nothing and leaves nothing. */
void live_serve(struct live *live, int64_t server);

/* Takes the sagas of `n` ids out: out[i] is NULL for one that is not there, else the caller's, for live_drop. */
void live_take(struct live *live, int64_t server, const struct uuid *ids, size_t n, struct live_saga **out);
void live_drop(struct live_saga *saga); /* NULL is fine */

/* Puts a copy of the saga in, unless it has ended or a newer one is there. */
void live_put(struct live *live, int64_t server, const struct saga *saga);

#endif
