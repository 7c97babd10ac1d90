/* All SQL of the orchestrator. Every function is one or two round trips; the connection is the caller's and used by one
 * thread at a time. Errors are those of pg_run. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/metric.h"
#include "core/conflict.h"
#include "core/machine.h"
#include "core/saga.h"
#include "pg/pg.h"

#define STORE_NAMESPACE "default"

/* Brings the schema up to date. */
MUST_CHECK bool store_migrate(struct pg *pg, int *applied, struct err *err);

/* Whether it is up to date: ERR_RETRY while it is missing or older, ERR_FATAL when it is newer than the program. */
MUST_CHECK bool store_check_schema(struct pg *pg, struct err *err);

/* ---- definitions ---- */

/* Stores the definition unless its content equals the latest version's; gives its version and whether it is new. */
MUST_CHECK bool store_put_definition(struct pg *pg, const struct definition *definition, int *version, bool *created,
                                     struct err *err);

struct store_definition {
    const char *name;
    int version;
    const char *source; /* JSON text */
    int64_t created_ms;
};
/* The version, or the latest for 0, into `out` (in the arena); *found tells whether there is one. */
MUST_CHECK bool store_get_definition(struct pg *pg, struct arena *arena, const char *name, int version,
                                     struct store_definition *out, bool *found, struct err *err);
/* The latest version of each, by name, the first `limit` after the name `after` ("" for the start). */
MUST_CHECK bool store_list_definitions(struct pg *pg, struct arena *arena, const char *after, int limit,
                                       struct store_definition **out, size_t *n, struct err *err);

/* Compiled definitions by name and version. For one thread; what it returns lives as long as the catalog. */
struct catalog;
struct catalog *catalog_new(void);
void catalog_free(struct catalog *catalog);
/* NULL with ERR_REFUSED when there is no such version. `version` 0: the latest, always looked up. */
const struct definition *catalog_get(struct catalog *catalog, struct pg *pg, const char *name, int version,
                                     struct err *err);

/* ---- sagas, for the engine ---- */

/* A message for the outbox. */
struct store_message {
    struct store_message *next;
    struct uuid id;
    const char *topic;
    const char *key;
    const char *headers; /* JSON object of strings */
    const char *value;   /* NULL: none */
    size_t value_len;
    uint64_t tid; /* out: where its row is */
};

/* One saga's part of a transaction. */
struct store_change {
    struct saga *saga;
    bool is_new;
    const struct history_entry *history;
    const struct touch *touches; /* each is kept once, however often it is told */
    struct store_message *messages;
    const char *const *released; /* the entity keys of a saga that ends: it lets them go, and whoever is next is woken */
    size_t released_n;
};

/* Which server the connection leads to: what two servers know may differ by the last transactions of one that was lost. */
MUST_CHECK bool store_server(struct pg *pg, int64_t *server, struct err *err);
/* Reads the sagas of `ids` (in any order, without doubles), in the order of their ids and without those that do not exist.
 * The sagas and all they point to live in the arena, but for what saga_release drops. Nothing is locked: store_save finds
 * out when somebody else has changed one meanwhile. */
MUST_CHECK bool store_load(struct pg *pg, struct arena *arena, struct catalog *catalog, const struct uuid *ids, size_t n,
                           struct saga **sagas, size_t *sagas_n, struct err *err);
struct store_terms {
    int64_t lease_ms; /* for so long no relay takes the messages' rows and nobody withdraws them: the caller sends them */
    bool begun;       /* within the transaction of store_withdraw or store_take_entities, which is committed */
    bool woke;        /* out: sagas that waited for entities are due now */
};
/* Writes the changes (ordered by saga id, so that writers wait for each other in one order) in one transaction; one round
 * trip. Sets the steps' `stored`, the messages' tid, and counts up the sagas' versions. On failure the sagas are as they
 * were; when one of them has another version in the database, or an id, idempotency key or key of a new one is taken,
 * store_is_stale(err): ERR_RETRY when all of them were loaded, since loading them again helps, else ERR_REFUSED. */
MUST_CHECK bool store_save(struct pg *pg, struct store_change *changes, size_t n, struct store_terms *terms,
                           struct err *err);
#define STORE_STALE "23505" /* unique_violation: somebody else was faster */
bool store_is_stale(const struct err *err);
/* Puts messages into the outbox in a transaction of their own. */
MUST_CHECK bool store_put_messages(struct pg *pg, const struct store_message *messages, struct err *err);

/* The sagas to wake by `now_ms`, the most overdue first, at most `limit`; *next_ms is when the next one after these is
 * due, 0 for none. Takes no locks. */
MUST_CHECK bool store_due(struct pg *pg, int64_t now_ms, struct uuid *ids, size_t limit, size_t *n, int64_t *next_ms,
                          struct err *err);
/* Which of the commands that these steps sent last still stand in the outbox. For each of `n` pairs (saga, position) sets
 * unreleased[i]. */
MUST_CHECK bool store_unreleased(struct pg *pg, const struct uuid *saga_ids, const int *positions, size_t n,
                                 bool *unreleased, struct err *err);
/* Takes those commands out of the outbox that no relay has had and not given back; of all others it may be in doubt whether
 * they were sent: withdrawn[i] tells for each pair whether it was
 * taken. Begins a transaction unless one is open, to be committed by store_save. */
MUST_CHECK bool store_withdraw(struct pg *pg, const struct uuid *saga_ids, const int *positions, size_t n,
                               bool *withdrawn, struct err *err);

/* A saga that asks for the entities that it is to hold. */
struct store_ask {
    struct uuid saga_id;
    const char *const *keys;
    size_t keys_n;
    bool joins;        /* it is not in the queues yet */
    bool only_if_free; /* and joins them only if it heads all of them */
    bool joined;       /* out: by this call */
    bool has;          /* out: it heads all of its queues */
};
/* Those that join do so in the order given. Begins a transaction unless one is open, to be committed by store_save with what becomes of the
 * sagas; until then nobody else asks for these keys or lets them go. The keys of all other sagas of the transaction that might end
 * have to be among those of the asks, since their locks are taken in one order: such a saga asks without joining. */
MUST_CHECK bool store_take_entities(struct pg *pg, struct arena *arena, struct store_ask *asks, size_t n, struct err *err);

/* ---- sagas, for the intake and the API ---- */

/* An existing saga with an idempotency key. */
struct store_key_view {
    bool found;
    struct uuid id;
    const char *definition;
    const char *input; /* JSON text */
};
/* Fills out[i] for keys[i], for each of `n` keys without doubles. */
MUST_CHECK bool store_find_keys(struct pg *pg, struct arena *arena, const char *const *keys, size_t n,
                                struct store_key_view *out, struct err *err);
/* What has become of a child. */
struct store_generation {
    bool found;
    enum saga_state state;
    enum parent_order order;
    int round;
};
/* Fills out[i] for ids[i]. */
MUST_CHECK bool store_find_generations(struct pg *pg, const struct uuid *ids, size_t n, struct store_generation *out, struct err *err);
/* The saga that lives with a key. */
struct store_live_view {
    bool found;
    struct uuid id;
};
/* Fills out[i] for keys[i] of definitions[i]. */
MUST_CHECK bool store_find_live(struct pg *pg, const char *const *definitions, const char *const *keys, size_t n,
                                struct store_live_view *out, struct err *err);
/* How far sagas are: out[i] for ids[i]. */
struct store_glance {
    struct uuid id;
    bool found;
    bool settled; /* ended or stalled */
    int64_t version;
};
MUST_CHECK bool store_glance(struct pg *pg, const struct uuid *ids, size_t n, struct store_glance *out, struct err *err);

/* A saga as the API shows it. */
struct store_saga_view {
    struct uuid id;
    const char *definition;
    int version;
    const char *state;
    bool cancelled, paused;
    const char *idempotency_key, *key; /* or NULL */
    const char *labels; /* JSON object or NULL */
    const char *input;
    int64_t created_ms, start_ms, ended_ms, deadline_ms;
    const char *traceparent; /* or NULL */
    struct uuid parent_id;
    const char *parent_step; /* or NULL: it has no parent */
    int64_t revision; /* struct saga's version; 0 in lists */
};
MUST_CHECK bool store_get_saga(struct pg *pg, struct arena *arena, const struct uuid *id, struct store_saga_view *out,
                               bool *found, struct err *err);
/* The steps that have begun; states[i] and so on by position, `n` positions. */
struct store_step_row {
    const char *state; /* NULL: PENDING */
    int round, attempt;
    bool waived;
    const char *output, *error;
};
MUST_CHECK bool store_get_steps(struct pg *pg, struct arena *arena, const struct uuid *id, struct store_step_row *rows,
                                size_t n, struct err *err);
struct store_filter {
    const char *state, *definition; /* NULL: any */
    const char *labels;             /* JSON object of texts that it has; NULL: whatever it has */
    const struct uuid *parent;      /* that it is a step of; NULL, and not looked at beside labels: any or none */
    int64_t from_ms, to_ms;         /* started at or after, and before; 0: no bound */
    const struct uuid *before;      /* older than this saga; NULL: from the newest on */
};
/* The newest `limit` sagas that the filter lets through. */
MUST_CHECK bool store_list_sagas(struct pg *pg, struct arena *arena, const struct store_filter *filter, int limit,
                                 struct store_saga_view **out, size_t *n, struct err *err);
/* Batches of history in order, from `after`; each text is a JSON array of entries. */
MUST_CHECK bool store_get_history(struct pg *pg, struct arena *arena, const struct uuid *id, int64_t after, int limit,
                                  const char ***entries, size_t *n, int64_t *last, struct err *err);

/* Who holds an entity key, and who waits for it, in order. */
struct store_claim {
    struct uuid saga_id;
    const char *definition, *state;
    int64_t claimed_ms;
};
MUST_CHECK bool store_get_queue(struct pg *pg, struct arena *arena, const char *key, int limit, struct store_claim **out, size_t *n,
                                struct err *err);

/* An effect on an entity. */
struct store_touch {
    struct uuid root_id; /* the saga, or the root of those whose child it is */
    const char *definition, *state; /* of the root */
    struct entity_effect effect;
};
struct store_touch_bounds {
    int effects; /* sagas are found among so many effects, those that became known last */
    int sagas;   /* and of their roots so many are taken, the newest */
};
/* All effects of those sagas on the key, by their roots, oldest first, in the arena. *more: there may be sagas that only earlier effects would show. */
MUST_CHECK bool store_get_touches(struct pg *pg, struct arena *arena, const char *key, const struct store_touch_bounds *bounds,
                                  struct store_touch **out, size_t *n, bool *more, struct err *err);

/* ---- retention ---- */

/* Looks at the next few hundred of the sagas that began before `before_ms`, behind *after (zeros: from the first), and deletes those of them, with all
 * the sagas that are their steps, of which none is live and none ended later. Moves *after; *more is false when all were looked at. A start with the
 * idempotency key of a deleted saga makes a new one, and a reply to it finds no saga. */
MUST_CHECK bool store_purge(struct pg *pg, int64_t before_ms, struct uuid *after, size_t *purged, bool *more, struct err *err);

/* ---- figures for operators ---- */

struct store_gauges {
    int64_t running, compensating, stalled, queued, scheduled;
    int64_t paused;    /* of these */
    int64_t oldest_ms; /* age of the oldest that has begun; 0: there is none */
    int64_t outbox_rows, outbox_oldest_ms; /* age of the oldest row; 0: there is none */
};
MUST_CHECK bool store_gauges(struct pg *pg, struct store_gauges *out, struct err *err);

/* What happened in one minute; `durations` by the buckets of histogram_fine. */
struct store_minute {
    int64_t minute_ms;
    const char *definition;
    int64_t started, completed, compensated, stalled;
    const uint64_t *durations; /* as many as it has buckets */
};
/* Keeps what this process has counted for these minutes so far, in place of what it has put before; forgets what is older
 * than a day. */
MUST_CHECK bool store_put_minutes(struct pg *pg, const struct uuid *process, const struct store_minute *minutes, size_t n,
                                  struct err *err);
/* The minutes from `since_ms` on, those of all processes and definitions together, in order and without empty ones, in the
 * arena, without their durations; those of all of them into `durations` (zeroed, its shape histogram_fine). */
MUST_CHECK bool store_get_minutes(struct pg *pg, struct arena *arena, int64_t since_ms, struct store_minute **out, size_t *n,
                                  struct histogram *durations, struct err *err);

struct store_process {
    const char *program, *version, *host, *roles; /* roles: "api,engine,relay" */
    int pid;
    bool healthy; /* as it said itself */
    bool live;    /* it has said so lately */
    int64_t started_ms, seen_ms;
};
/* Those that live, and those that have gone within the last hour without saying so; in the arena, by program and start. */
MUST_CHECK bool store_get_processes(struct pg *pg, struct arena *arena, struct store_process **out, size_t *n,
                                    struct err *err);

#endif
