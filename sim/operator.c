/* An operator who looks at stalled sagas and does something about them, not always the right thing; and who pauses some of the others
 * for a while. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "postgres.h"
#include "world.h"

#define LOOK_US 700000
#define STEPS_MAX 16
#define ACT_SHARE 0.4 /* of the stalled sagas, at each look */
#define PAUSE_SHARE 0.03
#define RESUME_SHARE 0.4

struct repair {
    struct act act;
    char step[DEFINITION_NAME_MAX], version[STEP_VERSION_MAX];
};

static void on_act(struct act *act)
{
    sim_trace("repaired: %s %s", act->step, act->result == ACT_APPLIED ? "applied" : act->reason);
    free(act->context);
}

/* The steps that may hold the saga up: failed, unknown, or with a compensation that failed. */
static size_t suspects(struct session *session, const struct cell *saga, const struct image **out)
{
    size_t n = 0;
    for (struct row *row = NULL; (row = row_next(session, T_STEP, saga, row)) && n < STEPS_MAX;) {
        const struct image *image = row_seen(session, row);
        enum step_state state;
        if (!image || !cell_equal(&image->cells[P_SAGA], saga) || !step_state_parse(image->cells[P_STATE].text, &state))
            continue;
        if (state == STEP_FAILED || state == STEP_UNKNOWN || state == STEP_COMPENSATION_FAILED)
            out[n++] = image;
    }
    return n;
}

static void repair(const struct image *saga, const struct image *step)
{
    static const char output[] = "{\"n\":7}";
    struct process *process;
    struct engine *engine = world_engine(&process);
    const struct definition *definition = plan_named(saga->cells[S_DEFINITION].text);
    enum step_state state;
    if (!engine)
        return;
    struct repair *r = mem_alloc(sizeof *r);
    (void)!step_state_parse(step->cells[P_STATE].text, &state);
    strcpy(r->step, definition->steps[step->cells[P_POSITION].n].name);
    step_version(state, (int)step->cells[P_ROUND].n, (int)step->cells[P_ATTEMPT].n, r->version);
    static const enum event_type types[] = {EVENT_RETRY, EVENT_RETRY, EVENT_SUPPLY, EVENT_SKIP};
    r->act = (struct act){.saga_id = saga->cells[S_ID].id, .type = types[sim_below(4)], .step = r->step, .version = r->version,
                          .why = "{\"by\":\"sim\"}", .outcome = sim_chance(0.5) ? OUTCOME_SUCCEEDED : OUTCOME_FAILED,
                          .output = output, .output_len = sizeof output - 1, .done = on_act, .context = r};
    if (!engine_act(engine, &r->act))
        free(r);
}

static void on_held(struct act *act)
{
    free(act);
}

/* Pauses the saga, or lets it go on. */
static void hold(const struct image *saga)
{
    bool paused = saga->cells[S_PAUSED].n;
    struct process *process;
    struct engine *engine = world_engine(&process);
    if (!engine || !sim_chance(paused ? RESUME_SHARE : world_is_calm() ? 0 : PAUSE_SHARE))
        return;
    struct act *act = mem_alloc(sizeof *act);
    *act = (struct act){.saga_id = saga->cells[S_ID].id, .type = paused ? EVENT_RESUME : EVENT_PAUSE, .done = on_held};
    if (!engine_act(engine, act))
        free(act);
}

static bool has_ended(const struct cell *state)
{
    return strcmp(state->text, "COMPLETED") == 0 || strcmp(state->text, "COMPENSATED") == 0;
}

static void *operator(void *argument)
{
    (void)argument;
    struct schema *schema = sim_schema(SIM_SCHEMA);
    struct session session = {.schema = schema};
    for (;;) {
        sim_sleep(sim_spread(LOOK_US));
        struct cursor at = {0};
        for (const struct image *saga; (saga = sim_committed(schema, T_SAGA, &at));) {
            const struct image *steps[STEPS_MAX];
            if (!has_ended(&saga->cells[S_STATE]))
                hold(saga);
            if (strcmp(saga->cells[S_STATE].text, "STALLED") != 0 || !sim_chance(ACT_SHARE))
                continue;
            size_t n = suspects(&session, &saga->cells[S_ID], steps);
            if (n)
                repair(saga, steps[sim_below(n)]);
        }
    }
    return NULL;
}

void operator_start(void)
{
    sim_spawn(NULL, operator, NULL);
}
