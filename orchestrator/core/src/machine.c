/* Events come in, the step table says what becomes of a step, and advance() says what the saga does next. Nothing here is
 * durable: a crash before the caller's COMMIT leaves the saga as it was, and the same event, read again, gives the same
 * result. */
#include "core/machine.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/json.h"
#include "transitions.h"

struct move {
    struct saga *saga;
    const struct event *event;
    int64_t now_ms;
    struct effects *effects;
    int told; /* the attempt that the next entry of history is about; 0: the step's present one */
};

static const struct step_definition *step_of(const struct move *m, int step)
{
    return &m->saga->definition->steps[step];
}

static void record(struct move *m, const char *event, int step, int attempt, const char *detail)
{
    struct effects *effects = m->effects;
    struct history_entry *entry = arena_alloc(effects->arena, sizeof *entry);
    *entry = (struct history_entry){NULL, event, step, attempt, detail, m->now_ms};
    if (!effects->history_tail)
        effects->history_tail = &effects->history;
    *effects->history_tail = entry;
    effects->history_tail = &entry->next;
    effects->changed = true;
}

/* The one setter of a saga's state. */
static void set_saga(struct move *m, enum saga_state to, const char *entry, const char *detail)
{
    static const bool legal[SAGA_STATES_N][SAGA_STATES_N] = {
        [SAGA_RUNNING] = {[SAGA_COMPENSATING] = true, [SAGA_COMPLETED] = true},
        [SAGA_COMPENSATING] = {[SAGA_STALLED] = true, [SAGA_COMPENSATED] = true},
        [SAGA_STALLED] = {[SAGA_COMPENSATING] = true},
    };
    assert(legal[m->saga->state][to]);
    m->saga->state = to;
    m->saga->changed = true;
    if (saga_ended(to))
        m->saga->ended_ms = m->now_ms;
    if (saga_ended(to) || to == SAGA_STALLED)
        m->effects->notice = true;
    record(m, entry, -1, 0, detail);
}

static const json_t *parse_once(json_t **cache, const char *text, size_t len)
{
    struct err err;
    if (!*cache && text)
        *cache = json_read(text, len, &err);
    return *cache;
}

static const json_t *lookup(void *context, int step)
{
    struct saga *saga = context;
    if (step == TEMPLATE_INPUT)
        return parse_once(&saga->input_value, saga->input, saga->input_len);
    struct saga_step *from = &saga->steps[step];
    return parse_once(&from->output_value, from->output, from->output_len);
}

/* A compensation is told what its action was told and what it answered. */
static bool write_value(struct move *m, int step, enum command_kind kind, struct buf *out, struct err *err)
{
    const struct template_node *input = step_of(m, step)->input;
    const struct saga_step *s = &m->saga->steps[step];
    if (kind == KIND_ACTION)
        return template_write(input, lookup, m->saga, out, err);
    buf_str(out, "{\"input\":");
    if (!template_write(input, lookup, m->saga, out, err))
        return false;
    buf_str(out, ",\"output\":");
    if (s->output)
        buf_add(out, s->output, s->output_len);
    else
        buf_str(out, "null");
    buf_char(out, '}');
    if (out->failed)
        return err_set_code(err, ERR_REFUSED, "too_large", "the command is larger than %u bytes", VALUE_MAX_BYTES);
    return true;
}

static const char *error_json(struct arena *arena, const char *code, const char *message)
{
    struct buf text = buf_new(2048);
    json_write_error(&text, code, message);
    const char *kept = text.failed ? "{\"code\":\"error\"}" : arena_strdup(arena, text.data);
    buf_free(&text);
    return kept;
}

/* The value of the step's next command, in the arena; NULL with the step's error set when there can be none. */
static const char *make_value(struct move *m, int step, enum command_kind kind, size_t *len)
{
    struct buf text = buf_new(VALUE_MAX_BYTES);
    struct err err;
    const char *value = NULL;
    /* One level is left for the compensation, which wraps the action's input. */
    int depth_max = kind == KIND_ACTION ? JSON_DEPTH_MAX - 1 : JSON_DEPTH_MAX;
    bool ok = write_value(m, step, kind, &text, &err);
    if (ok && json_text_depth(buf_text(&text), text.len) > depth_max)
        ok = err_set_code(&err, ERR_REFUSED, "bad_input", "the input is nested deeper than %d levels", depth_max);
    if (ok) {
        value = arena_strndup(m->effects->arena, text.data, text.len);
        *len = text.len;
    } else {
        m->saga->steps[step].error = error_json(m->effects->arena, err.code, err.text);
    }
    buf_free(&text);
    return value;
}

static enum command_kind kind_of(enum step_state state)
{
    return state >= STEP_COMPENSATING ? KIND_COMPENSATION : KIND_ACTION;
}

static void send(struct move *m, int step, const char *value, size_t value_len)
{
    struct saga_step *s = &m->saga->steps[step];
    struct effects *effects = m->effects;
    struct command *command = arena_alloc(effects->arena, sizeof *command);
    s->attempt++;
    s->paused = false;
    s->due_ms = m->now_ms + step_of(m, step)->timeout_ms;
    s->command_id = effects->new_id();
    enum command_kind kind = kind_of(s->state);
    *command = (struct command){.id = s->command_id, .step = step, .kind = kind, .round = s->round,
                                .attempt = s->attempt, .value = value, .value_len = value_len,
                                .deadline_ms = kind == KIND_ACTION ? m->saga->deadline_ms : 0};
    if (!effects->commands_tail)
        effects->commands_tail = &effects->commands;
    *effects->commands_tail = command;
    effects->commands_tail = &command->next;
    record(m, kind == KIND_ACTION ? "action_sent" : "compensation_sent", step, s->attempt, NULL);
}

static const struct retry_policy *policy_of(const struct move *m, int step)
{
    bool undo = kind_of(m->saga->steps[step].state) == KIND_COMPENSATION;
    return undo ? &step_of(m, step)->compensation_retry : &step_of(m, step)->retry;
}

static void pause_step(struct move *m, int step)
{
    struct saga_step *s = &m->saga->steps[step];
    uint64_t seed = (uint64_t)step << 32 | (uint32_t)s->attempt;
    uint64_t spread = hash_bytes(m->saga->id.bytes, sizeof m->saga->id.bytes, seed);
    int64_t pause_ms = m->event->retry_after_ms;
    if (pause_ms <= 0)
        pause_ms = retry_pause_ms(policy_of(m, step), s->attempt, spread);
    s->paused = true;
    s->due_ms = m->now_ms + pause_ms;
}

static void keep_output(struct move *m, int step)
{
    struct saga_step *s = &m->saga->steps[step];
    json_decref(s->output_value);
    s->output_value = NULL;
    s->output = m->event->output;
    s->output_len = m->event->output_len;
    s->error = NULL;
}

static void turn(struct move *m, const char *detail)
{
    if (m->saga->state == SAGA_RUNNING)
        set_saga(m, SAGA_COMPENSATING, "saga_compensating", detail);
}

static void stall(struct move *m, const char *detail)
{
    if (m->saga->state == SAGA_COMPENSATING)
        set_saga(m, SAGA_STALLED, "saga_stalled", detail);
}

/* Once no compensation is left that failed. */
static void resume(struct move *m)
{
    for (size_t i = 0; i < m->saga->definition->steps_n; i++) {
        if (m->saga->steps[i].state == STEP_COMPENSATION_FAILED)
            return;
    }
    set_saga(m, SAGA_COMPENSATING, "saga_compensating", NULL);
}

static bool in_flight(enum step_state state)
{
    return state == STEP_RUNNING || state == STEP_COMPENSATING;
}

/* Takes the step through the table. False when it has no such transition. `value` is the command to send, for DO_SEND. */
static bool step_move(struct move *m, int step, enum step_event on, const char *value, size_t value_len)
{
    struct saga_step *s = &m->saga->steps[step];
    const struct transition *t = transition_find(s->state, on);
    if (!t)
        return false;
    enum step_state from = s->state;
    s->state = t->to;
    s->changed = true;
    m->effects->changed = true;
    if (!in_flight(t->to))
        s->due_ms = 0;
    if (from != t->to && in_flight(t->to))
        s->attempt = 0;
    if (on == ON_SEND)
        s->round = 1;
    if (t->entry)
        record(m, t->entry, step, m->told ? m->told : s->attempt, s->error);
    m->told = 0;
    switch (t->action) {
    case DO_SEND: send(m, step, value, value_len); break;
    case DO_PAUSE: pause_step(m, step); break;
    case DO_REARM: s->due_ms = m->now_ms + step_of(m, step)->timeout_ms; break;
    case DO_KEEP: keep_output(m, step); break;
    case DO_TURN: turn(m, s->error); break;
    case DO_STALL: stall(m, s->error); break;
    case DO_RESUME: resume(m); break;
    case DO_NOTHING: break;
    }
    return true;
}

/* Sends the next command of the step by `on`, or takes it the way of what cannot be sent. */
static void step_send(struct move *m, int step, enum step_event on)
{
    struct saga_step *s = &m->saga->steps[step];
    enum command_kind kind = on == ON_COMPENSATE ? KIND_COMPENSATION : kind_of(s->state);
    size_t len = 0;
    const char *value = make_value(m, step, kind, &len);
    if (value)
        step_move(m, step, on, value, len);
    else
        step_move(m, step, ON_UNSENDABLE, NULL, 0);
}

static bool all_succeeded(const struct move *m, const struct step_set *steps)
{
    for (size_t i = 0; i < m->saga->definition->steps_n; i++) {
        if (step_set_has(steps, i) && m->saga->steps[i].state != STEP_SUCCEEDED)
            return false;
    }
    return true;
}

/* It has no effect, or none any more. */
static bool is_nothing(enum step_state state)
{
    return state == STEP_PENDING || state == STEP_FAILED || state == STEP_COMPENSATED;
}

static bool all_nothing(const struct saga *saga, const struct step_set *steps)
{
    for (size_t i = 0; i < saga->definition->steps_n; i++) {
        if (step_set_has(steps, i) && !is_nothing(saga->steps[i].state))
            return false;
    }
    return true;
}

/* Begins every step whose predecessors are done. */
static void advance_forward(struct move *m)
{
    const struct definition *definition = m->saga->definition;
    bool done = true;
    for (size_t k = 0; k < definition->steps_n && m->saga->state == SAGA_RUNNING; k++) {
        int i = definition->order[k];
        enum step_state state = m->saga->steps[i].state;
        done = done && state == STEP_SUCCEEDED;
        if (state == STEP_PENDING && all_succeeded(m, &definition->steps[i].after))
            step_send(m, i, ON_SEND);
    }
    if (done && m->saga->state == SAGA_RUNNING)
        set_saga(m, SAGA_COMPLETED, "saga_completed", NULL);
}

/* Undoes a step once everything that followed it is undone. */
static void undo(struct move *m, int i)
{
    struct saga_step *s = &m->saga->steps[i];
    if (s->state == STEP_RUNNING && s->paused) /* no new attempt goes out on the way back */
        step_move(m, i, ON_GIVE_UP, NULL, 0);
    if (s->state != STEP_SUCCEEDED && s->state != STEP_UNKNOWN)
        return; /* there is nothing to undo; or it waits for a verdict, for silence, or for an operator */
    if (!all_nothing(m->saga, &step_of(m, i)->descendants))
        return;
    if (step_of(m, i)->compensation)
        step_send(m, i, ON_COMPENSATE);
    else
        step_move(m, i, ON_NOTHING_TO_UNDO, NULL, 0);
}

/* A compensation that failed holds up only what came before it. */
static void advance_backward(struct move *m)
{
    const struct definition *definition = m->saga->definition;
    bool done = true;
    for (size_t k = definition->steps_n; k-- > 0;) {
        undo(m, definition->order[k]);
        done = done && is_nothing(m->saga->steps[definition->order[k]].state);
    }
    if (done)
        set_saga(m, SAGA_COMPENSATED, "saga_compensated", NULL);
}

static void advance(struct move *m)
{
    if (m->saga->state == SAGA_RUNNING)
        advance_forward(m);
    if (m->saga->state == SAGA_COMPENSATING || m->saga->state == SAGA_STALLED)
        advance_backward(m);
}

/* No verdict in this attempt: another one, or none is left. */
static enum step_event again_or_give_up(const struct move *m, int step, enum step_event again)
{
    bool action = kind_of(m->saga->steps[step].state) == KIND_ACTION;
    if (action && m->saga->state != SAGA_RUNNING)
        return ON_GIVE_UP;
    if (action && again == ON_SILENCE && step_of(m, step)->on_timeout == ON_TIMEOUT_COMPENSATE)
        return ON_GIVE_UP;
    return retry_exhausted(policy_of(m, step), m->saga->steps[step].attempt) ? ON_GIVE_UP : again;
}

/* Whether the event speaks of the attempt that is out now. */
static bool is_current(const struct move *m)
{
    const struct saga_step *s = &m->saga->steps[m->event->step];
    return in_flight(s->state) && !s->paused && m->event->kind == kind_of(s->state) && m->event->attempt == s->attempt &&
           m->event->round == s->round;
}

static void ignore(struct move *m, const char *what)
{
    char *detail = arena_printf(m->effects->arena, "{\"kind\":\"%s\",\"reply\":\"%s\",\"round\":%d}",
                                command_kind_name(m->event->kind), what, m->event->round);
    record(m, "reply_ignored", m->event->step, m->event->attempt, detail);
}

static bool apply_verdict(struct move *m)
{
    bool good = m->event->outcome == OUTCOME_SUCCEEDED;
    enum step_event on = m->event->kind == KIND_ACTION ? (good ? ON_SUCCEEDED : ON_FAILED)
                                                       : (good ? ON_UNDONE : ON_UNDO_FAILED);
    if (!transition_find(m->saga->steps[m->event->step].state, on))
        return false;
    m->saga->steps[m->event->step].error = good ? NULL : m->event->error;
    return step_move(m, m->event->step, on, NULL, 0);
}

static bool apply_attempt_reply(struct move *m)
{
    if (!is_current(m))
        return false;
    if (m->event->outcome == OUTCOME_ACCEPTED)
        return step_move(m, m->event->step, ON_ACCEPTED, NULL, 0);
    m->saga->steps[m->event->step].error = m->event->error;
    return step_move(m, m->event->step, again_or_give_up(m, m->event->step, ON_RETRY), NULL, 0);
}

static void apply_reply(struct move *m)
{
    const struct event *event = m->event;
    bool verdict = event->outcome == OUTCOME_SUCCEEDED || event->outcome == OUTCOME_FAILED;
    m->told = event->attempt;
    bool applied = event->round == m->saga->steps[event->step].round &&
                   (verdict ? apply_verdict(m) : apply_attempt_reply(m));
    m->told = 0;
    if (applied)
        advance(m);
    else
        ignore(m, outcome_name(event->outcome));
}

static void step_timer(struct move *m, int step)
{
    struct saga_step *s = &m->saga->steps[step];
    if (!in_flight(s->state) || s->due_ms > m->now_ms)
        return;
    if (s->paused && kind_of(s->state) == KIND_ACTION && m->saga->state != SAGA_RUNNING)
        return; /* advance_backward gives it up */
    if (s->paused) {
        step_send(m, step, ON_DUE);
        return;
    }
    enum step_event on = again_or_give_up(m, step, ON_SILENCE);
    if (on == ON_SILENCE) {
        step_send(m, step, on);
        return;
    }
    s->error = error_json(m->effects->arena, "timeout", "no reply within the step's timeout");
    step_move(m, step, on, NULL, 0);
}

static void apply_timer(struct move *m)
{
    struct saga *saga = m->saga;
    if (saga->state == SAGA_RUNNING && saga->deadline_ms && saga->deadline_ms <= m->now_ms)
        turn(m, error_json(m->effects->arena, "deadline_passed", "the saga did not end before its deadline"));
    for (size_t i = 0; i < saga->definition->steps_n; i++)
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
    bool never_sent = s->attempt == 1 || kind_of(s->state) == KIND_COMPENSATION;
    s->error = error;
    step_move(m, m->event->step, never_sent ? ON_UNSENDABLE : ON_GIVE_UP, NULL, 0);
    advance(m);
}

static void apply_cancel(struct move *m)
{
    if (!saga_cancellable(m->saga->state))
        return;
    m->saga->cancelled = true;
    m->saga->changed = true;
    record(m, "saga_cancelled", -1, 0, m->event->error);
    turn(m, m->event->error);
    advance(m);
}

static void apply_start(struct move *m)
{
    const struct definition *definition = m->saga->definition;
    if (definition->timeout_ms)
        m->saga->deadline_ms = m->now_ms + definition->timeout_ms;
    m->saga->created_ms = m->now_ms;
    record(m, "saga_started", -1, 0, NULL);
    advance(m);
}

static int64_t earliest(int64_t a, int64_t b)
{
    if (!a || !b)
        return a ? a : b;
    return a < b ? a : b;
}

static int64_t next_due(const struct saga *saga)
{
    int64_t due = saga->state == SAGA_RUNNING ? saga->deadline_ms : 0;
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

/* A new saga's wake-up is early enough for all its steps, and only a timer moves it forward in time: a saga whose replies
 * come in time is then written without touching the index of wake-ups. */
static void set_wake(struct move *m)
{
    struct saga *saga = m->saga;
    int64_t due = next_due(saga);
    if (m->event->type == EVENT_START)
        due = earliest(due, earliest_timeout(saga->definition, m->now_ms));
    bool exact = m->event->type == EVENT_TIMER || saga_ended(saga->state);
    int64_t wake = exact ? due : earliest(due, saga->wake_ms);
    if (wake == saga->wake_ms)
        return;
    saga->wake_ms = wake;
    saga->changed = true;
    m->effects->changed = true;
}

void machine_apply(struct saga *saga, const struct event *event, int64_t now_ms, struct effects *effects)
{
    struct move m = {saga, event, now_ms, effects, 0};
    if (saga_ended(saga->state))
        return;
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
    case EVENT_CANCEL: apply_cancel(&m); break;
    }
    set_wake(&m);
    assert(machine_invariant(saga) == NULL);
}

const char *machine_refusal(const struct saga *saga, const struct event *event)
{
    if (event->type != EVENT_CANCEL || saga_cancellable(saga->state))
        return NULL;
    return saga_ended(saga->state) ? "the saga has ended" : "the saga is on its way back already";
}

size_t machine_overdue(const struct saga *saga, int64_t now_ms, int *steps)
{
    size_t n = 0;
    for (size_t i = 0; i < saga->definition->steps_n; i++) {
        const struct saga_step *s = &saga->steps[i];
        if (in_flight(s->state) && !s->paused && s->due_ms <= now_ms)
            steps[n++] = (int)i;
    }
    return n;
}

bool machine_withdraws(const struct saga *saga, int step)
{
    return saga->state != SAGA_RUNNING && saga->steps[step].state == STEP_RUNNING;
}

enum command_kind machine_kind(const struct saga_step *step)
{
    return kind_of(step->state);
}

static const char *step_invariant(const struct saga *saga, const struct saga_step *s)
{
    if (in_flight(s->state) && s->due_ms <= 0)
        return "a step in flight has nothing due";
    if (!in_flight(s->state) && s->due_ms)
        return "a step at rest has something due";
    if (in_flight(s->state) && (!saga->wake_ms || saga->wake_ms > s->due_ms))
        return "nothing wakes the saga in time";
    if (saga->state == SAGA_COMPLETED && s->state != STEP_SUCCEEDED)
        return "a completed saga has a step that did not succeed";
    if (saga->state == SAGA_COMPENSATED && !is_nothing(s->state))
        return "a compensated saga has a step that is not undone";
    if (saga->state == SAGA_RUNNING && s->state > STEP_SUCCEEDED)
        return "a running saga has a step on its way back";
    return NULL;
}

/* Forward: nothing begins before what it waits for. Backward: nothing is undone before what followed it. */
static const char *order_invariant(const struct saga *saga, size_t step)
{
    const struct step_definition *definition = &saga->definition->steps[step];
    enum step_state state = saga->steps[step].state;
    for (size_t i = 0; i < saga->definition->steps_n && state != STEP_PENDING; i++) {
        enum step_state before = saga->steps[i].state;
        if (step_set_has(&definition->after, i) && before != STEP_SUCCEEDED && before < STEP_COMPENSATING)
            return "a step was begun before one that it waits for was done";
    }
    if (state >= STEP_COMPENSATING && !all_nothing(saga, &definition->descendants))
        return "a step is undone before one that followed it";
    return NULL;
}

const char *machine_invariant(const struct saga *saga)
{
    for (size_t i = 0; i < saga->definition->steps_n; i++) {
        const char *fault = step_invariant(saga, &saga->steps[i]);
        if (!fault)
            fault = order_invariant(saga, i);
        if (fault)
            return fault;
    }
    return NULL;
}
