/* The engine: accepts starts, applies replies and timers to sagas, hands what comes of it to the outbox. Several batches
 * are under way at once, each on a thread and a connection of its own; sagas' versions keep them apart. Nothing in
 * memory is needed after a crash: whatever was not committed comes again, from Kafka or from the clock. */
#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/uuid.h"
#include "core/machine.h"

struct engine;

struct engine_config {
    const char *database_url;
    const char *schema;
    const char *brokers;
    const char *prefix;   /* of the topics' names */
    const char *instance; /* keeps its Kafka partitions over restarts; NULL: none */
    int partitions;       /* of topics that are made */
    int64_t fetch_wait_ms; /* as kafka_consumer_config has it */
    bool with_engine;     /* applies replies and timers; without it only starts and operators' acts are */
    bool with_relay;
    int64_t retention_ms; /* sagas that ended so long ago are deleted; 0: never. See below */
    const char *roles;    /* as people shall read what this process does: "api,engine,relay" */
};

/* A saga is deleted when no process remembers it as it was before its end, and no message about it is on its way any more: so the retention is
 * the same in all processes, longer than Kafka keeps messages, and outside of tests no shorter than this. */
#define ENGINE_RETENTION_MIN_MS (3600 * 1000)

/* Makes the topics and starts the threads. The texts must outlive it. NULL with ERR_FATAL, or ERR_RETRY when Kafka is
 * away. */
struct engine *engine_start(const struct engine_config *config, struct err *err);
/* Takes no more starts, commits those that wait, finishes the batches in hand, ends every watch, stops the threads. The
 * other functions may still be called: starts are refused, watches end at once. NULL is fine. */
void engine_stop(struct engine *engine);
/* After engine_stop, once nobody calls any more. NULL is fine. */
void engine_free(struct engine *engine);

/* Makes the command topics of the definition's services, so that a saga can be started before its workers ever ran. Best
 * effort: a broker that is away is logged, and workers make their topics themselves. Any thread; may take seconds. */
void engine_make_topics(struct engine *engine, const struct definition *definition);

enum start_result {
    START_CREATED,
    START_EXISTS,        /* the idempotency key has this very saga already, or `return_live` has found one */
    START_CONFLICT,      /* the idempotency key has a saga with another definition or input */
    START_KEY_TAKEN,     /* a saga lives with this definition and key */
    START_NO_ENTITY,     /* the input does not say which entities it is about */
    START_BUSY,          /* another saga holds one of its entities, and the definition says that it does not wait */
    START_NO_DEFINITION,
    START_UNAVAILABLE,   /* not accepted: ask again */
    START_UNKNOWN,       /* the database went away at the wrong moment: look whether `id` exists before asking again */
    START_REFUSED,       /* the database takes it under no circumstances */
};

/* Waits for a saga to end or to stall, or for any change of it. `done` is called then, or when there is no such saga, or at the deadline (clock_mono_ms), or when the engine stops,
 * on a thread of the engine; it must not block. `saga` is the saga as it is then, good until the return, or NULL when this
 * process does not know. */
struct watch {
    struct uuid id;
    bool changes;       /* told as soon as the saga's version is above `after` */
    int64_t after;
    int64_t deadline_ms;
    void (*done)(struct watch *watch, const struct saga *saga);
    void *context;
    struct watch *next; /* this and the following are the engine's */
    bool waits;         /* for a commit: nobody looks, and its deadline does not count yet */
    bool looked_at;
};
/* Any thread. */
void engine_watch(struct engine *engine, struct watch *watch);

/* A start. The caller owns it until `done` is called, on a thread of the engine; done must not block. With a watch, a saga
 * that was made is reported by the watch's `done` alone, so that not even an end right after the commit is missed; the
 * engine sets its id. */
struct start {
    const char *definition;
    int version; /* 0: the latest */
    const char *input; /* JSON text as json_write gives it */
    size_t input_len;
    const char *idempotency_key; /* NULL: none */
    const char *traceparent;     /* NULL: none; else wire_traceparent_valid */
    int64_t start_ms;            /* not to begin before; 0: at once */
    const char *key;             /* what it is about: NULL: nothing */
    bool return_live;            /* a saga that lives with this definition and key will do */
    const char *labels;          /* JSON object of texts; NULL: none */
    void (*done)(struct start *start);
    void *context;
    struct watch *watch; /* NULL: none */

    enum start_result result; /* out */
    struct uuid id;           /* out, also for START_EXISTS, START_CONFLICT, START_KEY_TAKEN and START_UNKNOWN */
    char reason[200];         /* out, for people */
};
enum submit_result {
    SUBMIT_TAKEN,
    SUBMIT_BUSY,    /* too many starts wait, or replies do: what was accepted goes first. Ask again later */
    SUBMIT_STOPPED, /* the engine stops */
};
/* Unless it is taken, `done` will not be called. Any thread. */
MUST_CHECK enum submit_result engine_submit(struct engine *engine, struct start *start);

enum act_result {
    ACT_APPLIED,
    ACT_NO_SAGA,
    ACT_NO_STEP,     /* the saga has no such step, or none that waits for the signal */
    ACT_NOT_NOW,     /* the saga's state does not permit it */
    ACT_UNAVAILABLE, /* not applied: ask again */
    ACT_UNKNOWN,     /* the database went away at the wrong moment: look at the saga before asking again */
};

/* What an operator does to a saga. The caller owns it and its texts until `done` is called, on a thread of the engine; done
 * must not block. */
struct act {
    struct uuid saga_id;
    enum event_type type; /* EVENT_CANCEL and those behind it */
    const char *error;    /* EVENT_CANCEL: JSON object {"code", "message"}: why */
    const char *signal;   /* EVENT_SIGNAL: its name; its value is `output` */
    const char *step;     /* EVENT_RETRY, EVENT_SUPPLY, EVENT_SKIP: its name, */
    const char *version;  /* what it was when it was looked at (step_version), */
    const char *why;      /* and of cancel, pause, resume and signal: JSON object of who and why, or NULL */
    enum outcome outcome; /* EVENT_SUPPLY */
    const char *output;   /* JSON text or NULL */
    size_t output_len;
    void (*done)(struct act *act);
    void *context;

    enum act_result result; /* out */
    char reason[200];       /* out, for people, unless it was applied */
};
/* False when too much waits or the engine stops; `done` will not be called then. Any thread. */
MUST_CHECK bool engine_act(struct engine *engine, struct act *act);

struct engine_health {
    bool database;   /* the last batch of every thread reached it */
    bool consuming;  /* replies are consumed: the consumer has its partitions, or another member all of them */
    bool relaying;
    bool ready;      /* all of these */
    uint64_t replies, dead_letters, set_aside, unpublishable, purged;
};
/* Any thread. */
void engine_health(struct engine *engine, struct engine_health *health);
/* What this process has counted since it began, its relay included, in the form of base/metric.h. Any thread. */
void engine_metrics(struct engine *engine, struct buf *out);
/* How many workers consume the commands of each service: workers[i] for services[i], without doubles; -1 when Kafka does not
 * tell. Up to 5 s old. May take seconds; any thread. */
void engine_count_workers(struct engine *engine, const char *const *services, size_t n, int *workers);
/* Of the topics' names. */
const char *engine_prefix(const struct engine *engine);

#endif
