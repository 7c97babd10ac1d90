/* Writing a participant in C: handlers for a service's actions and compensations. The SDK consumes commands, sees to it
 * that each takes effect at most once, and replies; a handler only changes the service's own tables.
 *
 * A handler runs inside a transaction that also holds the inbox row and the reply. It may be called again for the same
 * command after a crash or a rollback, so it touches nothing outside that transaction. */
#ifndef SAGA_WORKER_H
#define SAGA_WORKER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/uuid.h"
#include "pg/pg.h"

enum worker_outcome {
    WORKER_SUCCEEDED,
    WORKER_FAILED,   /* a business "no": whatever the handler changed is rolled back, and the saga turns back */
    WORKER_RETRY,    /* a passing fault: rolled back, and the command will come again */
    WORKER_DATABASE, /* a query failed: the SDK decides by the error whether it passes */
};

struct worker_call {
    struct uuid saga_id;
    const char *step;
    int attempt;
    const json_t *input;  /* the action's input */
    const json_t *output; /* for a compensation: what the action answered; NULL for an action */
};

/* Executes a statement in the command's transaction. False: return WORKER_DATABASE. The caller frees `rows` (which may be
 * NULL for a statement without interest). */
MUST_CHECK bool worker_query(struct worker_call *call, const struct pg_statement *statement,
                             const struct pg_params *params, struct pg_rows **rows);
/* Sets the output of a success; takes the reference. */
void worker_output(struct worker_call *call, json_t *output);
/* `return worker_fail(call, "out_of_stock", "only %d left", n);` */
enum worker_outcome worker_fail(struct worker_call *call, const char *code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* As worker_fail for a passing fault; `after_ms` 0 leaves the pause to the step's retry policy. */
enum worker_outcome worker_again(struct worker_call *call, int64_t after_ms, const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Says that the command is still being carried out, so that the step's timeout begins anew: for handlers that may take longer than that, now and
 * then, at least every 5 s. Written by a connection of its own and sent at once, whatever becomes of the command; if it cannot be, that is logged. Commands of the same
 * batch wait for a handler that takes long. */
void worker_heartbeat(struct worker_call *call);

/* Members of the input, with their type checked; false when there is none such (then `return worker_bad_input(call)`). */
bool worker_text(struct worker_call *call, const char *member, const char **out);
bool worker_integer(struct worker_call *call, const char *member, int64_t min, int64_t max, int64_t *out);
enum worker_outcome worker_bad_input(struct worker_call *call);

struct worker_handler {
    const char *name; /* an action's or a compensation's */
    enum worker_outcome (*run)(struct worker_call *call);
};

struct worker_spec {
    const char *program; /* "saga-worker-inventory" */
    const char *about;
    const char *service;                    /* "inventory": topic, consumer group and schema are named after it */
    const struct worker_handler *handlers;  /* ends with a NULL name */
    const struct pg_migration *migrations;  /* with those of the outbox and the inbox */
};

/* The program: options, schema, consuming, its relay, a clean end on SIGTERM. Returns main's exit status. */
int worker_main(const struct worker_spec *spec, int argc, char **argv);

#endif
