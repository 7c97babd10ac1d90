#include "core/saga.h"

#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/json.h"
#include "core/machine.h"

static const char *const saga_states[SAGA_STATES_N] = {"RUNNING", "COMPENSATING", "STALLED", "COMPLETED", "COMPENSATED", "SCHEDULED", "QUEUED"};
static const char *const step_states[STEP_STATES_N] = {"PENDING", "RUNNING",      "SUCCEEDED",   "FAILED",
                                                       "UNKNOWN", "SKIPPED", "COMPENSATING", "COMPENSATED", "COMPENSATION_FAILED",
                                                       "WAIVED"};
static const char *const kinds[KINDS_N] = {"action", "compensation", "probe"};
static const char *const outcomes[OUTCOMES_N] = {"succeeded", "failed", "retry", "accepted", "in_progress", "not_seen"};

static const char *const orders[ORDERS_N] = {"none", "start", "undo", "superseded"};

static bool parse(const char *const *names, size_t n, const char *name, int *out)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(names[i], name) == 0) {
            *out = (int)i;
            return true;
        }
    }
    return false;
}

const char *saga_state_name(enum saga_state state)
{
    return saga_states[state];
}

const char *step_state_name(enum step_state state)
{
    return step_states[state];
}

const char *command_kind_name(enum command_kind kind)
{
    return kinds[kind];
}

const char *outcome_name(enum outcome outcome)
{
    return outcomes[outcome];
}

bool saga_state_parse(const char *name, enum saga_state *state)
{
    int value;
    bool known = parse(saga_states, SAGA_STATES_N, name, &value);
    if (known)
        *state = (enum saga_state)value;
    return known;
}

bool step_state_parse(const char *name, enum step_state *state)
{
    int value;
    bool known = parse(step_states, STEP_STATES_N, name, &value);
    if (known)
        *state = (enum step_state)value;
    return known;
}

bool command_kind_parse(const char *name, enum command_kind *kind)
{
    int value;
    bool known = parse(kinds, KINDS_N, name, &value);
    if (known)
        *kind = (enum command_kind)value;
    return known;
}

bool outcome_parse(const char *name, enum outcome *outcome)
{
    int value;
    bool known = parse(outcomes, OUTCOMES_N, name, &value);
    if (known)
        *outcome = (enum outcome)value;
    return known;
}

const char *parent_order_name(enum parent_order order)
{
    return order == ORDER_NONE ? NULL : orders[order];
}

bool parent_order_parse(const char *name, enum parent_order *order)
{
    int value = ORDER_NONE;
    bool known = !name || (parse(orders, ORDERS_N, name, &value) && value != ORDER_NONE);
    if (known)
        *order = (enum parent_order)value;
    return known;
}

/* Born when its parent was, so that it lies beside it in indexes. */
struct uuid child_id(const struct uuid *parent, const char *step, int generation)
{
    struct uuid id = *parent;
    uint64_t seed = hash_bytes(parent->bytes, sizeof parent->bytes, (uint64_t)generation);
    uint64_t high = hash_bytes(step, strlen(step), seed), low = hash_bytes(step, strlen(step), ~seed);
    for (size_t i = 6; i < 8; i++)
        id.bytes[i] = (uint8_t)(high >> (8 * (i - 6)));
    for (size_t i = 8; i < 16; i++)
        id.bytes[i] = (uint8_t)(low >> (8 * (i - 8)));
    id.bytes[6] = (uint8_t)(0x70 | (id.bytes[6] & 0x0f));
    id.bytes[8] = (uint8_t)(0x80 | (id.bytes[8] & 0x3f));
    return id;
}

bool saga_ended(enum saga_state state)
{
    return state == SAGA_COMPLETED || state == SAGA_COMPENSATED;
}

bool saga_waits(enum saga_state state)
{
    return state == SAGA_SCHEDULED || state == SAGA_QUEUED;
}

bool step_in_flight(enum step_state state)
{
    return state == STEP_RUNNING || state == STEP_COMPENSATING;
}

bool saga_is_bound(const struct saga *saga)
{
    int pivot = saga->definition->pivot;
    if (pivot < 0)
        return false;
    enum step_state state = saga->steps[pivot].state;
    return state == STEP_RUNNING || state == STEP_SUCCEEDED || state == STEP_UNKNOWN || saga->steps[pivot].waived;
}

bool saga_is_backward(const struct saga *saga)
{
    return saga->state == SAGA_COMPENSATING || (saga->state == SAGA_STALLED && !saga_is_bound(saga));
}

char *step_version(enum step_state state, int round, int attempt, char out[STEP_VERSION_MAX])
{
    snprintf(out, STEP_VERSION_MAX, "%d.%d.%s", round, attempt, step_states[state]);
    return out;
}

static const json_t *parse_once(json_t **cache, const char *text, size_t len)
{
    struct err err;
    if (!*cache && text)
        *cache = json_read(text, len, &err);
    return *cache;
}

const json_t *saga_value(void *context, int step)
{
    struct saga *saga = context;
    if (step == TEMPLATE_INPUT)
        return parse_once(&saga->input_value, saga->input, saga->input_len);
    struct saga_step *from = &saga->steps[step];
    if (from->state == STEP_SKIPPED)
        return json_null();
    return parse_once(&from->output_value, from->output, from->output_len);
}

void saga_release(struct saga *saga)
{
    json_decref(saga->input_value);
    saga->input_value = NULL;
    for (size_t i = 0; i < saga->definition->steps_n; i++) {
        json_decref(saga->steps[i].output_value);
        saga->steps[i].output_value = NULL;
    }
}
