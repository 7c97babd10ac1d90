/* The step table: what a step may do next, and why. Private to the core. */
#ifndef CORE_TRANSITIONS_H
#define CORE_TRANSITIONS_H

#include "core/saga.h"

enum step_event {
    ON_SEND,
    ON_UNSENDABLE,
    ON_SKIP,
    ON_SUCCEEDED,
    ON_FAILED,
    ON_RETRY,
    ON_SILENCE,
    ON_DUE,
    ON_ACCEPTED,
    ON_ASK,         /* silence, and the definition wants to know */
    ON_IN_PROGRESS,
    ON_NOT_SEEN,
    ON_GIVE_UP,
    ON_COMPENSATE,
    ON_NOTHING_TO_UNDO,
    ON_UNDONE,
    ON_UNDO_FAILED,
    ON_AGAIN,    /* an operator: once more, in a new round */
    ON_SUPPLIED, /* an operator knows the result */
    ON_WAIVE,    /* an operator: without it */
    ON_FENCE,    /* the same, but first nothing must be able to happen any more */
    ON_FENCED,
    ON_SIGNAL,
    ON_ELAPSED,  /* of a delay */
    ON_EXPIRED,  /* of a wait */
    ON_CALL_OFF, /* the saga turned while it waited */
    STEP_EVENTS_N,
};

/* What a transition does besides changing the state. */
enum step_action {
    DO_NOTHING,
    DO_SEND,   /* the next attempt of the present kind goes out */
    DO_ASK,    /* the next attempt asks what became of the action */
    DO_PAUSE,  /* the next attempt waits */
    DO_REARM,  /* the timeout starts anew */
    DO_KEEP,   /* the output is kept */
    DO_TURN,   /* the saga turns backward; behind its pivot it waits for an operator */
    DO_STALL,  /* the saga waits for an operator */
};

struct transition {
    enum step_state from;
    enum step_event on;
    enum step_state to;
    enum step_action action;
    const char *entry; /* in the history, besides that of a command sent; NULL: none */
    const char *why;
};

/* NULL when the step has no such transition: the event is history only. */
const struct transition *transition_find(enum step_state from, enum step_event on);

#endif
