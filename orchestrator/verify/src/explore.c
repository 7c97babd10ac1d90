/* Breadth first over the states, so that the first way to a fault is the shortest. A state is a few bytes; the saga is made from
 * them again when it is looked at. */
#include "explore.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

#define NOW_MS 1000
#define TRACE_MAX 1000 /* events: more than any saga lives through */
#define LATER_MS (1000LL * 1000 * 1000 * 1000) /* nothing is due before somebody says so */

/* ---- one state ---- */

static struct uuid some_id(void)
{
    return (struct uuid){{1}};
}

static void set_times(struct position *p)
{
    p->saga.wake_ms = NOW_MS;
    for (size_t i = 0; i < p->saga.definition->steps_n; i++) {
        p->steps[i].due_ms = step_in_flight(p->steps[i].state) ? LATER_MS : 0;
    }
    if (p->saga.definition->timeout_ms)
        p->saga.deadline_ms = LATER_MS;
}

/* What the participant's answer says about the effect. */
static void note_answer(struct position *p, const struct happening *h)
{
    bool refused = h->type == EVENT_REPLY && h->kind == KIND_ACTION && h->outcome == OUTCOME_FAILED;
    bool undone = h->type == EVENT_REPLY && h->kind == KIND_COMPENSATION && h->outcome == OUTCOME_SUCCEEDED;
    bool unsent = (h->type == EVENT_REFUSED || h->type == EVENT_WITHDRAWN) && h->kind == KIND_ACTION;
    if (refused || undone || unsent)
        step_set_remove(&p->may, (size_t)h->step);
}

/* Steps of which something may stand that a compensation could still undo. */
static struct step_set undoable(const struct position *p)
{
    struct step_set set = p->may;
    for (size_t i = 0; i < p->saga.definition->steps_n; i++) {
        if (!p->saga.definition->steps[i].compensation)
            step_set_remove(&set, i);
    }
    return set;
}

static const char *note_command(struct position *p, const struct command *command, bool was_backward, struct verify_failure *undone)
{
    const struct step_definition *step = &p->saga.definition->steps[command->step];
    struct step_set standing = undoable(p);
    if (command->kind == KIND_COMPENSATION) {
        if (undone)
            undone->undone[undone->undone_n++] = command->step;
        if (!step_set_has(&p->may, (size_t)command->step))
            return "a step is undone that has no effect";
        return step_set_meets(&step->descendants, &standing) ? "a step is undone before one that followed it" : NULL;
    }
    if (was_backward)
        return "an action is sent on the way back";
    step_set_add(&p->may, (size_t)command->step);
    return NULL;
}

/* No operator has a say here, so what the pivot has done stands. */
static bool turns_beside_its_pivot(const struct position *p)
{
    int pivot = p->saga.definition->pivot;
    return pivot >= 0 && saga_is_backward(&p->saga) && step_set_has(&p->may, (size_t)pivot);
}

static const char *check_end(const struct position *p)
{
    struct step_set standing = undoable(p);
    if (turns_beside_its_pivot(p))
        return "a saga turns back though its pivot may have taken effect";
    if (p->saga.state == SAGA_COMPENSATED && step_set_meets(&standing, &standing))
        return "a compensated saga has left an effect that could have been undone";
    for (size_t i = 0; p->saga.state == SAGA_COMPLETED && i < p->saga.definition->steps_n; i++) {
        bool calls = p->saga.definition->steps[i].kind == STEP_CALLS;
        if (calls && !step_set_has(&p->may, i) && p->steps[i].state != STEP_SKIPPED)
            return "a completed saga has a step without effect";
    }
    return NULL;
}

/* The input says which conditions hold: verify.c makes them ask for it. */
static void set_conditions(struct position *p, const struct step_set *not_held, struct arena *arena)
{
    struct buf text = buf_new(4096);
    buf_char(&text, '{');
    for (size_t i = 0; i < p->saga.definition->steps_n; i++) {
        if (p->saga.definition->steps[i].when)
            buf_printf(&text, "%s\"w%zu\":%s", text.len > 1 ? "," : "", i, step_set_has(not_held, i) ? "false" : "true");
    }
    buf_char(&text, '}');
    p->saga.input = arena_strdup(arena, buf_text(&text));
    p->saga.input_len = text.len;
    buf_free(&text);
}

static struct event event_of(const struct position *p, const struct happening *h)
{
    struct event event = {.type = h->type, .step = h->step < 0 ? 0 : h->step, .kind = h->kind, .outcome = h->outcome,
                          .error = h->type == EVENT_START ? NULL : "{\"code\":\"x\"}", .output = h->type == EVENT_SIGNAL ? "{}" : NULL,
                          .output_len = h->type == EVENT_SIGNAL ? 2 : 0, .has_entities = true};
    if (h->step >= 0) {
        event.round = p->steps[h->step].round;
        event.attempt = p->steps[h->step].attempt;
    }
    return event;
}

const char *position_move(struct position *p, const struct happening *h, struct arena *arena, struct verify_failure *undone)
{
    struct effects effects = {.arena = arena, .new_id = some_id};
    struct event event = event_of(p, h);
    bool was_backward = saga_is_backward(&p->saga);
    set_times(p);
    set_conditions(p, &h->not_held, arena);
    if (h->type == EVENT_TIMER && h->step >= 0)
        p->steps[h->step].due_ms = NOW_MS;
    if (h->type == EVENT_TIMER && h->step < 0)
        p->saga.deadline_ms = NOW_MS;
    const char *fault = machine_try(&p->saga, &event, NOW_MS, &effects);
    note_answer(p, h);
    for (const struct command *c = effects.commands; c && !fault; c = c->next)
        fault = note_command(p, c, was_backward, undone);
    saga_release(&p->saga);
    for (size_t i = 0; i < p->saga.definition->steps_n; i++)
        p->steps[i].output = p->steps[i].error = NULL; /* of no consequence, and gone with the arena */
    p->saga.clock = NULL;
    p->saga.input = NULL;
    set_times(p);
    return fault ? fault : check_end(p);
}

const char *position_start(struct position *p, const struct definition *definition, const struct step_set *not_held)
{
    struct arena arena = {0};
    memset(p, 0, sizeof *p);
    p->saga = (struct saga){.definition = definition, .steps = p->steps};
    const char *fault = position_move(p, &(struct happening){.type = EVENT_START, .step = -1, .not_held = *not_held}, &arena, NULL);
    arena_free(&arena);
    return fault;
}

static void add(struct happening *out, size_t *n, struct happening happening)
{
    out[(*n)++] = happening;
}

static void add_answers(struct happening *out, size_t *n, int step, enum command_kind kind, bool may_fail)
{
    add(out, n, (struct happening){EVENT_REPLY, step, kind, OUTCOME_SUCCEEDED, {{0}}});
    if (may_fail)
        add(out, n, (struct happening){EVENT_REPLY, step, kind, OUTCOME_FAILED, {{0}}});
}

/* A signal may also come before its step's turn: that is the same as coming at once when it has come. */
static void add_wait(const struct position *p, struct happening *out, size_t *n, int step)
{
    if (p->steps[step].state != STEP_RUNNING)
        return;
    if (p->saga.definition->steps[step].kind == STEP_WAITS)
        add(out, n, (struct happening){.type = EVENT_SIGNAL, .step = step});
    add(out, n, (struct happening){.type = EVENT_TIMER, .step = step});
}

/* The action's success, told late: it is history. */
static void add_late_answer(struct happening *out, size_t *n, int step)
{
    add(out, n, (struct happening){EVENT_REPLY, step, KIND_ACTION, OUTCOME_SUCCEEDED, {{0}}});
}

static void add_step(const struct position *p, struct happening *out, size_t *n, int step)
{
    if (p->saga.definition->steps[step].kind != STEP_CALLS) {
        add_wait(p, out, n, step);
        return;
    }
    switch (p->steps[step].state) {
    case STEP_RUNNING:
        add_answers(out, n, step, KIND_ACTION, true);
        add(out, n, (struct happening){EVENT_TIMER, step, KIND_ACTION, 0, {{0}}});
        add(out, n, (struct happening){machine_withdraws(&p->saga, step) ? EVENT_WITHDRAWN : EVENT_REFUSED, step, KIND_ACTION, 0, {{0}}});
        break;
    case STEP_UNKNOWN: add_answers(out, n, step, KIND_ACTION, true); break;
    case STEP_COMPENSATING:
    case STEP_COMPENSATION_FAILED:
        add_answers(out, n, step, KIND_COMPENSATION, p->steps[step].state == STEP_COMPENSATING);
        add_late_answer(out, n, step);
        break;
    case STEP_COMPENSATED: add_late_answer(out, n, step); break;
    default: break;
    }
}

size_t position_next(const struct position *p, struct happening *out)
{
    size_t n = 0;
    struct happening cancel = {.type = EVENT_CANCEL, .step = -1};
    struct event event = event_of(p, &cancel);
    if (saga_ended(p->saga.state))
        return 0;
    for (size_t i = 0; i < p->saga.definition->steps_n; i++)
        add_step(p, out, &n, (int)i);
    if (!machine_refusal(&p->saga, &event))
        add(out, &n, cancel);
    if (p->saga.definition->timeout_ms && p->saga.state == SAGA_RUNNING)
        add(out, &n, (struct happening){EVENT_TIMER, -1, KIND_ACTION, 0, {{0}}});
    return n;
}

/* A step that is done, or that will be when these are. */
static bool may_be_done(const struct position *p, size_t step, int after, const struct step_set *pending)
{
    enum step_state state = p->steps[step].state;
    return (int)step == after || state == STEP_SUCCEEDED || state == STEP_SKIPPED || step_set_has(pending, step);
}

size_t position_conditions(const struct position *p, int after, int *steps)
{
    const struct definition *definition = p->saga.definition;
    struct step_set pending = {0};
    size_t n = 0;
    for (size_t k = 0; k < definition->steps_n && n <= CONDITIONS_MAX; k++) {
        size_t i = (size_t)definition->order[k];
        bool ready = definition->steps[i].when && p->steps[i].state == STEP_PENDING;
        for (size_t before = 0; before < definition->steps_n && ready; before++) {
            if (step_set_has(&definition->steps[i].after, before))
                ready = may_be_done(p, before, after, &pending);
        }
        if (!ready)
            continue;
        step_set_add(&pending, i);
        steps[n++] = (int)i;
    }
    return n;
}

/* Which of the conditions do not hold, the way-th possibility. */
static struct step_set choose(const int *steps, size_t n, unsigned way)
{
    struct step_set not_held = {0};
    for (size_t i = 0; i < n; i++) {
        if (way >> i & 1)
            step_set_add(&not_held, (size_t)steps[i]);
    }
    return not_held;
}

/* ---- all states ---- */

/* State, cancelled, and a byte for each step with its bit of `may`. */
#define KEY_MAX (2 + DEFINITION_STEPS_MAX)

struct node {
    uint32_t parent;
    struct happening by; /* that led here from there; EVENT_START: from nowhere */
};

struct search {
    const struct definition *definition;
    size_t key_size;
    unsigned char *keys; /* of the nodes, one after another */
    struct node *nodes;
    size_t n, cap;
    uint32_t *table; /* hash table of nodes + 1 */
    size_t table_size;
    const struct verify_bounds *bounds;
    size_t moves;
    bool cut; /* something was not looked at */
};

static void write_key(const struct position *p, unsigned char *key)
{
    size_t n = p->saga.definition->steps_n;
    key[0] = (unsigned char)p->saga.state;
    key[1] = p->saga.cancelled;
    for (size_t i = 0; i < n; i++) {
        unsigned flags = (step_set_has(&p->may, i) ? 0x80u : 0) | (p->steps[i].waived ? 0x40u : 0);
        key[2 + i] = (unsigned char)((unsigned)p->steps[i].state | flags);
    }
}

static void read_key(struct position *p, const struct definition *definition, const unsigned char *key)
{
    memset(p, 0, sizeof *p);
    p->saga = (struct saga){.definition = definition, .steps = p->steps, .state = (enum saga_state)key[0], .cancelled = key[1]};
    for (size_t i = 0; i < definition->steps_n; i++) {
        struct saga_step *step = &p->steps[i];
        step->state = (enum step_state)(key[2 + i] & 0x3f);
        step->waived = key[2 + i] & 0x40;
        step->round = step->attempt = step->state != STEP_PENDING;
        if (key[2 + i] & 0x80)
            step_set_add(&p->may, i);
    }
    set_times(p);
}

static void grow_table(struct search *s)
{
    s->table_size *= 2;
    s->table = mem_grow(s->table, s->table_size, sizeof *s->table);
    memset(s->table, 0, s->table_size * sizeof *s->table);
    for (size_t i = 0; i < s->n; i++) {
        size_t at = hash_bytes(s->keys + i * s->key_size, s->key_size, 0) % s->table_size;
        while (s->table[at])
            at = (at + 1) % s->table_size;
        s->table[at] = (uint32_t)i + 1;
    }
}

/* Adds the state unless it is there. */
static void visit(struct search *s, const struct position *p, size_t parent, const struct happening *by)
{
    unsigned char key[KEY_MAX];
    write_key(p, key);
    if (2 * s->n >= s->table_size)
        grow_table(s);
    size_t at = hash_bytes(key, s->key_size, 0) % s->table_size;
    for (; s->table[at]; at = (at + 1) % s->table_size) {
        if (memcmp(s->keys + (s->table[at] - 1) * s->key_size, key, s->key_size) == 0)
            return;
    }
    if (s->n == s->bounds->states) {
        s->cut = true;
        return;
    }
    if (s->n == s->cap) {
        s->cap *= 2;
        s->nodes = mem_grow(s->nodes, s->cap, sizeof *s->nodes);
        s->keys = mem_grow(s->keys, s->cap, s->key_size);
    }
    memcpy(s->keys + s->n * s->key_size, key, s->key_size);
    s->nodes[s->n] = (struct node){(uint32_t)parent, *by};
    s->table[at] = (uint32_t)++s->n;
}

/* What is told twice must change nothing the second time. */
static const char *move_twice(struct position *p, const struct happening *h, struct arena *arena)
{
    unsigned char once[KEY_MAX], twice[KEY_MAX];
    struct position again;
    const char *fault = position_move(p, h, arena, NULL);
    if (fault || h->type == EVENT_TIMER || h->type == EVENT_SIGNAL)
        return fault; /* they are not told again: a timer looks at what is due, a signal for who waits for it */
    memcpy(&again, p, sizeof again);
    again.saga.steps = again.steps;
    fault = position_move(&again, h, arena, NULL);
    write_key(p, once);
    write_key(&again, twice);
    return !fault && memcmp(once, twice, 2 + p->saga.definition->steps_n) != 0 ? "an event that is told twice happens twice" : fault;
}

/* The way to a node, backwards, behind `last`, which led on from there. */
static void write_trace(const struct search *s, size_t node, const struct happening *last, struct verification *out)
{
    const struct happening *way[TRACE_MAX] = {last};
    size_t n = 1;
    for (; way[n - 1]->type != EVENT_START && n < TRACE_MAX; node = s->nodes[node].parent)
        way[n++] = &s->nodes[node].by;
    out->trace = arena_array(&out->arena, n, sizeof *out->trace);
    out->trace_n = n;
    for (size_t i = 0; i < n; i++) {
        struct buf text = buf_new(1024);
        happening_text(way[n - 1 - i], s->definition, &text);
        out->trace[i] = arena_strdup(&out->arena, buf_text(&text));
        buf_free(&text);
    }
}

static void count_rest(const struct position *p, struct verification *out)
{
    for (size_t i = 0; i < p->saga.definition->steps_n; i++) {
        if (step_in_flight(p->steps[i].state))
            return;
    }
    out->completed += p->saga.state == SAGA_COMPLETED;
    out->compensated += p->saga.state == SAGA_COMPENSATED;
    out->stalled += p->saga.state == SAGA_STALLED;
}

/* Only then does anything begin behind the step. */
static bool ends_well(const struct happening *h)
{
    return h->type == EVENT_SIGNAL || h->type == EVENT_TIMER || (h->type == EVENT_REPLY && h->outcome == OUTCOME_SUCCEEDED);
}

/* One more than are gone through tells that something was not looked at. */
static size_t conditions_behind(struct search *s, const struct position *p, const struct happening *h, int *steps)
{
    size_t n = h->type == EVENT_START || ends_well(h) ? position_conditions(p, h->step, steps) : 0;
    if (n <= CONDITIONS_MAX)
        return n;
    s->cut = true;
    return CONDITIONS_MAX;
}

/* One event, with every way in which the conditions behind it may come out; false at a fault. */
static bool try_event(struct search *s, size_t node, const struct position *p, struct happening h, struct verification *out)
{
    struct arena arena = {0};
    struct position next;
    int steps[CONDITIONS_MAX + 1];
    size_t conditions = conditions_behind(s, p, &h, steps);
    for (unsigned way = 0; way < 1u << conditions && !out->violation; way++, s->moves++) {
        h.not_held = choose(steps, conditions, way);
        memcpy(&next, p, sizeof next);
        next.saga.steps = next.steps;
        out->violation = move_twice(&next, &h, &arena);
        if (out->violation)
            write_trace(s, node, &h, out);
        else
            visit(s, &next, node, &h);
        arena_reset(&arena);
    }
    arena_free(&arena);
    return !out->violation;
}

/* Looks at what can happen in one state; false at a fault. */
static bool expand(struct search *s, size_t node, struct verification *out)
{
    struct position p;
    struct happening happenings[HAPPENINGS_MAX];
    bool ok = true;
    read_key(&p, s->definition, s->keys + node * s->key_size);
    for (size_t i = 0; i < s->definition->steps_n; i++) {
        if (p.steps[i].state != STEP_PENDING && p.steps[i].state != STEP_SKIPPED)
            step_set_add(&out->reached, i);
    }
    count_rest(&p, out);
    size_t n = position_next(&p, happenings);
    for (size_t i = 0; i < n && ok; i++)
        ok = try_event(s, node, &p, happenings[i], out);
    return ok;
}

static void start_all(struct search *s, struct verification *out)
{
    struct position start = {.saga = {.definition = s->definition}, .steps = {{0}}};
    int steps[CONDITIONS_MAX + 1];
    size_t conditions = conditions_behind(s, &start, &(struct happening){.type = EVENT_START, .step = -1}, steps);
    for (unsigned way = 0; way < 1u << conditions && !out->violation; way++) {
        struct happening h = {.type = EVENT_START, .step = -1, .not_held = choose(steps, conditions, way)};
        out->violation = position_start(&start, s->definition, &h.not_held);
        if (out->violation)
            write_trace(s, 0, &h, out);
        else
            visit(s, &start, 0, &h);
    }
}

void explore(const struct definition *definition, const struct verify_bounds *bounds, struct verification *out)
{
    struct search s = {.definition = definition, .key_size = 2 + definition->steps_n, .cap = 1024, .table_size = 4096, .bounds = bounds};
    size_t done = 0;
    s.nodes = mem_array(s.cap, sizeof *s.nodes);
    s.keys = mem_array(s.cap, s.key_size);
    s.table = mem_array(s.table_size, sizeof *s.table);
    start_all(&s, out);
    while (!out->violation && done < s.n && s.moves < bounds->moves && expand(&s, done, out))
        done++;
    out->states = done;
    out->complete = done == s.n && !s.cut;
    free(s.nodes);
    free(s.keys);
    free(s.table);
}
