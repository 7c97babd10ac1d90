/* Events come in, the step table says what becomes of a step, and advance() says what the saga does next. Nothing here is
 * durable: a crash before the caller's COMMIT leaves the saga as it was, and the same event, read again, gives the same
 * result. */
#include "core/machine.h"

#include <assert.h>
#include <string.h>

#include "core/entity.h"
#include "move.h"

/* No verdict in this attempt: another one, or none is left. */
static enum step_event again_or_give_up(const struct move *m, int step, enum step_event again)
{
    bool action = kind_of(m->saga->steps[step].state) == KIND_ACTION;
    if (action && saga_is_backward(m->saga))
        return ON_GIVE_UP;
    if (action && again == ON_SILENCE && step_of(m, step)->on_timeout == ON_TIMEOUT_COMPENSATE)
        return ON_GIVE_UP;
    if (retry_exhausted(policy_of(m, step), m->saga->steps[step].attempt))
        return ON_GIVE_UP;
    return action && again == ON_SILENCE && step_of(m, step)->on_timeout == ON_TIMEOUT_PROBE ? ON_ASK : again;
}

/* Whether the event speaks of the attempt that is out now. */
static bool is_current(const struct move *m)
{
    const struct saga_step *s = &m->saga->steps[m->event->step];
    return step_in_flight(s->state) && !s->paused && m->event->kind == machine_kind(s) && m->event->attempt == s->attempt &&
           m->event->round == s->round;
}

static void ignore(struct move *m, const char *what)
{
    const char *clock = m->saga->clock ? m->event->clock : NULL;
    char *detail = arena_printf(m->effects->arena, "{\"kind\":\"%s\",\"reply\":\"%s\",\"round\":%d%s%s}", command_kind_name(m->event->kind), what,
                                m->event->round, clock ? ",\"clock\":" : "", clock ? clock : "");
    record(m, "reply_ignored", m->event->step, m->event->attempt, detail);
}

static bool apply_verdict(struct move *m)
{
    bool good = m->event->outcome == OUTCOME_SUCCEEDED;
    enum step_event undone = m->saga->steps[m->event->step].waived ? ON_FENCED : ON_UNDONE;
    bool undo = m->event->kind == KIND_COMPENSATION;
    enum step_event on = undo ? (good ? undone : ON_UNDO_FAILED) : (good ? ON_SUCCEEDED : ON_FAILED);
    if (!transition_find(m->saga->steps[m->event->step].state, on))
        return false;
    m->saga->steps[m->event->step].error = good ? NULL : m->event->error;
    if (good && m->saga->clock && m->event->clock)
        m->note = arena_printf(m->effects->arena, "{\"clock\":%s}", m->event->clock);
    return step_move(m, m->event->step, on, NULL, 0);
}

static bool apply_attempt_reply(struct move *m)
{
    if (!is_current(m))
        return false;
    int step = m->event->step;
    if (m->event->outcome == OUTCOME_ACCEPTED)
        return step_move(m, step, ON_ACCEPTED, NULL, 0);
    if (m->event->outcome == OUTCOME_IN_PROGRESS)
        return step_move(m, step, ON_IN_PROGRESS, NULL, 0);
    m->saga->steps[step].error = m->event->error;
    return step_move(m, step, again_or_give_up(m, step, m->event->outcome == OUTCOME_NOT_SEEN ? ON_NOT_SEEN : ON_RETRY), NULL, 0);
}

static void apply_reply(struct move *m)
{
    const struct event *event = m->event;
    bool verdict = event->outcome == OUTCOME_SUCCEEDED || event->outcome == OUTCOME_FAILED;
    clock_learn(m);
    m->told = event->attempt;
    bool applied = step_calls(m, event->step) && event->round == m->saga->steps[event->step].round &&
                   (verdict ? apply_verdict(m) : apply_attempt_reply(m));
    m->told = 0;
    m->note = NULL;
    if (applied)
        advance(m);
    else
        ignore(m, outcome_name(event->outcome));
}

static void end_wait(struct move *m, int step)
{
    if (step_of(m, step)->kind == STEP_DELAYS) {
        step_move(m, step, ON_ELAPSED, NULL, 0);
        return;
    }
    m->saga->steps[step].error = error_json(m->effects->arena, "timeout", "the signal did not come in time");
    step_move(m, step, ON_EXPIRED, NULL, 0);
}

static void step_timer(struct move *m, int step)
{
    struct saga_step *s = &m->saga->steps[step];
    if (!step_in_flight(s->state) || s->due_ms > m->now_ms)
        return;
    if (!step_calls(m, step)) {
        end_wait(m, step);
        return;
    }
    if (s->paused && kind_of(s->state) == KIND_ACTION && saga_is_backward(m->saga))
        return; /* advance_backward gives it up */
    if (s->paused) {
        step_send(m, step, ON_DUE);
        return;
    }
    enum step_event on = again_or_give_up(m, step, ON_SILENCE);
    if (on != ON_GIVE_UP) {
        step_send(m, step, on);
        return;
    }
    s->error = error_json(m->effects->arena, "timeout", "no reply within the step's timeout");
    step_move(m, step, on, NULL, 0);
}

/* The saga is woken at its deadline once, by a wake-up that was set before. */
static void apply_deadline(struct move *m)
{
    struct saga *saga = m->saga;
    if (!saga->deadline_ms || saga->deadline_ms > m->now_ms || saga_is_backward(saga))
        return;
    const char *detail = error_json(m->effects->arena, "deadline_passed", "the saga did not end before its deadline");
    if (!saga_is_bound(saga))
        turn(m, detail);
    else if (saga->wake_ms && saga->wake_ms <= saga->deadline_ms)
        record(m, "deadline_passed", -1, 0, detail);
}

/* A saga that waits for entities has been through this already, by whichever clock. */
static bool its_time_has_come(const struct saga *saga, int64_t now_ms)
{
    return saga->state == SAGA_QUEUED || saga->start_ms <= now_ms;
}

/* Whoever lets them go wakes it. That it has been looked at is written down: it is due as long as it does not say otherwise. */
static void wait_for_entities(struct move *m)
{
    m->saga->changed = true;
    m->effects->changed = true;
    if (m->saga->state != SAGA_QUEUED)
        set_saga(m, SAGA_QUEUED, "saga_queued", NULL);
}

/* From here on its deadline runs. */
static void begin(struct move *m)
{
    if (saga_holds(m->saga) && !m->event->has_entities) {
        wait_for_entities(m);
        return;
    }
    int64_t timeout_ms = m->saga->definition->timeout_ms;
    m->saga->deadline_ms = timeout_ms ? m->now_ms + timeout_ms : 0;
    if (saga_waits(m->saga->state))
        set_saga(m, SAGA_RUNNING, "saga_started", NULL);
    else
        record(m, "saga_started", -1, 0, NULL);
    advance(m);
}

static void apply_timer(struct move *m)
{
    if (m->saga->paused)
        return;
    if (saga_waits(m->saga->state)) {
        if (its_time_has_come(m->saga, m->now_ms))
            begin(m);
        return;
    }
    apply_deadline(m);
    for (size_t i = 0; i < m->saga->definition->steps_n; i++)
        step_timer(m, (int)i);
    advance(m);
}

static void rearm(struct move *m, int64_t from_ms)
{
    struct saga_step *s = &m->saga->steps[m->event->step];
    int64_t due_ms = from_ms + step_of(m, m->event->step)->timeout_ms;
    if (!is_current(m) || due_ms <= s->due_ms)
        return;
    s->due_ms = due_ms;
    s->changed = true;
    m->effects->changed = true;
}

/* Of a first attempt that never left nobody knows; an earlier one may have been carried out. */
static void apply_unsent(struct move *m, const char *error)
{
    if (!is_current(m))
        return;
    struct saga_step *s = &m->saga->steps[m->event->step];
    bool never_sent = (s->attempt == 1 && s->round == 1) || kind_of(s->state) == KIND_COMPENSATION;
    s->error = error;
    step_move(m, m->event->step, never_sent ? ON_UNSENDABLE : ON_GIVE_UP, NULL, 0);
    advance(m);
}

/* While the pivot has no verdict it waits: a refused pivot turns the saga anyway, a pivot that succeeds makes it void. */
static void apply_cancel(struct move *m)
{
    m->saga->cancelled = true;
    m->saga->changed = true;
    record(m, "saga_cancelled", -1, 0, m->event->why ? m->event->why : m->event->error);
    if (!saga_is_bound(m->saga))
        turn(m, m->event->error);
    advance(m);
}

static void apply_pause(struct move *m)
{
    m->saga->paused = true;
    m->saga->changed = true;
    record(m, "saga_paused", -1, 0, m->event->why);
}

/* What fell due meanwhile is looked at by the timer, which is due at once: it has to see what has not left the outbox. */
static void apply_resume(struct move *m)
{
    m->saga->paused = false;
    m->saga->changed = true;
    record(m, "saga_resumed", -1, 0, m->event->why);
    apply_deadline(m);
    advance(m);
}

static void apply_signal(struct move *m)
{
    m->note = m->event->why;
    step_move(m, m->event->step, ON_SIGNAL, NULL, 0);
    advance(m);
}

static void apply_retry(struct move *m)
{
    record(m, "step_retried", m->event->step, 0, m->event->why);
    step_send(m, m->event->step, ON_AGAIN);
    advance(m);
}

/* That a pivot has failed turns the saga, and its compensation makes it true. */
static void apply_supply(struct move *m)
{
    const struct saga_step *s = &m->saga->steps[m->event->step];
    record(m, m->event->outcome == OUTCOME_SUCCEEDED ? "success_supplied" : "failure_supplied", m->event->step, 0, m->event->why);
    if (m->event->outcome == OUTCOME_FAILED)
        set_saga(m, SAGA_COMPENSATING, "saga_compensating", NULL);
    else
        step_move(m, m->event->step, s->waived ? ON_FENCED : ON_SUPPLIED, NULL, 0);
    advance(m);
}

static void apply_skip(struct move *m)
{
    struct saga_step *s = &m->saga->steps[m->event->step];
    record(m, "step_waived", m->event->step, 0, m->event->why);
    s->waived = !saga_is_backward(m->saga);
    if (s->state == STEP_UNKNOWN && step_of(m, m->event->step)->compensation)
        step_send(m, m->event->step, ON_FENCE);
    else
        step_move(m, m->event->step, ON_WAIVE, NULL, 0);
    advance(m);
}

static void apply_start(struct move *m)
{
    m->saga->created_ms = m->now_ms;
    clock_open(m);
    if (m->saga->order == ORDER_UNDO || m->event->error) { /* its parent has turned back before it was begun, or it comes too late */
        turn(m, m->event->error);
        advance(m);
    } else if (m->saga->start_ms > m->now_ms)
        set_saga(m, SAGA_SCHEDULED, "saga_scheduled", NULL);
    else
        begin(m);
}

static int64_t earliest(int64_t a, int64_t b)
{
    if (!a || !b)
        return a ? a : b;
    return a < b ? a : b;
}

static int64_t next_due(const struct saga *saga, int64_t now_ms)
{
    if (saga->state == SAGA_SCHEDULED)
        return saga->start_ms;
    if (saga->state == SAGA_QUEUED)
        return 0;
    int64_t due = saga->deadline_ms > now_ms && !saga_ended(saga->state) && !saga_is_backward(saga) ? saga->deadline_ms : 0;
    for (size_t i = 0; i < saga->definition->steps_n; i++)
        due = earliest(due, saga->steps[i].due_ms);
    return due;
}

/* The earliest that any step, begun at `from_ms` or later, can time out. */
static int64_t earliest_timeout(const struct definition *definition, int64_t from_ms)
{
    int64_t due = 0;
    for (size_t i = 0; i < definition->steps_n; i++)
        due = earliest(due, from_ms + definition->steps[i].timeout_ms);
    return due;
}

/* What is in flight when the saga turns may still stand in the outbox: the timer, which is due at once, looks and takes it back. */
static bool may_withdraw(const struct saga *saga)
{
    for (size_t i = 0; i < saga->definition->steps_n; i++) {
        if (saga->definition->steps[i].kind == STEP_CALLS && machine_withdraws(saga, (int)i))
            return true;
    }
    return false;
}

/* A new saga's wake-up is early enough for all its steps, and only a timer moves it forward in time: a saga whose replies
 * come in time is then written without touching the index of wake-ups. */
static void set_wake(struct move *m, bool was_backward)
{
    struct saga *saga = m->saga;
    int64_t due = next_due(saga, m->now_ms);
    if (!was_backward && saga_is_backward(saga) && m->event->type != EVENT_TIMER && may_withdraw(saga))
        due = earliest(due, m->now_ms);
    if (m->event->type == EVENT_RESUME && saga->state == SAGA_QUEUED)
        due = m->now_ms; /* its turn may have come meanwhile */
    if (m->event->type == EVENT_START && !saga_waits(saga->state))
        due = earliest(due, earliest_timeout(saga->definition, m->now_ms));
    bool exact = m->event->type == EVENT_TIMER || m->event->type == EVENT_RESUME;
    int64_t wake = saga_ended(saga->state) || saga->paused ? 0 : exact ? due : earliest(due, saga->wake_ms);
    if (wake == saga->wake_ms)
        return;
    saga->wake_ms = wake;
    saga->changed = true;
    m->effects->changed = true;
}

const char *machine_try(struct saga *saga, const struct event *event, int64_t now_ms, struct effects *effects)
{
    struct move m = {saga, event, now_ms, effects, 0, NULL};
    bool ordered = event->type == EVENT_ORDER || event->type == EVENT_SUPERSEDE, had_ended = saga_ended(saga->state);
    bool was_backward = saga_is_backward(saga);
    if (had_ended && clock_is_news(&m)) {
        clock_learn(&m);
        ignore(&m, outcome_name(event->outcome));
        return NULL;
    }
    if ((had_ended && !ordered) || machine_refusal(saga, event))
        return NULL;
    switch (event->type) {
    case EVENT_START: apply_start(&m); break;
    case EVENT_REPLY: apply_reply(&m); break;
    case EVENT_TIMER: apply_timer(&m); break;
    case EVENT_RELEASED: rearm(&m, event->at_ms); break;
    case EVENT_UNRELEASED: rearm(&m, now_ms); break;
    case EVENT_REFUSED: apply_unsent(&m, event->error); break;
    case EVENT_WITHDRAWN:
        apply_unsent(&m, "{\"code\":\"withdrawn\",\"message\":\"the saga turned back before the command was sent\"}");
        break;
    case EVENT_ORDER: apply_order(&m); break;
    case EVENT_SUPERSEDE: apply_supersede(&m); break;
    case EVENT_CANCEL: apply_cancel(&m); break;
    case EVENT_PAUSE: apply_pause(&m); break;
    case EVENT_RESUME: apply_resume(&m); break;
    case EVENT_SIGNAL: apply_signal(&m); break;
    case EVENT_RETRY: apply_retry(&m); break;
    case EVENT_SUPPLY: apply_supply(&m); break;
    case EVENT_SKIP: apply_skip(&m); break;
    }
    set_wake(&m, was_backward);
    if (saga->order != ORDER_NONE && (event->type == EVENT_ORDER || (saga_ended(saga->state) && !had_ended)))
        answer_parent(&m);
    return machine_invariant(saga);
}

void machine_apply(struct saga *saga, const struct event *event, int64_t now_ms, struct effects *effects)
{
    const char *fault = machine_try(saga, event, now_ms, effects);
    assert(fault == NULL);
    (void)fault;
}

static const char *cancel_refusal(const struct saga *saga)
{
    int pivot = saga->definition->pivot;
    if (saga_is_backward(saga))
        return "the saga is on its way back already";
    if (saga->cancelled)
        return "the saga is cancelled already";
    if (!saga_is_bound(saga) || saga->steps[pivot].state == STEP_RUNNING || saga->steps[pivot].state == STEP_UNKNOWN)
        return NULL;
    return "the saga has passed its pivot and only goes forward";
}

/* Only of a pivot can a failure be supplied, and only when it can be made true. */
static const char *failure_refusal(const struct saga *saga, int step)
{
    if (step != saga->definition->pivot || saga->steps[step].state != STEP_UNKNOWN)
        return "a failure can only be supplied for a pivot whose outcome is unknown: retry the step, or skip it";
    if (!saga->definition->steps[step].compensation)
        return "the pivot has no compensation that would keep it from happening after all: retry it, or skip it";
    return NULL;
}

static const char *act_refusal(const struct saga *saga, const struct event *event)
{
    const struct saga_step *s = &saga->steps[event->step];
    char version[STEP_VERSION_MAX];
    if (event->version && strcmp(event->version, step_version(s->state, s->round, s->attempt, version)) != 0)
        return "the step has changed since it was looked at";
    if (saga->paused)
        return "the saga is paused: resume it first";
    if (saga->state != SAGA_STALLED)
        return "the saga is not stalled";
    if (!holds_up(s->state, saga_is_backward(saga)))
        return "the step is not what holds the saga up";
    bool failure = event->type == EVENT_SUPPLY && event->outcome == OUTCOME_FAILED;
    return failure ? failure_refusal(saga, event->step) : NULL;
}

const char *machine_refusal(const struct saga *saga, const struct event *event)
{
    if (event->type < EVENT_CANCEL) /* nobody asks whether it may happen */
        return NULL;
    if (saga_ended(saga->state))
        return "the saga has ended";
    switch (event->type) {
    case EVENT_CANCEL: return cancel_refusal(saga);
    case EVENT_PAUSE: return saga->paused ? "the saga is paused already" : NULL;
    case EVENT_RESUME: return saga->paused ? NULL : "the saga is not paused";
    case EVENT_SIGNAL: return saga_is_backward(saga) ? "the saga is on its way back" : NULL;
    default: return act_refusal(saga, event);
    }
}

int machine_signalled(const struct saga *saga, const char *signal)
{
    for (size_t k = 0; k < saga->definition->steps_n; k++) {
        int i = saga->definition->order[k];
        const struct step_definition *step = &saga->definition->steps[i];
        enum step_state state = saga->steps[i].state;
        bool open = state == STEP_RUNNING || (state == STEP_PENDING && !saga->steps[i].output);
        if (open && step->kind == STEP_WAITS && strcmp(step->signal, signal) == 0)
            return i;
    }
    return -1;
}

bool machine_wants_entities(const struct saga *saga, enum event_type type, int64_t now_ms)
{
    bool may_begin = type == EVENT_START || (type == EVENT_TIMER && saga_waits(saga->state) && !saga->paused);
    return may_begin && its_time_has_come(saga, now_ms) && saga_holds(saga);
}

size_t machine_overdue(const struct saga *saga, int64_t now_ms, int *steps)
{
    size_t n = 0;
    for (size_t i = 0; i < saga->definition->steps_n && !saga->paused; i++) {
        const struct saga_step *s = &saga->steps[i];
        bool asked = s->due_ms <= now_ms || machine_withdraws(saga, (int)i);
        if (step_in_flight(s->state) && !s->paused && asked && saga->definition->steps[i].kind == STEP_CALLS)
            steps[n++] = (int)i;
    }
    return n;
}

bool machine_withdraws(const struct saga *saga, int step)
{
    return saga_is_backward(saga) && saga->steps[step].state == STEP_RUNNING;
}

enum command_kind machine_kind(const struct saga_step *step)
{
    return step->probing ? KIND_PROBE : kind_of(step->state);
}
