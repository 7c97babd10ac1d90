/* A whole system of the real binaries, with schemas and topics of its own: an orchestrator, the three services, sagas by
 * HTTP. Every function fails the test when what it does does not succeed. */
#ifndef WORLD_H
#define WORLD_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#include "pg/pg.h"
#include "query.h"

enum world_service { INVENTORY, PAYMENT, SHIPPING, SERVICES_N };

struct world {
    char *name; /* schema of the orchestrator, prefix of the topics and of the services' schemas */
    char *url;
    pid_t orchestrator, relay, workers[SERVICES_N];
    const char *traceparent; /* a header of every call; NULL: none */
    int port; /* of the API; stays over restarts */
    struct pg *pg; /* on the orchestrator's schema */
    struct pg *services[SERVICES_N];
};

/* Makes the names and the orchestrator's schema; starts nothing. */
void world_open(struct world *world);
/* Stops what runs by SIGTERM (which must work), drops nothing: the servers are thrown away after the tests. */
void world_close(struct world *world);

/* `fault` is a SAGA_FAULT or NULL; `more` further arguments (ends with NULL) or NULL. */
void world_start_orchestrator(struct world *world, const char *fault, const char *const *more);
void world_await_ready(struct world *world, int within_s);
void world_start_worker(struct world *world, enum world_service service, const char *fault);
void world_start_relay(struct world *world, const char *fault);
/* saga-orchestrator dev with its cluster in `data`, without world_open; world->orchestrator is the process. */
void world_start_dev(struct world *world, const char *data);
void world_apply_example(struct world *world);
void world_start_all(struct world *world); /* orchestrator, workers; stores the example definition; waits for ready */

struct answer {
    int status;          /* 0: no answer */
    char type[80];       /* Content-Type */
    char location[120];  /* Location */
    char allow[40];
    char *text;
    json_t *body;        /* NULL: not JSON */
};
/* `content_type` NULL: application/json when there is a body. `key` is an Idempotency-Key or NULL. Free with answer_free. */
struct answer world_call(struct world *world, const char *method, const char *path, const char *body, size_t body_len,
                         const char *content_type, const char *key);
struct answer world_get(struct world *world, const char *path);
struct answer world_post(struct world *world, const char *path, const char *body);
void answer_free(struct answer *answer);
/* Starts a saga by this body, which is in this state then; its path, which the caller frees. */
char *world_start_saga(struct world *world, const char *body, const char *state);
/* The path of the first child of the saga at `path`, once it is there; the caller frees it. */
char *world_await_child(struct world *world, const char *path);
/* The member's text; "" when it is none. */
const char *text(const json_t *object, const char *name);


#endif
