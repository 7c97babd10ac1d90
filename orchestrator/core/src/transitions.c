#include "transitions.h"

#include "core/machine.h"

/* clang-format off */
static const struct transition table[] = {
    {STEP_PENDING, ON_SEND, STEP_RUNNING, DO_SEND, NULL, "the steps before it are done"},
    {STEP_PENDING, ON_SKIP, STEP_SKIPPED, DO_NOTHING, "step_skipped", "its condition does not hold"},
    {STEP_PENDING, ON_UNSENDABLE, STEP_FAILED, DO_TURN, "action_not_sent", "no command can be made of its input"},

    {STEP_RUNNING, ON_SUCCEEDED, STEP_SUCCEEDED, DO_KEEP, "action_succeeded", "a verdict, from whichever attempt"},
    {STEP_RUNNING, ON_FAILED, STEP_FAILED, DO_TURN, "action_failed", "a verdict: a business no is never retried"},
    {STEP_RUNNING, ON_RETRY, STEP_RUNNING, DO_PAUSE, "action_retry", "a passing fault, attempts are left"},
    {STEP_RUNNING, ON_SILENCE, STEP_RUNNING, DO_SEND, "action_timed_out", "silence, attempts are left: the inbox dedupes"},
    {STEP_RUNNING, ON_DUE, STEP_RUNNING, DO_SEND, NULL, "the pause is over"},
    {STEP_RUNNING, ON_ACCEPTED, STEP_RUNNING, DO_REARM, "action_accepted", "a long action shows that it lives"},
    {STEP_RUNNING, ON_ASK, STEP_RUNNING, DO_ASK, "action_timed_out", "silence: what became of it?"},
    {STEP_RUNNING, ON_IN_PROGRESS, STEP_RUNNING, DO_REARM, "action_in_progress", "the participant is at it"},
    {STEP_RUNNING, ON_NOT_SEEN, STEP_RUNNING, DO_PAUSE, "action_not_seen", "it may still come: it is sent again, never failed"},
    {STEP_RUNNING, ON_GIVE_UP, STEP_UNKNOWN, DO_TURN, "action_unknown", "no verdict and no attempt left: it may have happened"},
    {STEP_RUNNING, ON_UNSENDABLE, STEP_FAILED, DO_TURN, "action_not_sent", "its only command never left"},
    {STEP_UNKNOWN, ON_SUCCEEDED, STEP_SUCCEEDED, DO_KEEP, "action_succeeded", "a late verdict, before the compensation began"},
    {STEP_UNKNOWN, ON_FAILED, STEP_FAILED, DO_NOTHING, "action_failed", "a late verdict, before the compensation began"},

    {STEP_SUCCEEDED, ON_COMPENSATE, STEP_COMPENSATING, DO_SEND, NULL, "whatever followed it is undone"},
    {STEP_UNKNOWN, ON_COMPENSATE, STEP_COMPENSATING, DO_SEND, NULL, "it may have happened; this fences a late action"},
    {STEP_SUCCEEDED, ON_NOTHING_TO_UNDO, STEP_COMPENSATED, DO_NOTHING, "nothing_to_undo", "the definition says so"},
    {STEP_UNKNOWN, ON_NOTHING_TO_UNDO, STEP_COMPENSATED, DO_NOTHING, "nothing_to_undo", "the definition says so"},

    {STEP_COMPENSATING, ON_UNDONE, STEP_COMPENSATED, DO_NOTHING, "compensation_succeeded", "a verdict, from whichever attempt"},
    {STEP_COMPENSATING, ON_UNDO_FAILED, STEP_COMPENSATION_FAILED, DO_STALL, "compensation_failed", "never silently given up"},
    {STEP_COMPENSATING, ON_RETRY, STEP_COMPENSATING, DO_PAUSE, "compensation_retry", "a passing fault"},
    {STEP_COMPENSATING, ON_SILENCE, STEP_COMPENSATING, DO_SEND, "compensation_timed_out", "silence: the inbox dedupes"},
    {STEP_COMPENSATING, ON_DUE, STEP_COMPENSATING, DO_SEND, NULL, "the pause is over"},
    {STEP_COMPENSATING, ON_ACCEPTED, STEP_COMPENSATING, DO_REARM, "compensation_accepted", "a long one shows that it lives"},
    {STEP_COMPENSATING, ON_GIVE_UP, STEP_COMPENSATION_FAILED, DO_STALL, "compensation_exhausted", "its policy bounds the attempts"},
    {STEP_COMPENSATING, ON_UNSENDABLE, STEP_COMPENSATION_FAILED, DO_STALL, "compensation_not_sent", "its command can never leave"},
    {STEP_SUCCEEDED, ON_UNSENDABLE, STEP_COMPENSATION_FAILED, DO_STALL, "compensation_not_sent", "no command can be made of it"},
    {STEP_UNKNOWN, ON_UNSENDABLE, STEP_COMPENSATION_FAILED, DO_STALL, "compensation_not_sent", "no command can be made of it"},
    {STEP_COMPENSATION_FAILED, ON_UNDONE, STEP_COMPENSATED, DO_NOTHING, "compensation_succeeded", "an earlier attempt succeeded after all"},

    {STEP_PENDING, ON_SIGNAL, STEP_PENDING, DO_KEEP, "signal_received", "it is kept until the step's turn comes"},
    {STEP_PENDING, ON_ELAPSED, STEP_SUCCEEDED, DO_NOTHING, "wait_over", "the signal had come already"},
    {STEP_RUNNING, ON_SIGNAL, STEP_SUCCEEDED, DO_KEEP, "signal_received", "what it waited for"},
    {STEP_RUNNING, ON_ELAPSED, STEP_SUCCEEDED, DO_NOTHING, "delay_over", "it let time pass"},
    {STEP_RUNNING, ON_EXPIRED, STEP_FAILED, DO_TURN, "wait_expired", "the signal did not come in time"},
    {STEP_RUNNING, ON_CALL_OFF, STEP_FAILED, DO_NOTHING, "wait_called_off", "the saga turned back: it has no effect to wait for"},

    {STEP_FAILED, ON_AGAIN, STEP_RUNNING, DO_SEND, NULL, "an operator: once more, in a new round"},
    {STEP_UNKNOWN, ON_AGAIN, STEP_RUNNING, DO_SEND, NULL, "an operator: once more, in a new round"},
    {STEP_COMPENSATION_FAILED, ON_AGAIN, STEP_COMPENSATING, DO_SEND, NULL, "an operator: once more, in a new round"},
    {STEP_FAILED, ON_SUPPLIED, STEP_SUCCEEDED, DO_KEEP, NULL, "an operator knows the result"},
    {STEP_UNKNOWN, ON_SUPPLIED, STEP_SUCCEEDED, DO_KEEP, NULL, "an operator knows the result"},
    {STEP_COMPENSATION_FAILED, ON_SUPPLIED, STEP_COMPENSATED, DO_NOTHING, NULL, "an operator has undone it by hand"},
    {STEP_FAILED, ON_WAIVE, STEP_WAIVED, DO_NOTHING, NULL, "an operator: without it; it took no effect"},
    {STEP_UNKNOWN, ON_WAIVE, STEP_WAIVED, DO_NOTHING, NULL, "an operator: without it; nothing can undo it"},
    {STEP_COMPENSATION_FAILED, ON_WAIVE, STEP_WAIVED, DO_NOTHING, NULL, "an operator: its effect stays"},
    {STEP_UNKNOWN, ON_FENCE, STEP_COMPENSATING, DO_SEND, NULL, "an operator: without it; its compensation fences a late action"},
    {STEP_COMPENSATING, ON_FENCED, STEP_WAIVED, DO_NOTHING, "compensation_succeeded", "nothing of it can happen any more"},
    {STEP_COMPENSATION_FAILED, ON_FENCED, STEP_WAIVED, DO_NOTHING, "compensation_succeeded", "nothing of it can happen any more"},
};
/* clang-format on */

const struct transition *transition_find(enum step_state from, enum step_event on)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (table[i].from == from && table[i].on == on)
            return &table[i];
    }
    return NULL;
}

void machine_print(FILE *out)
{
    static const char *const events[STEP_EVENTS_N] = {"send",    "unsendable", "skip",    "succeeded",  "failed",          "retry",
                                                      "silence", "due",        "accepted",   "ask", "in progress", "not seen", "give up",         "compensate",
                                                      "nothing to undo", "undone", "undo failed",
                                                      "again", "supplied", "waive", "fence", "fenced", "signal",
                                                      "elapsed", "expired", "call off"};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        fprintf(out, "%-20s %-16s %-20s %s\n", step_state_name(table[i].from), events[table[i].on],
                step_state_name(table[i].to), table[i].why);
}
