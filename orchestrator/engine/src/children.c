#include "children.h"

#include <string.h>

#include "base/json.h"

/* ---- what comes ---- */

/* A compensation's value wraps the action's, which says what is to run. */
static bool read_value(struct arena *arena, const json_t *value, struct child_order *order, struct err *err)
{
    const json_t *what = order->kind == KIND_COMPENSATION ? json_object_get(value, "input") : value;
    const char *definition = json_string_value(json_object_get(what, "definition"));
    const json_t *version = json_object_get(what, "version"), *input = json_object_get(what, "input");
    if (!definition || !json_is_integer(version) || json_integer_value(version) < 1 || json_integer_value(version) > DEFINITION_VERSION_MAX || !input)
        return err_set(err, ERR_REFUSED, "the value does not say which saga is meant");
    struct buf text = buf_new(VALUE_MAX_BYTES);
    json_write(&text, input);
    bool fits = !text.failed;
    order->definition = arena_strdup(arena, definition);
    order->version = (int)json_integer_value(version);
    order->input = fits ? arena_strndup(arena, text.data, text.len) : NULL;
    order->input_len = text.len;
    buf_free(&text);
    return fits || err_set(err, ERR_REFUSED, "the saga's input is larger than %u bytes", VALUE_MAX_BYTES);
}

bool child_read(struct arena *arena, const struct wire_message *message, struct happening *out, struct err *err)
{
    struct wire_command command;
    if (!wire_command_read(arena, message, &command, err))
        return false;
    struct child_order *order = arena_alloc(arena, sizeof *order);
    *order = (struct child_order){.parent_id = command.about.saga_id, .step = command.about.step, .round = command.about.round,
                                  .traceparent = command.traceparent && wire_traceparent_valid(command.traceparent) ? command.traceparent : NULL};
    order->deadline_ms = command.deadline_ms;
    if (!command_kind_parse(command.about.kind, &order->kind) || order->kind == KIND_PROBE)
        return err_set(err, ERR_REFUSED, "a saga is started or undone, not probed");
    if (strcmp(command.action, order->kind == KIND_ACTION ? "start" : "undo") != 0)
        return err_set(err, ERR_REFUSED, "header saga-action is neither start nor undo, as the kind would have it");
    if (strcmp(command.about.namespace_, STORE_NAMESPACE) != 0)
        return err_set(err, ERR_REFUSED, "header saga-namespace names another");
    json_t *value = json_read(command.value, command.value_len, err); /* was checked when the command was read */
    bool ok = value && read_value(arena, value, order, err);
    json_decref(value);
    *out = (struct happening){.saga_id = child_id(&order->parent_id, order->step, 1), .order = order, .generation = 1};
    out->event = (struct event){.type = EVENT_ORDER, .kind = order->kind, .round = order->round, .attempt = command.about.attempt, .clock = command.clock};
    return ok;
}

/* ---- generations ---- */

static bool supersede(struct applier *applier, const struct uuid *id, struct err *err)
{
    struct happening happening = {.saga_id = *id, .event = {.type = EVENT_SUPERSEDE}};
    return apply_happenings(applier, &happening, 1, err);
}

/* The first that has not been superseded. One that failed in an earlier round is, if it is to be started once more: whoever
 * undoes it at the same time changes it too, and only one of the two does. */
static bool find_generation(struct applier *applier, struct happening *happening, struct err *err)
{
    const struct child_order *order = happening->order;
    for (int generation = 1; generation <= order->round; generation++) {
        struct store_generation found;
        happening->saga_id = child_id(&order->parent_id, order->step, generation);
        happening->generation = generation;
        if (!store_find_generations(applier->pg, &happening->saga_id, 1, &found, err))
            return false;
        bool again = order->kind == KIND_ACTION && found.found && found.state == SAGA_COMPENSATED && found.order == ORDER_START &&
                     found.round < order->round;
        if (again) {
            if (!supersede(applier, &happening->saga_id, err))
                return false;
            generation--; /* look again: it may have been undone meanwhile */
        } else if (!found.found || found.order != ORDER_SUPERSEDED) {
            return true;
        }
    }
    return true;
}

bool children_find(struct applier *applier, struct happening *happenings, size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        if (happenings[i].order && happenings[i].order->round > 1 && !find_generation(applier, &happenings[i], err))
            return false;
    }
    return true;
}

bool child_is_outdated(const struct saga *saga, const struct happening *happening)
{
    return happening->order && saga->order == ORDER_SUPERSEDED && happening->generation < happening->order->round;
}

/* ---- what becomes of it ---- */

const char *child_lateness(const struct child_order *order, int64_t now_ms)
{
    if (order->kind != KIND_ACTION || !order->deadline_ms || order->deadline_ms >= now_ms)
        return NULL;
    return "{\"code\":\"deadline_passed\",\"message\":\"the command came after the saga's deadline\"}";
}

struct saga *child_new(struct applier *applier, const struct uuid *id, const struct child_order *order, struct err *err)
{
    const struct definition *definition = catalog_get(applier->catalog, applier->pg, order->definition, order->version, err);
    if (!definition)
        return NULL;
    struct saga *saga = arena_alloc(&applier->arena, sizeof *saga);
    *saga = (struct saga){.id = *id,
                          .definition = definition,
                          .order = order->kind == KIND_ACTION ? ORDER_START : ORDER_UNDO,
                          .parent_id = order->parent_id,
                          .parent_step = order->step,
                          .parent_round = order->round,
                          .traceparent = order->traceparent,
                          .input = order->input,
                          .input_len = order->input_len};
    saga->steps = arena_array(&applier->arena, definition->steps_n, sizeof *saga->steps);
    return saga;
}

struct store_message *child_answer(struct engine *engine, struct arena *arena, const struct saga *saga, const struct effects *effects,
                                   int64_t now_ms)
{
    struct uuid id = uuid_v7();
    if (!effects->answer.given)
        return NULL;
    struct wire_reply reply = {.about = {STORE_NAMESPACE, saga->parent_id, saga->parent_step, command_kind_name(effects->answer.kind),
                                         effects->answer.round, effects->answer.attempt},
                               .outcome = outcome_name(effects->answer.outcome),
                               .output = effects->answer.output,
                               .output_len = effects->answer.output_len,
                               .error = effects->answer.error,
                               .traceparent = saga->traceparent,
                               .clock = saga->clock};
    struct buf value = buf_new(VALUE_MAX_BYTES + 64 * 1024);
    wire_reply_value(&value, &reply);
    struct wire_message message;
    wire_reply_message(arena, &reply, &id, engine->config.prefix, now_ms, &message);
    message.topic = engine->reply_topic;
    message.value = arena_strndup(arena, buf_text(&value), value.len);
    message.value_len = value.len;
    buf_free(&value);
    return outgoing_new(arena, &id, &message);
}
