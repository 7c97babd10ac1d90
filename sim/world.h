/* What is in the simulated world: programs, definitions, a client, and what goes wrong. */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "core/definition.h"
#include "engine/engine.h"
#include "simulation.h"

#define SIM_SCHEMA "saga"
#define SERVICES_N 3
#define ORCHESTRATORS_N 2

/* How much goes wrong in a run. */
struct weather {
    const char *name;
    double kill_share;      /* at each point where code can be interrupted */
    int64_t trouble_us;     /* the mean time from one trouble to the next; 0: none */
    const char *troubles;   /* one letter for each kind, more than once for what comes often (world.c) */
    double doubt_share;     /* of the messages are never acknowledged */
    double refuse_share;    /* of a service's answers to actions */
    double retry_share;     /* of its answers */
    double slow_share;      /* of its answers come late */
    double undo_fails_share;
};
const struct weather *weather_of(uint64_t seed);

/* ---- definitions (plans.c) ---- */

/* The definitions of this run, as the programs have them in their database and as the checks know them. `steps` not 0:
 * sequences of so many. */
void plans_make(size_t steps);
size_t plans_n(void);
const struct definition *plan_at(size_t i);
const struct definition *plan_named(const char *name);
/* Whether the step's condition holds for the input {"n": n}. */
bool plan_wants(const struct definition *definition, int step, int64_t n);

/* ---- processes (world.c) ---- */

void world_start(const struct weather *weather);
/* An engine to talk to, and the process that it belongs to; NULL when none runs. */
struct engine *world_engine(struct process **process);
/* From now on nothing goes wrong, and all processes run. */
void world_calm(void);
bool world_is_calm(void);
const struct weather *world_weather(void);

/* ---- the client (client.c) ---- */

/* Starts so many sagas, each until it is accepted, and cancels some. */
void client_start(size_t sagas);
bool client_done(void);
/* The labels of every other one, by its number. */
#define CLIENT_LABELS "{\"n\":\"%zu\"}"
/* How many sagas it has got; some of those that it asked for were about something that another is about, which will do. */
size_t client_sagas(void);
/* The ids of the sagas that were accepted, i below the number asked for. */
const struct uuid *client_saga(size_t i);

/* ---- an operator (operator.c) ---- */

void operator_start(void);

/* ---- the checks: while it goes on (watch.c), and at rest (checks.c) ---- */

void watch_start(void);
/* Whether every saga has come to rest and nothing is on its way. */
bool checks_at_rest(void);
/* What must hold at the end. */
void checks_finish(size_t sagas);
struct tallied {
    size_t completed, compensated, stalled;
};
struct tallied checks_tally(void);
/* What has not come to rest, for the message of a run that did not end. */
const char *checks_unrest(void);

#endif
