/* The invariants while a run goes on, looked at from outside: at every commit, every message and every offset. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "broker.h"
#include "core/machine.h"
#include "known.h"
#include "postgres.h"
#include "wire/wire.h"
#include "world.h"

#define COMMAND_BUCKETS 4096
#define SKEW_MS 500
#define CHANGES_MAX 4096 /* rows of one transaction */

/* A message of an outbox. */
struct sent {
    struct sent *next;
    struct uuid id;
    bool appended;
    bool withdrawn;
};

/* A reply that a service has recorded: the key of the command's attempt. */
struct answered {
    struct answered *next;
    uint32_t hash;
    char key[192];
};

static struct {
    struct sent *messages[COMMAND_BUCKETS];
    struct answered *answers[COMMAND_BUCKETS];
    struct sent *deleted[CHANGES_MAX]; /* by the transaction that commits now */
    size_t deleted_n;
    bool has_history;                  /* that transaction */
    bool has_state;
    size_t begun, histories_begun;     /* by it: sagas, and first rows of history, which come before their sagas */
    struct known *turning[CHANGES_MAX]; /* by that transaction */
    struct known *pausing[CHANGES_MAX];
    size_t turning_n, pausing_n;
} seen;

static struct sent *message_of(const struct uuid *id)
{
    struct sent **at = &seen.messages[uuid_hash(id) % COMMAND_BUCKETS];
    for (struct sent *sent = *at; sent; sent = sent->next) {
        if (uuid_equal(&sent->id, id))
            return sent;
    }
    struct sent *sent = mem_alloc(sizeof *sent);
    *sent = (struct sent){.next = *at, .id = *id};
    return *at = sent;
}

static struct answered *answer_of(const char *key, bool make)
{
    uint32_t hash = 5381;
    for (const char *c = key; *c; c++)
        hash = hash * 33 + (unsigned char)*c;
    struct answered **at = &seen.answers[hash % COMMAND_BUCKETS];
    for (struct answered *answered = *at; answered; answered = answered->next) {
        if (answered->hash == hash && strcmp(answered->key, key) == 0)
            return answered;
    }
    if (!make)
        return NULL;
    struct answered *answered = mem_alloc(sizeof *answered);
    answered->next = *at;
    answered->hash = hash;
    snprintf(answered->key, sizeof answered->key, "%s", key);
    return *at = answered;
}

/* ---- what services do ---- */

static void on_action(struct known *known, int step)
{
    struct fact *fact = &known->facts[step];
    if (!plan_wants(known->definition, step, known->n))
        violated(2, known, step, "an action took effect though its condition does not hold");
    if (++fact->actions > 1)
        violated(5, known, step, "an action took effect twice");
    if (fact->undone)
        violated(6, known, step, "an action took effect after its compensation");
    /* Nothing to undo: nothing fences it either. An operator who goes on without a compensation that cannot be told of answers for it. */
    bool can_be_late = !known->definition->steps[step].compensation || fact->touched;
    for (size_t i = 0; i < known->definition->steps_n && !can_be_late; i++) {
        if (step_set_has(&known->definition->steps[step].ancestors, i) && known->facts[i].undone && !known->facts[i].touched)
            violated(4, known, step, "an action took effect after a step before it was undone");
    }
    for (size_t i = 0; i < known->definition->steps_n; i++) {
        if (step_set_has(&known->definition->steps[step].after, i) && !known->facts[i].actions && !known->facts[i].touched &&
            !known->facts[i].skipped && acts(known, (int)i))
            violated(2, known, step, "an action took effect before that of a step that it waits for");
    }
}

/* The pivot and what follows it stand, unless an operator has said otherwise. */
static void check_pivot(const struct known *known, int step)
{
    int pivot = known->definition->pivot;
    if (pivot < 0 || known->facts[step].touched)
        return;
    if (step == pivot || step_set_has(&known->definition->steps[pivot].descendants, (size_t)step))
        violated(4, known, step, "a pivot that took effect, or a step behind it, was undone");
}

static void on_compensation(struct known *known, int step)
{
    struct fact *fact = &known->facts[step];
    if (++fact->compensations > 1)
        violated(5, known, step, "a compensation took effect twice");
    if (fact->compensations > fact->actions)
        violated(3, known, step, "a compensation took effect without an action");
    check_pivot(known, step);
    for (size_t i = 0; i < known->definition->steps_n; i++) {
        const struct fact *later = &known->facts[i];
        if (step_set_has(&known->definition->steps[step].descendants, i) && known->definition->steps[i].compensation &&
            !later->touched && !fact->touched && later->actions > later->compensations)
            violated(4, known, step, "a step was undone before one that followed it");
    }
}

static void on_effect(const struct image *after)
{
    struct known *known = known_of(&after->cells[E_SAGA].id);
    if (!known)
        sim_fail("an effect of a saga that is not there");
    int step = definition_step(known->definition, after->cells[E_STEP].text);
    sim_trace("saga %08x: effect of %s, %s", uuid_hash(&known->id), after->cells[E_STEP].text, after->cells[E_KIND].text);
    if (strcmp(after->cells[E_KIND].text, "action") == 0)
        on_action(known, step);
    else
        on_compensation(known, step);
}

static void on_inbox(const struct image *after)
{
    struct known *known = known_of(&after->cells[I_SAGA].id);
    if (!known || after->cells[I_VERDICT].null)
        return;
    struct fact *fact = &known->facts[definition_step(known->definition, after->cells[I_STEP].text)];
    if (strcmp(after->cells[I_KIND].text, "action") == 0) {
        snprintf(fact->verdict, sizeof fact->verdict, "%s", after->cells[I_VERDICT].text);
        fact->round = (int)after->cells[I_ROUND].n;
    } else if (strcmp(after->cells[I_VERDICT].text, "succeeded") == 0) {
        fact->undone = true;
    }
}

static void answer_key(const struct wire_about *about, char *out, size_t size)
{
    char id[UUID_TEXT_MAX];
    snprintf(out, size, "%s %s %s %d %d", uuid_format(&about->saga_id, id), about->step, about->kind, about->round, about->attempt);
}

struct header {
    char text[DEFINITION_NAME_MAX + 1];
};

/* Of a row's headers, without reading all of them as JSON. The values that are asked for have nothing escaped, and within another value
 * the name's quotes would be. */
static struct header header_of(const struct image *row, const char *name)
{
    struct header found = {""};
    char start[64];
    const struct cell *headers = &row->cells[O_HEADERS];
    size_t start_len = (size_t)snprintf(start, sizeof start, "\"%s\":\"", name);
    const char *at = memmem(headers->text, headers->len, start, start_len);
    if (at)
        snprintf(found.text, sizeof found.text, "%.*s", (int)strcspn(at + start_len, "\""), at + start_len);
    return found;
}

/* On the way back no action goes out any more, in a pause nothing does. */
static void on_command_row(const struct image *after)
{
    struct uuid id;
    if (strcmp(header_of(after, "ce_type").text, "saga.command") != 0)
        return; /* a child's answer */
    const struct known *known = uuid_parse(header_of(after, "saga-id").text, &id) ? known_of(&id) : NULL;
    if (!known)
        return;
    int step = definition_step(known->definition, header_of(after, "saga-step").text);
    if (known->turned && strcmp(header_of(after, "saga-kind").text, "action") == 0)
        violated(4, known, step, "an action is sent on the way back");
    if (known->paused || !known->begun)
        violated(4, known, step,
                 known->begun ? "a command is sent while the saga is paused" : "a command is sent before the saga's time has come");
}

/* A verdict on an action is on record, whoever tells it. */
static void note_verdict(const struct wire_about *about, const char *value)
{
    struct known *known = known_of(&about->saga_id);
    bool failed = strncmp(value, "{\"outcome\":\"failed\"", 19) == 0, good = strncmp(value, "{\"outcome\":\"succeeded\"", 22) == 0;
    int step = known ? definition_step(known->definition, about->step) : -1;
    if (step < 0 || strcmp(about->kind, "compensation") == 0 || (!failed && !good))
        return;
    struct fact *fact = &known->facts[step];
    fact->refused = fact->refused || failed;
    if (strcmp(about->kind, "probe") != 0)
        return;
    bool refused = strcmp(fact->verdict, "refused") == 0 || strcmp(fact->verdict, "failed") == 0;
    bool stands = good ? strcmp(fact->verdict, "succeeded") == 0
                       : (refused && fact->round >= about->round) || fact->round > about->round; /* a later one has reopened it */
    if (!stands)
        violated(5, known, step, "a probe was answered with a verdict that does not stand");
}

/* Which command a service has answered. */
static void on_reply_row(const struct image *after)
{
    char key[192];
    struct header step = header_of(after, "saga-step"), kind = header_of(after, "saga-kind");
    struct wire_about about = {.step = step.text, .kind = kind.text, .round = atoi(header_of(after, "saga-round").text),
                               .attempt = atoi(header_of(after, "saga-attempt").text)};
    if (!uuid_parse(header_of(after, "saga-id").text, &about.saga_id))
        sim_fail("a reply names no saga");
    answer_key(&about, key, sizeof key);
    if (strncmp(after->cells[O_VALUE].text, "{\"outcome\":\"accepted\"", 21) != 0) /* that is a heartbeat: the answer is to come */
        answer_of(key, true);
    note_verdict(&about, after->cells[O_VALUE].text);
}

/* ---- what the orchestrators write ---- */

static bool is_end(const struct cell *state)
{
    return strcmp(state->text, "COMPLETED") == 0 || strcmp(state->text, "COMPENSATED") == 0;
}

static void note_turning(struct known *known)
{
    if (seen.turning_n == CHANGES_MAX)
        sim_fail("the simulator has no room for the sagas that turn in one transaction");
    seen.turning[seen.turning_n++] = known;
}

/* Two sagas that hold one thing never run beside each other. */
static void check_entities(const struct known *known)
{
    if (!known->definition->entities_n)
        return;
    for (const struct known *other = known_first(); other; other = other->next_of_all) {
        if (other == known || !other->begun || other->ended || known->is_child || other->is_child) /* roots hold */
            continue;
        if (share(known, other))
            violated(4, known, -1, "two sagas hold one entity");
    }
}

/* Clocks differ a little. */
static void note_beginning(struct known *known)
{
    if (!known->begun && known->start_ms > sim_server_ms() + SKEW_MS)
        violated(4, known, -1, "a saga begins before its time has come");
    if (!known->begun)
        check_entities(known);
    known->begun = true;
}

/* Of each definition and key one lives. */
static void check_alone(const struct known *known, const struct image *after)
{
    struct cursor at = {0};
    if (after->cells[S_ABOUT].null)
        return;
    for (const struct image *other; (other = sim_committed(sim_schema(SIM_SCHEMA), T_SAGA, &at));) {
        if (!cell_equal(&other->cells[S_ID], &after->cells[S_ID]) && cell_equal(&other->cells[S_ABOUT], &after->cells[S_ABOUT]) &&
            cell_equal(&other->cells[S_DEFINITION], &after->cells[S_DEFINITION]) && !is_end(&other->cells[S_STATE]))
            violated(1, known, -1, "two sagas of a definition live with one key");
    }
}

static void note_parent(struct known *child, const struct image *after)
{
    child->is_child = true;
    known_of(&after->cells[S_PARENT].id)->has_child = true;
    child->parent = after->cells[S_PARENT].id;
    snprintf(child->parent_step, sizeof child->parent_step, "%s", after->cells[S_PARENT_STEP].text);
    sim_trace("saga %08x: is a step of %08x", uuid_hash(&child->id), uuid_hash(&child->parent));
}

/* A late reply may tell of an effect. */
static bool only_the_clock_differs(const struct image *before, const struct image *after)
{
    for (size_t i = 0; i < S_CELLS; i++) {
        if (i != S_CLOCK && !cell_equal(&before->cells[i], &after->cells[i]))
            return false;
    }
    return true;
}

/* They are the client's, and stay. */
static void check_labels(const struct known *known, const struct cell *labels)
{
    char expected[48];
    snprintf(expected, sizeof expected, CLIENT_LABELS, (size_t)known->n);
    bool wanted = !known->is_child && known->n % 2;
    if (wanted == labels->null || (wanted && strcmp(labels->text, expected) != 0))
        violated(1, known, -1, "a saga has lost its labels");
}

static void on_saga(const struct image *before, const struct image *after)
{
    if (!after)
        sim_fail("a saga was deleted");
    struct known *known = known_of(&after->cells[S_ID].id);
    if (!before) {
        const char *input = after->cells[S_INPUT].text;
        known = known_add(&after->cells[S_ID].id);
        known->seq = 1;
        known->n = atoll(input + 5);
        known->e = atoi(strstr(input, "\"e\":") + 4);
        known->f = atoi(strstr(input, "\"f\":") + 4);
        known->definition = plan_named(after->cells[S_DEFINITION].text);
        known->start_ms = after->cells[S_START].null ? 0 : after->cells[S_START].n;
        if (!after->cells[S_PARENT].null)
            note_parent(known, after);
        if (strcmp(after->cells[S_STATE].text, "SCHEDULED") != 0 && strcmp(after->cells[S_STATE].text, "QUEUED") != 0)
            note_beginning(known);
        seen.begun++;
    }
    if (known->ended && !known->is_child && !only_the_clock_differs(before, after))
        sim_fail("a saga was changed after its end");
    if (!before)
        check_alone(known, after);
    check_labels(known, &after->cells[S_LABELS]);
    known->ended = is_end(&after->cells[S_STATE]);
    if (before && strcmp(before->cells[S_STATE].text, after->cells[S_STATE].text) != 0)
        sim_trace("saga %08x: %s", uuid_hash(&known->id), after->cells[S_STATE].text);
    if (!known->turned && strcmp(after->cells[S_STATE].text, "COMPENSATING") == 0)
        note_turning(known);
    seen.has_state = true;
}

static bool tells(const char *entries, const char *event, const char *step)
{
    char text[200];
    snprintf(text, sizeof text, "\"event\":\"%s\",\"step\":\"%s\"", event, step);
    return strstr(entries, text);
}

/* What an operator did is in the history. */
static void note_touched(struct known *known, const char *entries)
{
    static const char *const acts[] = {"step_waived", "success_supplied", "failure_supplied"};
    for (size_t k = 0; k < sizeof acts / sizeof acts[0]; k++) {
        for (size_t i = 0; strstr(entries, acts[k]) && i < known->definition->steps_n; i++) {
            if (tells(entries, acts[k], step_name(known, (int)i)))
                known->facts[i].touched = true;
        }
    }
}

static void check_failures(const struct known *known, const char *entries)
{
    for (size_t i = 0; strstr(entries, "action_failed") && i < known->definition->steps_n; i++) {
        if (acts(known, (int)i) && tells(entries, "action_failed", step_name(known, (int)i)) && !known->facts[i].refused)
            violated(3, known, (int)i, "an action counts as failed that no service has refused");
    }
}

static const char *last_of(const char *text, const char *word)
{
    const char *last = NULL;
    while ((text = strstr(text, word)))
        last = text++;
    return last;
}

/* A pause counts from the next transaction on, what ends it at once. */
static void note_pause(struct known *known, const char *entries)
{
    if (strstr(entries, "saga_started"))
        note_beginning(known);
    const char *paused = last_of(entries, "saga_paused"), *resumed = last_of(entries, "saga_resumed");
    if (resumed)
        known->paused = false;
    if (!paused || resumed > paused)
        return;
    if (seen.pausing_n == CHANGES_MAX)
        sim_fail("the simulator has no room for the sagas that are paused in one transaction");
    seen.pausing[seen.pausing_n++] = known;
}

static void on_history(const struct image *after, int64_t xid)
{
    struct known *known = known_of(&after->cells[H_SAGA].id);
    int64_t seq = after->cells[H_SEQ].n;
    seen.has_history = true;
    if (known && seq != known->seq + 1)
        violated(7, known, -1, "the history has a gap");
    if (!known && seq != 1)
        sim_fail("invariant 7 is violated: a history of no saga");
    seen.histories_begun += !known;
    if (known) {
        known->seq = seq;
        known->seq_xid = xid;
        note_touched(known, after->cells[H_ENTRIES].text);
        check_failures(known, after->cells[H_ENTRIES].text);
        note_pause(known, after->cells[H_ENTRIES].text);
    }
}

static bool is_state(const struct image *step, const char *state)
{
    return step && strcmp(step->cells[P_STATE].text, state) == 0;
}

/* What is skipped while nobody knows whether it happened must not happen any more. */
static void on_waived(struct known *known, int step, const struct image *before)
{
    if (is_state(before, "UNKNOWN") && known->definition->steps[step].compensation)
        violated(6, known, step, "a step of unknown outcome was skipped without a fence");
    if (!is_state(before, "COMPENSATION_FAILED") && known->definition->steps[step].compensation)
        known->facts[step].undone = true;
}

static void on_skipped(struct known *known, int step)
{
    if (plan_wants(known->definition, step, known->n))
        violated(2, known, step, "a step was skipped though its condition holds");
    known->facts[step].skipped = true;
}

static void on_step(const struct image *before, const struct image *after, int64_t xid)
{
    struct known *known = known_of(&after->cells[P_SAGA].id);
    if (known && known->definition->steps[after->cells[P_POSITION].n].kind != STEP_CALLS)
        sim_trace("saga %08x: %s %s", uuid_hash(&known->id), step_name(known, (int)after->cells[P_POSITION].n), after->cells[P_STATE].text);
    if (known && is_state(after, "SKIPPED"))
        on_skipped(known, (int)after->cells[P_POSITION].n);
    if (known && is_state(after, "WAIVED") && !is_state(before, "WAIVED"))
        on_waived(known, (int)after->cells[P_POSITION].n, before);
    if (known && known->seq_xid != xid && known->seq > 1)
        violated(7, known, (int)after->cells[P_POSITION].n, "a step was changed without history");
    seen.has_state = true;
}

static void on_outbox(const struct image *before, const struct image *after)
{
    if (after)
        return;
    struct sent *sent = message_of(&before->cells[O_ID].id);
    if (seen.deleted_n == CHANGES_MAX)
        sim_fail("the simulator has no room for the deletions of one transaction");
    seen.deleted[seen.deleted_n++] = sent;
}

/* History first: the others ask for it. */
static void on_row(struct schema *schema, enum table_name table, const struct image *before, const struct image *after, int64_t xid)
{
    bool orchestrator = strcmp(schema->name, SIM_SCHEMA) == 0;
    switch (table) {
    case T_HISTORY: on_history(after, xid); break;
    case T_SAGA: on_saga(before, after); break;
    case T_STEP: on_step(before, after, xid); break;
    case T_EFFECT: on_effect(after); break;
    case T_INBOX:
        if (after) {
            on_inbox(after);
            clocks_recorded(schema, before, after, xid);
        }
        break;
    case T_OUTBOX:
        on_outbox(before, after);
        if (after && !before)
            orchestrator ? on_command_row(after) : on_reply_row(after);
        break;
    default: break;
    }
}

/* Rows that left the outbox in this transaction were acknowledged by the broker, or withdrawn together with the change of their
 * saga. */
static void on_end(void)
{
    for (size_t i = 0; i < seen.deleted_n; i++) {
        struct sent *sent = seen.deleted[i];
        if (sent->appended && seen.has_history)
            sim_fail("a command was withdrawn after it had been sent");
        if (sent->appended)
            continue;
        if (!seen.has_history)
            violated(8, NULL, -1, "a row left the outbox before the broker had its message");
        sent->withdrawn = true;
    }
    if (seen.has_state && !seen.has_history)
        violated(7, NULL, -1, "a state was changed without history");
    if (seen.begun != seen.histories_begun)
        violated(7, NULL, -1, "a saga without history, or a history without saga");
    for (size_t i = 0; i < seen.turning_n; i++)
        seen.turning[i]->turned = true;
    for (size_t i = 0; i < seen.pausing_n; i++)
        seen.pausing[i]->paused = true;
    seen.turning_n = seen.pausing_n = 0;
    seen.deleted_n = 0;
    seen.begun = seen.histories_begun = 0;
    seen.has_history = seen.has_state = false;
}

/* ---- what goes over the broker ---- */

static bool header_id(const struct wire_message *message, const char *name, struct uuid *id)
{
    struct arena arena = {0};
    const char *text = wire_header(&arena, message, name);
    bool ok = text && uuid_parse(text, id);
    arena_free(&arena);
    return ok;
}

static void trace_append(const struct kafka_record *record, const struct wire_message *message)
{
    struct arena arena = {0};
    struct uuid saga = {0};
    const char *names[] = {"saga-step", "saga-kind", "saga-round", "saga-attempt"}, *texts[4];
    for (size_t i = 0; i < 4; i++) {
        texts[i] = wire_header(&arena, message, names[i]);
        texts[i] = texts[i] ? texts[i] : "-";
    }
    header_id(message, "saga-id", &saga);
    bool reply = strcmp(message->topic, "saga.reply") == 0;
    sim_trace("saga %08x: %s/%d@%lld %s %s %s.%s%s%.100s", uuid_hash(&saga), message->topic, kafka_record_partition(record),
              (long long)kafka_record_offset(record), texts[0], texts[1], texts[2], texts[3], reply ? " " : "",
              reply && message->value ? message->value : "");
    arena_free(&arena);
}

static void on_append(const struct kafka_record *record)
{
    struct wire_message message;
    struct uuid id;
    kafka_record_message(record, &message);
    if (strcmp(message.topic, "saga.dead") == 0)
        sim_fail("invariant 10 is violated: a dead letter, though nothing bad was sent: %.200s", message.value ? message.value : "");
    if (!header_id(&message, "ce_id", &id))
        sim_fail("a message without id");
    trace_append(record, &message);
    struct sent *sent = message_of(&id);
    sent->appended = true;
    if (sent->withdrawn)
        sim_fail("a command was sent after it had been withdrawn");
}

static char *keep(struct arena *arena, const struct cell *cell)
{
    return cell->null ? NULL : arena_strndup(arena, cell->text, cell->len);
}

/* The saga as it is committed. */
static struct saga *committed_saga(struct arena *arena, const struct known *known)
{
    struct session session = {.schema = sim_schema(SIM_SCHEMA)};
    struct cell id = cell_id(&known->id);
    const struct row *row = row_find(&session, T_SAGA, &id, 1);
    const struct image *image = row_seen(&session, row);
    struct saga *saga = arena_alloc(arena, sizeof *saga);
    *saga = (struct saga){.id = known->id, .definition = known->definition, .cancelled = image->cells[S_CANCELLED].n,
                          .parent_step = keep(arena, &image->cells[S_PARENT_STEP]), .parent_round = (int)image->cells[S_PARENT_ROUND].n,
                          .clock = keep(arena, &image->cells[S_CLOCK]),
                          .paused = image->cells[S_PAUSED].n, .start_ms = image->cells[S_START].n,
                          .created_ms = image->cells[S_CREATED].n, .ended_ms = image->cells[S_ENDED].n,
                          .deadline_ms = image->cells[S_DEADLINE].n, .wake_ms = image->cells[S_WAKE].n};
    saga->input = keep(arena, &image->cells[S_INPUT]);
    saga->input_len = image->cells[S_INPUT].len;
    (void)!saga_state_parse(image->cells[S_STATE].text, &saga->state);
    (void)!parent_order_parse(keep(arena, &image->cells[S_ORDER]), &saga->order);
    saga->steps = arena_array(arena, known->definition->steps_n, sizeof *saga->steps);
    for (struct row *at = NULL; (at = row_next(&session, T_STEP, &id, at));) {
        const struct image *cells = row_seen(&session, at);
        if (!cells || !cell_equal(&cells->cells[P_SAGA], &id))
            continue;
        struct saga_step *step = &saga->steps[cells->cells[P_POSITION].n];
        (void)!step_state_parse(cells->cells[P_STATE].text, &step->state);
        step->round = (int)cells->cells[P_ROUND].n;
        step->attempt = (int)cells->cells[P_ATTEMPT].n;
        step->paused = cells->cells[P_PAUSED].n;
        step->due_ms = cells->cells[P_DUE].n;
        step->command_id = cells->cells[P_COMMAND].id;
        step->output = keep(arena, &cells->cells[P_OUTPUT]);
        step->output_len = cells->cells[P_OUTPUT].len;
        step->error = keep(arena, &cells->cells[P_ERROR]);
        step->waived = cells->cells[P_WAIVED].n;
        step->probing = cells->cells[P_PROBING].n;
        step->stored = true;
    }
    return saga;
}

static struct uuid some_id(void)
{
    return (struct uuid){{1}};
}

/* A reply whose offset is let go must be in its saga: told once more, it must change nothing. */
static void check_folded(const struct wire_message *message)
{
    struct arena arena = {0};
    struct wire_reply reply;
    struct err err;
    if (!wire_reply_read(&arena, message, &reply, &err))
        sim_fail("a reply that cannot be read: %s", err.text);
    struct known *known = known_of(&reply.about.saga_id);
    struct event event = {.type = EVENT_REPLY, .round = reply.about.round, .attempt = reply.about.attempt, .output = reply.output,
                          .output_len = reply.output_len, .error = reply.error, .retry_after_ms = reply.retry_after_ms, .clock = reply.clock};
    (void)!command_kind_parse(reply.about.kind, &event.kind);
    (void)!outcome_parse(reply.outcome, &event.outcome);
    struct effects effects = {.arena = &arena, .new_id = some_id};
    struct saga *saga = committed_saga(&arena, known);
    event.step = definition_step(known->definition, reply.about.step);
    enum step_state before = saga->steps[event.step].state;
    bool paused = saga->steps[event.step].paused;
    const char *clock = saga->clock;
    if (event.outcome != OUTCOME_ACCEPTED)
        machine_apply(saga, &event, sim_server_ms(), &effects);
    if (saga->steps[event.step].state != before || saga->steps[event.step].paused != paused || saga->clock != clock)
        violated(7, known, event.step, "an offset was let go before its reply was in the database");
    saga_release(saga);
    arena_free(&arena);
}

static void check_answered(const struct wire_message *message)
{
    struct arena arena = {0};
    struct wire_command command;
    struct err err;
    char key[192];
    if (!wire_command_read(&arena, message, &command, &err))
        sim_fail("a command that cannot be read: %s", err.text);
    answer_key(&command.about, key, sizeof key);
    if (!answer_of(key, false))
        violated(7, known_of(&command.about.saga_id), -1, "an offset was let go before its command was answered");
    arena_free(&arena);
}

static bool is_command(const struct wire_message *message)
{
    struct arena arena = {0};
    const char *type = wire_header(&arena, message, "ce_type");
    bool command = type && strcmp(type, "saga.command") == 0;
    arena_free(&arena);
    return command;
}

/* An order whose offset is let go has made its child, or found it. */
static void check_carried_out(const struct wire_message *message)
{
    struct arena arena = {0};
    struct wire_command command;
    struct err err;
    if (!wire_command_read(&arena, message, &command, &err))
        sim_fail("an order that cannot be read: %s", err.text);
    struct uuid id = child_id(&command.about.saga_id, command.about.step, 1);
    if (!known_of(&id))
        violated(1, known_of(&command.about.saga_id), -1, "an order was let go before its child was in the database");
    arena_free(&arena);
}

static void on_done(const char *group, const struct kafka_record *record)
{
    struct wire_message message;
    kafka_record_message(record, &message);
    if (strcmp(group, "saga.orchestrator") == 0 && is_command(&message))
        check_carried_out(&message);
    else if (strcmp(group, "saga.orchestrator") == 0)
        check_folded(&message);
    else
        check_answered(&message);
}

void watch_start(void)
{
    sim_on_commit(on_row, on_end);
    sim_on_broker(on_append, on_done);
}
