/* The heart: one event changes one saga and yields effects as data. Pure: the same saga, event and time always give the
 * same result. The caller writes the new state and the effects in one transaction, which fails if the saga
 * has another version by then.
 *
 * Step transitions are one table (transitions.c); machine_print() writes it for people. */
#ifndef CORE_MACHINE_H
#define CORE_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/arena.h"
#include "core/saga.h"

/* The most that a command's or a reply's value may have, headers not counted; with them it stays below the broker's
 * usual message.max.bytes of 1 MB. */
#define VALUE_MAX_BYTES (900u * 1024)

enum event_type {
    EVENT_START,      /* once, for a new saga; it begins at its start_ms, when it has its entities */
    EVENT_REPLY,
    EVENT_TIMER,      /* whatever is due by now */
    EVENT_RELEASED,   /* the command went to Kafka at `at_ms`: its timeout counts from there */
    EVENT_UNRELEASED, /* the command has not left the outbox: its timeout has not begun */
    EVENT_REFUSED,    /* the command can never be published */
    EVENT_WITHDRAWN,  /* the command was taken out of the outbox before any relay had it: it was never sent */
    EVENT_ORDER,     /* a command of the saga's parent: `kind`, `round`, `attempt`; also once it has ended */
    EVENT_SUPERSEDE, /* of a child that has failed: the next generation takes its place */
    EVENT_CANCEL,
    EVENT_PAUSE,  /* an operator, of a saga that has not ended */
    EVENT_RESUME, /* the same, of one that is paused */
    EVENT_SIGNAL, /* `step` (machine_signalled) is told `output` */
    EVENT_RETRY,  /* an operator, of a step that holds a stalled saga up: once more */
    EVENT_SUPPLY, /* the same: its `outcome` is known, with its output */
    EVENT_SKIP,   /* the same: without it */
};

/* The last two are answers to a probe, which is never answered with the two before them. */
enum outcome { OUTCOME_SUCCEEDED, OUTCOME_FAILED, OUTCOME_RETRY, OUTCOME_ACCEPTED, OUTCOME_IN_PROGRESS, OUTCOME_NOT_SEEN, OUTCOMES_N };
const char *outcome_name(enum outcome outcome);
bool outcome_parse(const char *name, enum outcome *outcome);

/* Texts are borrowed and must live as long as the saga's: the machine keeps pointers to output and error. */
struct event {
    enum event_type type;
    int step; /* index; for the types that concern a command */
    enum command_kind kind;
    int round;
    int attempt;
    enum outcome outcome;       /* EVENT_REPLY */
    const char *output;         /* JSON text or NULL */
    size_t output_len;
    const char *error;          /* JSON object text or NULL; of EVENT_START: why it must not begin any more */
    int64_t retry_after_ms;     /* 0: as the policy says */
    const char *clock;          /* vector clock, valid, or NULL: EVENT_REPLY: what the effect counted up; EVENT_START, EVENT_ORDER: the parent's */
    int64_t at_ms;              /* EVENT_RELEASED */
    bool has_entities;          /* EVENT_START, EVENT_TIMER: the saga heads the queues of all that it is to hold */
    const char *version;        /* of an operator's act: the step as it was seen (step_version); NULL: whatever it is */
    const char *why;            /* of an operator's act, or a signal: JSON object text with who and why, or NULL */
};

/* "Send this command." */
struct command {
    struct command *next;
    struct uuid id;
    int step;
    enum command_kind kind;
    int round;
    int attempt;
    int64_t deadline_ms; /* the saga's own, where an action must not begin after it; 0: begin it whenever it comes */
    const char *value;   /* JSON text */
    size_t value_len;
    const char *clock;   /* as far as the saga knew it, and so its entities; JSON or NULL */
};

/* "This step has touched that entity": one of the service's effects, by its number there. It may be told more than once. */
struct touch {
    struct touch *next;
    const char *entity;
    int step;
    enum command_kind kind; /* of the effect: never a probe */
    int64_t number;
};

/* A line of the saga's history. */
struct history_entry {
    struct history_entry *next;
    const char *event;  /* "saga_started", "action_sent", "action_succeeded", ... static */
    int step;           /* -1: the saga as a whole */
    int attempt;        /* 0 where there is none */
    const char *detail; /* JSON text or NULL */
    int64_t at_ms;
};

/* What the caller has to do; lists are in order. Zero it, set `arena` and `new_id`; everything lives in the arena. */
struct effects {
    struct arena *arena;
    struct uuid (*new_id)(void); /* the machine has no randomness of its own */
    struct command *commands, **commands_tail;
    struct history_entry *history, **history_tail;
    struct touch *touches;
    bool changed; /* the saga changed and must be written */
    bool notice;  /* it ended or stalled: worth telling */
    struct {      /* what a saga with a parent answers now, in place of what an event before had it answer */
        bool given;
        enum command_kind kind;
        int round, attempt;
        enum outcome outcome;
        const char *output; /* JSON text or NULL */
        size_t output_len;
        const char *error; /* JSON object text or NULL */
    } answer;
};

/* Applies one event; effects of several events in a row gather in `effects`. An event that no longer applies (a reply of
 * an earlier attempt, a second verdict) is recorded in the history and changes nothing else; one for a saga that has ended
 * changes nothing at all, unless it is its parent's or tells of an effect on an entity that was not known. */
void machine_apply(struct saga *saga, const struct event *event, int64_t now_ms, struct effects *effects);
/* The same for the verifier, which wants to tell of a broken invariant and not to die of it: the text of machine_invariant. */
const char *machine_try(struct saga *saga, const struct event *event, int64_t now_ms, struct effects *effects);
/* Why this event, an operator's act, cannot be applied to the saga as it is; NULL: it can. Static. */
const char *machine_refusal(const struct saga *saga, const struct event *event);
/* The step that waits for the signal, or will, and has not had it yet; -1: none. */
int machine_signalled(const struct saga *saga, const char *signal);
/* Whether the event, EVENT_START or EVENT_TIMER, may begin the saga once it has its entities: the caller asks for them, in the
 * transaction that will write the saga, and says in the event whether it has them. */
bool machine_wants_entities(const struct saga *saga, enum event_type type, int64_t now_ms);
/* The steps whose command is out and whose timeout has passed by `now_ms`, or which might be withdrawn: before the timer is applied, those among them
 * that have not left the outbox get EVENT_UNRELEASED. Into `steps` (room for all); returns how many. */
size_t machine_overdue(const struct saga *saga, int64_t now_ms, int *steps);
/* Whether such a command, if it still stands in the outbox, is to be taken back: an action of a saga that has turned. */
bool machine_withdraws(const struct saga *saga, int step);
/* The kind of the command that the step sent last. */
enum command_kind machine_kind(const struct saga_step *step);
/* What must hold of any saga at rest between two events; a text says what does not, NULL when all is well. */
const char *machine_invariant(const struct saga *saga);
/* The step table, one line a transition. */
void machine_print(FILE *out);

#endif
