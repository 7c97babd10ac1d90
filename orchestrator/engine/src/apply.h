/* Applies events to sagas: one transaction for a batch, the events of one saga folded in order. */
#ifndef ENGINE_APPLY_H
#define ENGINE_APPLY_H

#include "core/machine.h"
#include "parts.h"

/* An event on its way to its saga. */
struct happening {
    struct uuid saga_id;
    struct event event;    /* step is resolved from step_name when there is one */
    const char *step_name; /* NULL for events of the saga as a whole */
    const char *signal;    /* resolved to its step; NULL: none */
    int generation;                  /* of the child that the order is for */
    const struct child_order *order; /* of EVENT_ORDER: makes the saga if it is not there; else NULL */
    const char *refusal;   /* out: why it was not applied; static. NULL: it was */
    bool found;            /* out: the saga is there */
    bool unsure;           /* out: it changed nothing, by what was remembered of the saga */
};

/* What one thread needs to apply events. */
struct applier {
    struct engine *engine;
    struct pg *pg;
    struct catalog *catalog;
    struct arena arena; /* reset at the start of each batch */
    uint64_t connects; /* as the connection was made */
    int64_t server;    /* that it leads to */
};
void applier_open(struct applier *applier, struct engine *engine, const char *name);
void applier_close(struct applier *applier);
/* Before each batch: connects, and sees to it that no saga in engine->live is another server's. */
MUST_CHECK bool applier_begin(struct applier *applier, struct err *err);

/* All or nothing. Sagas that somebody else changes at the same time are read again. Afterwards the relay is woken and whoever waits for an end is told. */
MUST_CHECK bool apply_happenings(struct applier *applier, struct happening *happenings, size_t n, struct err *err);

/* A command on its way: its outbox row, and the message that its process sends by itself. */
struct outgoing {
    struct store_message row; /* first, so that the rows' list is the list of these */
    struct wire_message message;
};

/* Makes one of a message, which lives as long as the arena. */
struct store_message *outgoing_new(struct arena *arena, const struct uuid *id, const struct wire_message *message);

/* The commands' rows and messages, in the arena. */
struct store_message *command_messages(struct engine *engine, struct arena *arena, const struct saga *saga,
                                       const struct command *commands, int64_t now_ms);
/* Writes the changes and remembers the sagas, in the transaction that store_withdraw has `begun` or in one of their own; then the relay and the
 * timers hear of them. `begun_ms`: clock_mono_ms before the transaction. */
MUST_CHECK bool save_changes(struct applier *applier, struct store_change *changes, size_t n, int64_t begun_ms, bool begun,
                             struct err *err);

#endif
