/* Programs that start, die and come back, services that answer as services do, and a network and machines that fail. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fault.h"
#include "base/mem.h"
#include "broker.h"
#include "postgres.h"
#include "saga/worker.h"
#include "store/store.h"

#define PROCESSES_N (ORCHESTRATORS_N + SERVICES_N + 1) /* one service has two workers */
#define AWAY_US 1500000
#define BROKER_AWAY_US 4000000
#define FREEZE_US 4000000
#define DOWN_US 1500000
#define SKEW_US 200000

struct program {
    struct process process; /* first */
    char name[32];
    int service; /* -1: an orchestrator */
    struct engine *engine;
};

static const struct weather weathers[] = {
    {"calm", 0, 0, "", 0, 0.1, 0.02, 0, 0},
    {"slow", 0, 0, "", 0.005, 0.1, 0.1, 0.05, 0.01},
    {"windy", 0.0002, 6000000, "kefpcb", 0.005, 0.15, 0.05, 0.02, 0.01},
    {"stormy", 0.001, 1500000, "kefpcb", 0.01, 0.15, 0.1, 0.03, 0.02},
    {"dark", 0.001, 2000000, "kkbBB", 0.05, 0.1, 0.05, 0, 0},
    {"lossy", 0.0005, 1500000, "bbBk", 0.15, 0.1, 0.05, 0.02, 0.02},
};

static struct program programs[PROCESSES_N];
static const struct weather *weather;
static bool calm;

const struct weather *weather_of(uint64_t seed)
{
    return &weathers[seed % (sizeof weathers / sizeof weathers[0])];
}

const struct weather *world_weather(void)
{
    return weather;
}

/* ---- services ---- */

static const struct pg_statement sim_effect = {"sim_effect", "INSERT INTO effect (saga_id, step, kind) VALUES ($1, $2, $3)"};

static bool take_effect(struct worker_call *call, const char *kind)
{
    struct pg_params params = {0};
    pg_param_uuid(&params, &call->saga_id);
    pg_param_text(&params, PG_TEXT, call->step);
    pg_param_text(&params, PG_TEXT, kind);
    bool ok = worker_query(call, &sim_effect, &params, NULL);
    pg_params_free(&params);
    return ok;
}

static bool passing_fault(struct worker_call *call)
{
    if (!calm && sim_chance(weather->slow_share)) {
        sim_sleep(sim_spread(500000));
        if (sim_chance(0.5))
            worker_heartbeat(call);
        sim_sleep(sim_spread(500000));
    }
    return !calm && sim_chance(weather->retry_share);
}

static enum worker_outcome act(struct worker_call *call)
{
    bool again = passing_fault(call);
    if (again && sim_chance(0.5))
        return worker_again(call, sim_chance(0.5) ? 300 : 0, "busy", "not now");
    if (!take_effect(call, "action"))
        return WORKER_DATABASE;
    if (again)
        return worker_again(call, 0, "busy", "not now, after all");
    if (sim_chance(weather->refuse_share)) /* in a later round it may be another answer */
        return worker_fail(call, "no", "not this one");
    worker_output(call, json_pack("{s:i}", "n", call->attempt));
    return WORKER_SUCCEEDED;
}

static enum worker_outcome undo(struct worker_call *call)
{
    if (passing_fault(call))
        return worker_again(call, 0, "busy", "not now");
    if (!take_effect(call, "compensation"))
        return WORKER_DATABASE;
    if (sim_chance(weather->undo_fails_share))
        return worker_fail(call, "no", "it cannot be undone");
    return WORKER_SUCCEEDED;
}

static const struct worker_handler handlers[] = {{"act", act}, {"undo", undo}, {NULL, NULL}};
static const struct pg_migration no_migrations[] = {{0, NULL, NULL}};

/* ---- programs ---- */

static void *worker_program(void *argument)
{
    struct program *program = argument;
    char service[8];
    snprintf(service, sizeof service, "svc%d", program->service);
    struct worker_spec *spec = mem_alloc(sizeof *spec);
    *spec = (struct worker_spec){.program = program->name, .about = "simulated", .service = mem_strdup(service),
                                 .handlers = handlers, .migrations = no_migrations};
    char *arguments[] = {program->name, mem_strdup("serve"), NULL};
    worker_main(spec, 2, arguments);
    program->process.alive = false;
    return NULL;
}

static void *orchestrator_program(void *argument)
{
    struct program *program = argument;
    struct engine_config config = {.database_url = "", .schema = SIM_SCHEMA, .brokers = "", .prefix = "saga",
                                   .partitions = 1, .with_engine = true, .roles = "api,engine,relay"};
    config.with_relay = program == programs || sim_chance(0.5); /* the first always: somebody has to */
    struct engine *engine = NULL;
    while (!engine && !program->process.asked_to_end) {
        struct err err;
        engine = engine_start(&config, &err);
        if (!engine)
            sim_sleep(500000);
    }
    program->engine = engine;
    while (!program->process.asked_to_end)
        sim_sleep(50000);
    engine_stop(engine);
    program->engine = NULL;
    engine_free(engine);
    program->process.alive = false;
    return NULL;
}

static void start_program(void *argument)
{
    struct program *program = argument;
    if (program->process.alive)
        return;
    program->process.alive = true;
    program->process.asked_to_end = false;
    program->process.life++;
    program->process.skew_us = (int64_t)sim_below(2 * SKEW_US) - SKEW_US;
    program->process.frozen_until_us = 0;
    program->engine = NULL;
    sim_trace("started: %s, life %d", program->name, program->process.life);
    sim_spawn(&program->process, program->service < 0 ? orchestrator_program : worker_program, program);
}

static void come_back(struct process *process)
{
    struct program *program = (struct program *)process;
    program->engine = NULL;
    sim_at(calm ? 1000 : sim_spread(DOWN_US), start_program, program);
}

static void kill_program(struct program *program)
{
    if (program->process.alive)
        process_kill(&program->process); /* come_back is called by it */
}

void sim_danger(const char *place)
{
    if (calm || !sim_process() || !sim_chance(weather->kill_share))
        return;
    sim_trace("dies at %s", place);
    process_kill(sim_process());
}

#ifdef SAGA_FAULT_POINTS
void fault_point(const char *name)
{
    sim_danger(name);
}
#endif

struct engine *world_engine(struct process **process)
{
    size_t first = sim_below(ORCHESTRATORS_N);
    for (size_t i = 0; i < ORCHESTRATORS_N; i++) {
        struct program *program = &programs[(first + i) % ORCHESTRATORS_N];
        if (!program->process.alive || !program->engine)
            continue;
        *process = &program->process;
        return program->engine;
    }
    return NULL;
}

/* ---- trouble ---- */

static void end_cleanly(struct program *program)
{
    sim_trace("asked to end: %s", program->name);
    program->process.asked_to_end = true;
}

static void look_after(void *argument)
{
    struct program *program = argument;
    if (!program->process.alive)
        start_program(program);
    sim_at(1000000, look_after, program);
}

static void *trouble(void *argument)
{
    (void)argument;
    while (!calm) {
        sim_sleep(sim_spread(weather->trouble_us));
        struct program *program = &programs[sim_below(PROCESSES_N)];
        if (calm)
            break;
        switch (weather->troubles[sim_below(strlen(weather->troubles))]) {
        case 'k': kill_program(program); break;
        case 'e': end_cleanly(program); break;
        case 'f': process_freeze(&program->process, sim_spread(FREEZE_US)); break;
        case 'p': sim_postgres_crash(sim_spread(AWAY_US)); break;
        case 'c': sim_postgres_cut(); break;
        case 'b': sim_broker_away(sim_spread(BROKER_AWAY_US)); break;
        case 'B': sim_broker_away(sim_spread(5 * BROKER_AWAY_US)); break;
        }
    }
    return NULL;
}

static void *put_definitions(void *argument)
{
    (void)argument;
    struct pg *pg = pg_new("", SIM_SCHEMA, "setup", PG_ADHOC);
    for (size_t i = 0; i < plans_n(); i++) {
        struct err err;
        int version;
        bool created;
        while (!store_put_definition(pg, plan_at(i), &version, &created, &err))
            sim_sleep(1000);
    }
    pg_free(pg);
    return NULL;
}

void world_start(const struct weather *chosen)
{
    weather = chosen;
    for (int64_t i = 0; i < 256; i++)
        row_place(sim_schema(SIM_SCHEMA), T_ENTITY_LOCK, (struct cell[]){cell_int(i)});
    sim_broker_weather(chosen->doubt_share);
    calm = false;
    sched_on_kill(come_back);
    sim_spawn(NULL, put_definitions, NULL);
    for (size_t i = 0; i < PROCESSES_N; i++) {
        struct program *program = &programs[i];
        program->service = i < ORCHESTRATORS_N ? -1 : (int)((i - ORCHESTRATORS_N) % SERVICES_N);
        snprintf(program->name, sizeof program->name, program->service < 0 ? "orchestrator%zu" : "worker%zu", i);
        program->process.name = program->name;
        start_program(program);
        sim_at(1000000, look_after, program);
    }
    if (weather->trouble_us)
        sim_spawn(NULL, trouble, NULL);
}

bool world_is_calm(void)
{
    return calm;
}

void world_calm(void)
{
    sim_trace("calm");
    calm = true;
    sim_postgres_calm();
    sim_broker_calm();
    for (size_t i = 0; i < PROCESSES_N; i++)
        programs[i].process.frozen_until_us = 0;
}
