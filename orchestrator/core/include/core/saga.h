/* A saga in memory: its durable state as values. The store reads and writes it, the machine changes it, nobody else. */
#ifndef CORE_SAGA_H
#define CORE_SAGA_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/uuid.h"
#include "core/definition.h"

enum saga_state {
    SAGA_RUNNING,
    SAGA_COMPENSATING,
    SAGA_STALLED, /* needs an operator */
    SAGA_COMPLETED,
    SAGA_COMPENSATED,
    SAGA_SCHEDULED, /* its time has not come */
    SAGA_QUEUED,    /* others hold its entities, or have asked before it */
    SAGA_STATES_N,
};

enum step_state {
    STEP_PENDING,
    STEP_RUNNING,
    STEP_SUCCEEDED,
    STEP_FAILED,  /* a verdict, or never sent: nothing took effect */
    STEP_UNKNOWN, /* no verdict came: it may have taken effect */
    STEP_SKIPPED, /* its condition did not hold */
    STEP_COMPENSATING,
    STEP_COMPENSATED,
    STEP_COMPENSATION_FAILED,
    STEP_WAIVED, /* an operator has said that the saga goes on without it */
    STEP_STATES_N,
};

enum command_kind { KIND_ACTION, KIND_COMPENSATION, KIND_PROBE, KINDS_N };

struct saga_step {
    enum step_state state;
    int round;   /* 1 with the first command; higher only after an operator's retry */
    int attempt; /* of the present kind; 0 before the first */
    bool waived; /* by an operator, on the way forward: it is WAIVED, or will be once its compensation has fenced it */
    bool paused; /* the next attempt waits until due_ms; otherwise due_ms is the present attempt's timeout */
    bool probing; /* the present attempt asks what became of the action */
    int64_t due_ms; /* 0: nothing is due */
    struct uuid command_id; /* the command last sent */
    const char *output;     /* JSON text of the verdict `succeeded`, or NULL */
    size_t output_len;
    const char *error;      /* JSON object {"code", "message"} of the last thing that went wrong, or NULL */
    json_t *output_value;   /* parsed on first use */
    bool changed;           /* by the machine since it was loaded or saved */
    bool stored;            /* it has a row */
};

/* What the saga whose step this one is has last ordered. */
enum parent_order {
    ORDER_NONE,       /* it has no parent */
    ORDER_START,
    ORDER_UNDO,       /* whatever has become of it */
    ORDER_SUPERSEDED, /* it failed, and another one runs in its place */
    ORDERS_N,
};

struct saga {
    struct uuid id;
    const struct definition *definition;
    enum saga_state state;
    bool cancelled;      /* why it compensates: an operator or client asked */
    bool paused;         /* by an operator: what comes is noted, but nothing is begun, sent, or undone until it is resumed */
    int64_t start_ms;    /* when it is to begin; 0: at once */
    int64_t created_ms;
    int64_t ended_ms;    /* 0 until it has ended */
    int64_t deadline_ms; /* 0: none, or it has not begun */
    int64_t wake_ms;     /* when to look at it if nothing arrives; may be earlier than needed, never later; 0: never */
    const char *idempotency_key; /* or NULL */
    const char *key;    /* what it is about, or NULL: only one saga of the definition lives with it */
    const char *labels; /* JSON object of texts, or NULL */
    enum parent_order order;
    struct uuid parent_id;   /* of a saga with a parent, as the following */
    const char *parent_step; /* its name */
    int parent_round;        /* of the step, as far as is known */
    const char *traceparent;     /* with which it was started, valid; or NULL */
    const char *clock;           /* what is known of the order of effects on its entities (base/vclock.h), JSON; NULL: it has none */
    int64_t version;     /* transactions that changed it so far; also the number of its last row of history */
    const char *input;   /* JSON text */
    size_t input_len;
    json_t *input_value; /* parsed on first use */
    bool changed;        /* it itself, not its steps: by the machine since it was loaded or saved */
    struct saga_step *steps; /* definition->steps_n of them */
};

/* "RUNNING" and so on; static texts. */
const char *saga_state_name(enum saga_state state);
const char *step_state_name(enum step_state state);
const char *command_kind_name(enum command_kind kind); /* "action", "compensation", "probe" */
/* False for any other word. */
bool saga_state_parse(const char *name, enum saga_state *state);
bool step_state_parse(const char *name, enum step_state *state);
bool command_kind_parse(const char *name, enum command_kind *kind);

/* COMPLETED and COMPENSATED: nothing will ever change again, unless a parent orders it. */
bool saga_ended(enum saga_state state);
/* SCHEDULED and QUEUED: nothing has begun. */
bool saga_waits(enum saga_state state);
/* A command of the step is out or waits for its next attempt, or the step waits for a signal or for time to pass. */
bool step_in_flight(enum step_state state);
/* The pivot has been sent and not refused: there is no way back, for good or until its verdict. */
bool saga_is_bound(const struct saga *saga);
/* It is on its way back, perhaps stalled there. */
bool saga_is_backward(const struct saga *saga);
/* What a step is, for those who want to act on it as they saw it: "round.attempt.STATE". */
#define STEP_VERSION_MAX 64
char *step_version(enum step_state state, int round, int attempt, char out[STEP_VERSION_MAX]);
const char *parent_order_name(enum parent_order order); /* "start", "undo", "superseded"; NULL: none */
bool parent_order_parse(const char *name, enum parent_order *order); /* NULL is ORDER_NONE; false for any other word */
/* The id of the saga that a step runs: always the same, so that two who make it make one. `generation` is 1, or more once others have been
 * superseded. */
struct uuid child_id(const struct uuid *parent, const char *step, int generation);
/* Where the saga's templates and conditions get their values from (template_lookup; the context is the saga): its input, or what a step has
 * answered, parsed on first use; that of a step that was skipped is null. */
const json_t *saga_value(void *context, int step);
/* Drops what was parsed. The texts and the structs belong to whoever made them. */
void saga_release(struct saga *saga);

#endif
