/* One event on its way through one saga: what the core's files share. */
#ifndef CORE_MOVE_H
#define CORE_MOVE_H

#include "core/machine.h"
#include "transitions.h"

struct move {
    struct saga *saga;
    const struct event *event;
    int64_t now_ms;
    struct effects *effects;
    int told; /* the attempt that the next entry of history is about; 0: the step's present one */
    const char *note; /* its detail, JSON; NULL: the step's error */
};

/* ---- one step (move.c) ---- */

const struct step_definition *step_of(const struct move *m, int step);
/* It sends commands: it neither waits nor delays. */
bool step_calls(const struct move *m, int step);
/* The kind of the commands that a step sends in this state. */
enum command_kind kind_of(enum step_state state);
const struct retry_policy *policy_of(const struct move *m, int step);
const char *error_json(struct arena *arena, const char *code, const char *message);
void record(struct move *m, const char *event, int step, int attempt, const char *detail);
/* The one setter of a saga's state. */
void set_saga(struct move *m, enum saga_state to, const char *entry, const char *detail);
/* Takes the step through the table. False when it has no such transition. `value` is the command to send, for DO_SEND. */
bool step_move(struct move *m, int step, enum step_event on, const char *value, size_t value_len);
/* The step's turn has come: sends its first command, or skips it. */
void step_begin(struct move *m, int step);
/* Sends the next command of the step by `on`, or takes it the way of what cannot be sent. */
void step_send(struct move *m, int step, enum step_event on);

/* ---- the order of effects on entities (causality.c) ---- */

/* The clock of a saga that starts: it names its entities, and knows of them what its parent knows. */
void clock_open(struct move *m);
/* Learns what the event's clock says of the saga's entities; a service's success has touched them, also if it comes too late to be a verdict. */
void clock_learn(struct move *m);
/* The event tells of an effect that no verdict has told of: a saga that has ended wants to know it, too. */
bool clock_is_news(const struct move *m);

/* ---- a saga that is a step of another (child.c) ---- */

void apply_order(struct move *m);
void apply_supersede(struct move *m);
/* Its end, or the order just given, is answered. */
void answer_parent(struct move *m);
/* Why what it would answer cannot be sent, as a JSON error; NULL: it can. */
const char *child_output_fault(struct move *m);

/* ---- the saga as a whole (advance.c) ---- */

/* A step failed, or somebody wants it: backward; where there is no way back, to an operator. */
void turn(struct move *m, const char *detail);
void stall(struct move *m, const char *detail);
/* Does what can be done now: begins steps, undoes steps, ends the saga. */
void advance(struct move *m);
/* A step in this state needs an operator, on the way forward or backward. */
bool holds_up(enum step_state state, bool backward);
/* The steps that wait for it may begin. */
bool is_done(enum step_state state);
/* It has no effect, or none that is to be undone. */
bool is_nothing(enum step_state state);
bool all_nothing(const struct saga *saga, const struct step_set *steps);

#endif
