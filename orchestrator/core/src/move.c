/* What becomes of one step: its transition, the command that it sends, what it keeps. */
#include "move.h"

#include <assert.h>
#include <string.h>

#include "base/hash.h"
#include "base/json.h"
#include "core/logic.h"

const struct step_definition *step_of(const struct move *m, int step)
{
    return &m->saga->definition->steps[step];
}

bool step_calls(const struct move *m, int step)
{
    return step_of(m, step)->kind == STEP_CALLS;
}

void record(struct move *m, const char *event, int step, int attempt, const char *detail)
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

void set_saga(struct move *m, enum saga_state to, const char *entry, const char *detail)
{
    static const bool legal[SAGA_STATES_N][SAGA_STATES_N] = {
        [SAGA_RUNNING] = {[SAGA_COMPENSATING] = true, [SAGA_STALLED] = true, [SAGA_COMPLETED] = true, [SAGA_SCHEDULED] = true, [SAGA_QUEUED] = true},
        [SAGA_SCHEDULED] = {[SAGA_RUNNING] = true, [SAGA_COMPENSATING] = true, [SAGA_QUEUED] = true},
        [SAGA_QUEUED] = {[SAGA_RUNNING] = true, [SAGA_COMPENSATING] = true},
        [SAGA_COMPENSATING] = {[SAGA_STALLED] = true, [SAGA_COMPENSATED] = true},
        [SAGA_COMPLETED] = {[SAGA_COMPENSATING] = true}, /* its parent turns back */
        [SAGA_STALLED] = {[SAGA_RUNNING] = true, [SAGA_COMPENSATING] = true},
    };
    assert(legal[m->saga->state][to]);
    m->saga->state = to;
    m->saga->changed = true;
    m->saga->ended_ms = saga_ended(to) ? m->now_ms : 0;
    if (saga_ended(to) || to == SAGA_STALLED)
        m->effects->notice = true;
    record(m, entry, -1, 0, detail);
}

/* A probe is told what the action was told; a compensation, also what it answered. */
static bool write_value(struct move *m, int step, enum command_kind kind, struct buf *out, struct err *err)
{
    const struct template_node *input = step_of(m, step)->input;
    const struct saga_step *s = &m->saga->steps[step];
    if (kind != KIND_COMPENSATION)
        return template_write(input, saga_value, m->saga, out, err);
    buf_str(out, "{\"input\":");
    if (!template_write(input, saga_value, m->saga, out, err))
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

const char *error_json(struct arena *arena, const char *code, const char *message)
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
    int depth_max = kind == KIND_COMPENSATION ? JSON_DEPTH_MAX : JSON_DEPTH_MAX - 1;
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

enum command_kind kind_of(enum step_state state)
{
    return state >= STEP_COMPENSATING && state <= STEP_COMPENSATION_FAILED ? KIND_COMPENSATION : KIND_ACTION;
}

/* Behind the pivot there is no way back, so nothing is too late. */
static bool has_deadline(const struct move *m, int step, enum command_kind kind)
{
    int pivot = m->saga->definition->pivot;
    return kind == KIND_ACTION && (pivot < 0 || !step_set_has(&m->saga->definition->steps[pivot].descendants, (size_t)step));
}

/* There is nothing to send: a signal ends it, or time. */
static void arm(struct move *m, int step)
{
    struct saga_step *s = &m->saga->steps[step];
    s->attempt++;
    s->due_ms = m->now_ms + step_of(m, step)->timeout_ms;
    record(m, step_of(m, step)->kind == STEP_WAITS ? "waiting" : "delayed", step, 0, NULL);
}

static void send(struct move *m, int step, bool probes, const char *value, size_t value_len)
{
    static const char *const entries[KINDS_N] = {"action_sent", "compensation_sent", "probe_sent"};
    struct saga_step *s = &m->saga->steps[step];
    struct effects *effects = m->effects;
    struct command *command = arena_alloc(effects->arena, sizeof *command);
    s->attempt++;
    s->paused = false;
    s->probing = probes;
    s->due_ms = m->now_ms + step_of(m, step)->timeout_ms;
    s->command_id = effects->new_id();
    enum command_kind kind = machine_kind(s);
    *command = (struct command){.id = s->command_id, .step = step, .kind = kind, .round = s->round,
                                .attempt = s->attempt, .value = value, .value_len = value_len, .clock = m->saga->clock,
                                .deadline_ms = has_deadline(m, step, kind) ? m->saga->deadline_ms : 0};
    if (!effects->commands_tail)
        effects->commands_tail = &effects->commands;
    *effects->commands_tail = command;
    effects->commands_tail = &command->next;
    record(m, entries[kind], step, s->attempt, NULL);
}

const struct retry_policy *policy_of(const struct move *m, int step)
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

/* A retry that can send nothing leaves the step as it is, but for the reason. */
static void stay(struct move *m, int step)
{
    m->saga->steps[step].changed = true;
    record(m, "action_not_sent", step, 0, m->saga->steps[step].error);
}

/* A cancel that waited for the pivot's verdict has come too late. */
static void pass_pivot(struct move *m)
{
    if (!m->saga->cancelled)
        return;
    m->saga->cancelled = false;
    m->saga->changed = true;
    record(m, "cancel_too_late", -1, 0, NULL);
}

bool step_move(struct move *m, int step, enum step_event on, const char *value, size_t value_len)
{
    struct saga_step *s = &m->saga->steps[step];
    const struct transition *t = transition_find(s->state, on);
    if (!t)
        return false;
    enum step_state from = s->state;
    s->state = t->to;
    s->changed = true;
    m->effects->changed = true;
    if (!step_in_flight(t->to)) {
        s->due_ms = 0;
        s->probing = false;
    }
    if (from != t->to && step_in_flight(t->to))
        s->attempt = 0;
    if (on == ON_SEND)
        s->round = 1;
    if (on == ON_AGAIN)
        s->round++;
    if (t->entry)
        record(m, t->entry, step, m->told ? m->told : s->attempt, m->note ? m->note : s->error);
    m->told = 0;
    m->note = NULL;
    switch (t->action) {
    case DO_SEND: step_calls(m, step) ? send(m, step, false, value, value_len) : arm(m, step); break;
    case DO_ASK: send(m, step, true, value, value_len); break;
    case DO_PAUSE: pause_step(m, step); break;
    case DO_REARM: s->due_ms = m->now_ms + step_of(m, step)->timeout_ms; break;
    case DO_KEEP: keep_output(m, step); break;
    case DO_TURN: turn(m, s->error); break;
    case DO_STALL: stall(m, s->error); break;
    case DO_NOTHING: break;
    }
    if (step == m->saga->definition->pivot && is_done(t->to) && !saga_is_backward(m->saga))
        pass_pivot(m);
    return true;
}

/* False with the step's error set when its condition takes too much. It gives the same as often as it is looked at. */
static bool find_condition(struct move *m, int step, bool *holds)
{
    const json_t *when = step_of(m, step)->when;
    struct err err;
    *holds = true;
    if (!when || logic_is_true(when, &m->saga->definition->names, saga_value, m->saga, holds, &err))
        return true;
    m->saga->steps[step].error = error_json(m->effects->arena, err.code, err.text);
    return false;
}

void step_send(struct move *m, int step, enum step_event on)
{
    struct saga_step *s = &m->saga->steps[step];
    enum command_kind kind = on == ON_COMPENSATE || on == ON_FENCE ? KIND_COMPENSATION : kind_of(s->state);
    size_t len = 0;
    bool holds;
    if (on == ON_AGAIN && kind == KIND_ACTION && !(find_condition(m, step, &holds) && holds)) {
        stay(m, step);
        return;
    }
    const char *value = step_calls(m, step) ? make_value(m, step, kind, &len) : "";
    if (value)
        step_move(m, step, on, value, len);
    else if (on != ON_AGAIN)
        step_move(m, step, ON_UNSENDABLE, NULL, 0);
    else
        stay(m, step);
}

void step_begin(struct move *m, int step)
{
    bool holds;
    if (!find_condition(m, step, &holds)) {
        step_move(m, step, ON_UNSENDABLE, NULL, 0);
    } else if (holds && m->saga->steps[step].output) { /* its signal has come already */
        step_move(m, step, ON_ELAPSED, NULL, 0);
    } else if (holds) {
        step_send(m, step, ON_SEND);
    } else {
        step_move(m, step, ON_SKIP, NULL, 0);
    }
}
