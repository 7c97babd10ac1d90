/* Until COMMIT nothing has happened: a crash leaves the events where they came from. After it they may come once more,
 * and the machine finds that they no longer apply. */
#include "apply.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/mem.h"
#include "children.h"
#include "entities.h"
#include "live.h"
#include "saga_log.h"
#include "tally.h"

#define STALE_TRIES 5

void applier_open(struct applier *applier, struct engine *engine, const char *name)
{
    *applier = (struct applier){.engine = engine,
                                .pg = pg_new(engine->config.database_url, engine->config.schema, name, PG_HOT),
                                .catalog = catalog_new()};
}

void applier_close(struct applier *applier)
{
    pg_free(applier->pg);
    catalog_free(applier->catalog);
    arena_free(&applier->arena);
}

bool applier_begin(struct applier *applier, struct err *err)
{
    if (!pg_connect(applier->pg, err))
        return false;
    if (applier->connects == pg_connects(applier->pg))
        return true;
    uint64_t connects = pg_connects(applier->pg);
    if (!store_server(applier->pg, &applier->server, err))
        return false;
    live_serve(applier->engine->live, applier->server);
    applier->connects = connects;
    return true;
}

/* ---- from commands to outbox rows ---- */

struct store_message *outgoing_new(struct arena *arena, const struct uuid *id, const struct wire_message *message)
{
    struct buf headers = buf_new(WIRE_HEADERS_TEXT_MAX);
    struct outgoing *outgoing = arena_alloc(arena, sizeof *outgoing);
    wire_headers_text(&headers, message);
    outgoing->message = *message;
    outgoing->row = (struct store_message){.id = *id,
                                           .topic = message->topic,
                                           .key = message->key,
                                           .headers = arena_strdup(arena, buf_text(&headers)),
                                           .value = message->value,
                                           .value_len = message->value_len};
    buf_free(&headers);
    return &outgoing->row;
}

static struct store_message *command_message(struct engine *engine, struct arena *arena, const struct saga *saga,
                                             const struct command *command, int64_t now_ms)
{
    char topic[WIRE_TOPIC_MAX];
    const struct step_definition *step = &saga->definition->steps[command->step];
    struct wire_command wire = {
        .id = command->id,
        .about = {STORE_NAMESPACE, saga->id, step->name, command_kind_name(command->kind), command->round, command->attempt},
        .action = command->kind == KIND_COMPENSATION ? step->compensation : step->action,
        .deadline_ms = command->deadline_ms,
        .source = engine->config.prefix,
        .traceparent = wire_traceparent(saga->traceparent, &saga->id, &command->id, arena_alloc(arena, WIRE_TRACEPARENT_MAX)),
        .value = command->value,
        .value_len = command->value_len,
        .clock = command->clock};
    struct wire_message message;
    wire_command_message(arena, &wire, now_ms, &message);
    message.topic = step->child ? engine->reply_topic : arena_strdup(arena, wire_command_topic(engine->config.prefix, step->service, topic));
    return outgoing_new(arena, &command->id, &message);
}

struct store_message *command_messages(struct engine *engine, struct arena *arena, const struct saga *saga,
                                       const struct command *commands, int64_t now_ms)
{
    struct store_message *first = NULL, **tail = &first;
    for (const struct command *command = commands; command; command = command->next) {
        *tail = command_message(engine, arena, saga, command, now_ms);
        tail = &(*tail)->next;
    }
    return first;
}

static void hand_over(struct engine *engine, const struct store_change *change, int64_t begun_ms)
{
    for (const struct store_message *row = change->messages; row; row = row->next) {
        const struct outgoing *outgoing = (const struct outgoing *)row;
        relay_hand_over(engine->relay, &row->id, row->tid, &outgoing->message, begun_ms);
    }
}

bool save_changes(struct applier *applier, struct store_change *changes, size_t n, int64_t begun_ms, bool begun,
                  struct err *err)
{
    struct engine *engine = applier->engine;
    struct store_terms terms = {.lease_ms = engine->relay ? RELAY_LEASE_MS : 0, .begun = begun};
    entities_release(applier, changes, n);
    if (!store_save(applier->pg, changes, n, &terms, err))
        return false;
    if (terms.woke)
        timers_hint(engine, clock_real_ms());
    fault_point("engine.before_hand_over");
    for (size_t i = 0; i < n; i++) { /* before the reply can come */
        if (engine->config.with_engine)
            live_put(engine->live, applier->server, changes[i].saga);
        if (engine->relay)
            hand_over(engine, &changes[i], begun_ms);
        watches_changed(engine, changes[i].saga);
        saga_log(changes[i].saga, changes[i].history);
        tally_saga(engine->tally, changes[i].saga, changes[i].history);
        if (changes[i].saga->wake_ms)
            timers_hint(engine, changes[i].saga->wake_ms);
    }
    return true;
}

/* ---- from happenings to sagas ---- */

static int by_saga_then_order(const void *a, const void *b)
{
    const struct happening *const *x = a, *const *y = b;
    int order = uuid_compare(&(*x)->saga_id, &(*y)->saga_id);
    return order ? order : (*x > *y) - (*x < *y);
}

/* Pointers to the happenings, those of one saga side by side in their order, and the sagas' ids. */
static struct happening **sort_by_saga(struct arena *arena, struct happening *happenings, size_t n, struct uuid *ids,
                                       size_t *ids_n)
{
    struct happening **sorted = arena_array(arena, n, sizeof(struct happening *));
    for (size_t i = 0; i < n; i++)
        sorted[i] = &happenings[i];
    qsort(sorted, n, sizeof(struct happening *), by_saga_then_order);
    *ids_n = 0;
    for (size_t i = 0; i < n; i++) {
        if (!*ids_n || !uuid_equal(&ids[*ids_n - 1], &sorted[i]->saga_id))
            ids[(*ids_n)++] = sorted[i]->saga_id;
    }
    return sorted;
}

/* The sagas of a batch: those that were at hand, and those that had to be loaded. */
struct sagas {
    const struct uuid *ids; /* sorted */
    struct saga **of;       /* by id; NULL: there is none */
    bool *fresh;            /* by id: it is a child that is made now */
    struct live_saga **taken; /* by id */
    struct saga *loaded;
    size_t n, loaded_n;
};

static struct saga *find_saga(const struct sagas *sagas, const struct uuid *id)
{
    size_t low = 0, high = sagas->n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (uuid_compare(&sagas->ids[middle], id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < sagas->n && uuid_equal(&sagas->ids[low], id) ? sagas->of[low] : NULL;
}

static bool take_live(struct applier *applier, struct sagas *sagas, struct err *err)
{
    live_take(applier->engine->live, applier->server, sagas->ids, sagas->n, sagas->taken);
    for (size_t i = 0; i < sagas->n; i++) {
        struct live_saga *live = sagas->taken[i];
        if (!live)
            continue;
        live->saga.definition = catalog_get(applier->catalog, applier->pg, live->definition, live->definition_version, err);
        if (!live->saga.definition)
            return false;
        sagas->of[i] = &live->saga;
    }
    return true;
}

/* Reads the others; both lists are in the order of the ids. */
static bool load_missing(struct applier *applier, struct sagas *sagas, struct err *err)
{
    struct uuid *ids = arena_array(&applier->arena, sagas->n, sizeof *ids);
    size_t missing = 0, at = 0;
    for (size_t i = 0; i < sagas->n; i++) {
        if (!sagas->of[i])
            ids[missing++] = sagas->ids[i];
    }
    if (missing && !store_load(applier->pg, &applier->arena, applier->catalog, ids, missing, &sagas->loaded,
                               &sagas->loaded_n, err))
        return false;
    for (size_t i = 0; i < sagas->n && at < sagas->loaded_n; i++) {
        if (uuid_equal(&sagas->ids[i], &sagas->loaded[at].id))
            sagas->of[i] = &sagas->loaded[at++];
    }
    return true;
}

static bool get_sagas(struct applier *applier, const struct uuid *ids, size_t n, struct sagas *sagas, struct err *err)
{
    *sagas = (struct sagas){.ids = ids, .n = n};
    sagas->of = arena_array(&applier->arena, n, sizeof(struct saga *));
    sagas->fresh = arena_array(&applier->arena, n, sizeof *sagas->fresh);
    sagas->taken = arena_array(&applier->arena, n, sizeof(struct live_saga *));
    return take_live(applier, sagas, err) && load_missing(applier, sagas, err);
}

static void drop_sagas(struct sagas *sagas)
{
    for (size_t i = 0; i < sagas->n; i++)
        live_drop(sagas->taken[i]);
    for (size_t i = 0; i < sagas->loaded_n; i++)
        saga_release(&sagas->loaded[i]);
    for (size_t i = 0; i < sagas->n && sagas->fresh; i++) {
        if (sagas->fresh[i])
            saga_release(sagas->of[i]);
    }
}

/* Children that are ordered and not there are made; happenings are in the order of the ids. */
static bool make_children(struct applier *applier, struct happening **sorted, size_t n, struct sagas *sagas, struct err *err)
{
    for (size_t i = 0, at = 0; i < n; i++) {
        while (!uuid_equal(&sagas->ids[at], &sorted[i]->saga_id))
            at++;
        if (sagas->of[at] && child_is_outdated(sagas->of[at], sorted[i]))
            return err_set_code(err, ERR_RETRY, STORE_STALE, "another generation of the child has taken its place");
        if (sagas->of[at] || !sorted[i]->order)
            continue;
        sagas->of[at] = child_new(applier, &sagas->ids[at], sorted[i]->order, err); /* by the first order, as first_order() has it */
        if (!sagas->of[at])
            return false;
        sagas->fresh[at] = true;
    }
    return true;
}

static void resolve_signal(struct happening *happening, const struct saga *saga)
{
    happening->event.step = machine_signalled(saga, happening->signal);
    if (happening->event.step < 0)
        happening->refusal = "no step of the saga waits for this signal, or it has come already";
}

/* Whether the happening can concern this saga at all; finds its step. */
static bool resolve(struct happening *happening, const struct saga *saga)
{
    happening->refusal = NULL;
    happening->found = saga != NULL;
    if (!saga) {
        happening->refusal = "there is no such saga";
        return false;
    }
    if (happening->step_name)
        happening->event.step = definition_step(saga->definition, happening->step_name);
    if (happening->signal) /* this may be another try */
        happening->event.step = 0;
    if (happening->event.step < 0)
        happening->refusal = "the saga has no such step";
    else
        happening->refusal = machine_refusal(saga, &happening->event);
    if (!happening->refusal && happening->signal)
        resolve_signal(happening, saga);
    return !happening->refusal;
}

/* For the timers among the happenings: what became of commands that are overdue but have not left the outbox. */
struct unreleased {
    struct uuid *saga_ids;
    int *steps;
    bool *waits;     /* it still stands there */
    bool *withdrawn; /* it was taken back just now */
    size_t n;
    bool begun; /* in a transaction that is open */
};

/* Takes back, in the transaction that will write what becomes of it, the waiting commands of sagas that have turned. */
static bool withdraw(struct applier *applier, const struct sagas *sagas, struct unreleased *all, struct err *err)
{
    struct uuid *ids = arena_array(&applier->arena, all->n, sizeof *ids);
    int *steps = arena_array(&applier->arena, all->n, sizeof *steps);
    size_t *index = arena_array(&applier->arena, all->n, sizeof *index), n = 0;
    bool *done = arena_array(&applier->arena, all->n, sizeof *done);
    for (size_t i = 0; i < all->n; i++) {
        if (!all->waits[i] || !machine_withdraws(find_saga(sagas, &all->saga_ids[i]), all->steps[i]))
            continue;
        ids[n] = all->saga_ids[i];
        steps[n] = all->steps[i];
        index[n++] = i;
    }
    all->begun = n > 0;
    if (n && !store_withdraw(applier->pg, ids, steps, n, done, err))
        return false;
    for (size_t k = 0; k < n; k++)
        all->withdrawn[index[k]] = done[k];
    return true;
}

static bool find_unreleased(struct applier *applier, struct happening **sorted, size_t n, const struct sagas *sagas,
                            int64_t now_ms, struct unreleased *out, struct err *err)
{
    struct arena *arena = &applier->arena;
    size_t max = n * DEFINITION_STEPS_MAX;
    *out = (struct unreleased){0};
    for (size_t i = 0; i < n; i++) {
        struct saga *saga = sorted[i]->event.type == EVENT_TIMER ? find_saga(sagas, &sorted[i]->saga_id) : NULL;
        int steps[DEFINITION_STEPS_MAX];
        size_t steps_n = saga ? machine_overdue(saga, now_ms, steps) : 0;
        if (steps_n && !out->saga_ids) {
            out->saga_ids = arena_array(arena, max, sizeof *out->saga_ids);
            out->steps = arena_array(arena, max, sizeof *out->steps);
        }
        for (size_t k = 0; k < steps_n; k++, out->n++) {
            out->saga_ids[out->n] = saga->id;
            out->steps[out->n] = steps[k];
        }
    }
    if (!out->n)
        return true;
    out->waits = arena_array(arena, out->n, sizeof *out->waits);
    out->withdrawn = arena_array(arena, out->n, sizeof *out->withdrawn);
    return store_unreleased(applier->pg, out->saga_ids, out->steps, out->n, out->waits, err) &&
           withdraw(applier, sagas, out, err);
}

static void apply_unreleased(struct saga *saga, const struct unreleased *all, int64_t now_ms, struct effects *effects)
{
    for (size_t i = 0; i < all->n; i++) {
        if (!all->waits[i] || !uuid_equal(&all->saga_ids[i], &saga->id))
            continue;
        const struct saga_step *step = &saga->steps[all->steps[i]];
        struct event event = {.type = all->withdrawn[i] ? EVENT_WITHDRAWN : EVENT_UNRELEASED, .step = all->steps[i], .kind = machine_kind(step),
                              .round = step->round, .attempt = step->attempt};
        machine_apply(saga, &event, now_ms, effects);
    }
}

/* The order that makes a child comes before whatever else is there for it, and is carried out by its start. */
static const struct happening *first_order(struct happening **sorted, size_t first, size_t end)
{
    while (first < end && !sorted[first]->order)
        first++;
    return first < end ? sorted[first] : NULL;
}

/* Folds the happenings [first, end) of one saga into one change. */
static void fold(struct applier *applier, struct happening **sorted, size_t first, size_t end, struct saga *saga, bool fresh,
                 const struct unreleased *unreleased, bool has_entities, int64_t now_ms, struct effects *effects)
{
    *effects = (struct effects){.arena = &applier->arena, .new_id = uuid_v7};
    const struct happening *maker = fresh ? first_order(sorted, first, end) : NULL;
    if (maker)
        machine_apply(saga, &(struct event){.type = EVENT_START, .error = child_lateness(maker->order, now_ms), .clock = maker->event.clock}, now_ms, effects);
    for (size_t i = first; i < end; i++) {
        if (!resolve(sorted[i], saga) || sorted[i] == maker)
            continue;
        if (sorted[i]->event.type == EVENT_TIMER)
            apply_unreleased(saga, unreleased, now_ms, effects);
        struct event event = sorted[i]->event;
        event.has_entities = has_entities;
        machine_apply(saga, &event, now_ms, effects);
    }
}

/* No version was checked, since nothing was written. */
static void note_unsure(struct happening **sorted, size_t first, size_t end, bool unsure)
{
    for (size_t i = first; i < end; i++)
        sorted[i]->unsure = unsure;
}

static size_t end_of_saga(struct happening **sorted, size_t first, size_t n)
{
    size_t end = first + 1;
    while (end < n && uuid_equal(&sorted[end]->saga_id, &sorted[first]->saga_id))
        end++;
    return end;
}

/* Asks for the entities of those sagas that may begin now; which of them has its own comes back in turns, by saga. */
static bool take_turns(struct applier *applier, struct happening **sorted, size_t n, const struct sagas *sagas, int64_t now_ms,
                       struct turn *turns, bool *begun, struct err *err)
{
    for (size_t first = 0, end, at = 0; first < n; first = end, at++) {
        end = end_of_saga(sorted, first, n);
        turns[at] = (struct turn){.saga = sagas->of[at]};
        bool paused = false; /* then it will not begin */
        for (size_t i = first; i < end && turns[at].saga; i++) {
            paused = paused || sorted[i]->event.type == EVENT_PAUSE;
            turns[at].wants = turns[at].wants || machine_wants_entities(turns[at].saga, sorted[i]->event.type, now_ms);
        }
        turns[at].wants = turns[at].wants && !paused;
    }
    return entities_take(applier, turns, sagas->n, begun, err);
}

static bool apply_to_sagas(struct applier *applier, struct happening **sorted, size_t n, const struct sagas *sagas,
                           int64_t begun_ms, struct err *err)
{
    struct engine *engine = applier->engine;
    struct arena *arena = &applier->arena;
    int64_t now_ms = clock_real_ms();
    struct unreleased unreleased;
    struct turn *turns = arena_array(arena, n, sizeof *turns);
    if (!find_unreleased(applier, sorted, n, sagas, now_ms, &unreleased, err) ||
        !take_turns(applier, sorted, n, sagas, now_ms, turns, &unreleased.begun, err))
        return false;
    struct store_change *changes = arena_array(arena, n, sizeof *changes);
    bool *notices = arena_array(arena, n, sizeof *notices);
    size_t changes_n = 0;
    for (size_t first = 0, end, at = 0; first < n; first = end, at++) { /* the groups are in the order of the ids */
        struct saga *saga = sagas->of[at];
        struct effects effects;
        end = end_of_saga(sorted, first, n);
        fold(applier, sorted, first, end, saga, sagas->fresh[at], &unreleased, turns[at].has, now_ms, &effects);
        note_unsure(sorted, first, end, !effects.changed && sagas->taken[at]);
        if (!effects.changed)
            continue;
        notices[changes_n] = effects.notice;
        changes[changes_n] = (struct store_change){
            .saga = saga, .is_new = sagas->fresh[at], .history = effects.history, .touches = effects.touches,
            .messages = command_messages(engine, arena, saga, effects.commands, now_ms)};
        struct store_message *answer = child_answer(engine, arena, saga, &effects, now_ms);
        if (answer) {
            answer->next = changes[changes_n].messages;
            changes[changes_n].messages = answer;
        }
        changes_n++;
    }
    fault_point("engine.before_commit");
    if (!save_changes(applier, changes, changes_n, begun_ms, unreleased.begun, err))
        return false;
    fault_point("engine.after_commit");
    for (size_t i = 0; i < changes_n; i++) {
        if (notices[i])
            watches_tell(engine, &changes[i].saga->id, changes[i].saga);
    }
    return true;
}

static bool get_and_apply(struct applier *applier, struct happening *happenings, size_t n, struct err *err)
{
    struct arena *arena = &applier->arena;
    arena_reset(arena);
    if (!applier_begin(applier, err))
        return false;
    struct uuid *ids = arena_array(arena, n, sizeof *ids);
    size_t ids_n;
    struct sagas sagas;
    int64_t begun_ms = clock_mono_ms();
    struct happening **sorted = sort_by_saga(arena, happenings, n, ids, &ids_n);
    bool ok = get_sagas(applier, ids, ids_n, &sagas, err) && make_children(applier, sorted, n, &sagas, err) &&
              apply_to_sagas(applier, sorted, n, &sagas, begun_ms, err);
    drop_sagas(&sagas);
    return ok;
}

static bool apply_until_current(struct applier *applier, struct happening *happenings, size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++)
        happenings[i].unsure = false;
    for (int tries = 1;; tries++) {
        if (!children_find(applier, happenings, n, err))
            return false;
        if (get_and_apply(applier, happenings, n, err))
            return true;
        if (!store_is_stale(err) || tries == STALE_TRIES)
            return false;
    }
}

/* Sagas that were remembered and that nothing changed: now they are not remembered any more, and are read. */
static bool apply_unsure(struct applier *applier, struct happening *happenings, size_t n, struct err *err)
{
    size_t unsure = 0, again_n = 0;
    for (size_t i = 0; i < n; i++)
        unsure += happenings[i].unsure;
    if (!unsure)
        return true;
    struct happening *again = mem_array(unsure, sizeof *again);
    size_t *index = mem_array(unsure, sizeof *index);
    for (size_t i = 0; i < n; i++) {
        if (!happenings[i].unsure)
            continue;
        again[again_n] = happenings[i];
        index[again_n++] = i;
    }
    bool ok = apply_until_current(applier, again, again_n, err);
    for (size_t i = 0; i < again_n; i++)
        happenings[index[i]] = again[i];
    free(again);
    free(index);
    return ok;
}

bool apply_happenings(struct applier *applier, struct happening *happenings, size_t n, struct err *err)
{
    return apply_until_current(applier, happenings, n, err) && apply_unsure(applier, happenings, n, err);
}
