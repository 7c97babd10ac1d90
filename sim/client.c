/* A client that wants its sagas: it asks with one key for each until it has an answer, as clients should. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "rows.h"
#include "world.h"

#define ANSWER_US 30000000 /* so long it waits for an answer */
#define AGAIN_US 300000
#define LOOK_US 5000
#define PACE_US 4000       /* from one start to the next, on the mean */
#define CAUTIOUS 4         /* times slower when much goes wrong */
#define CANCEL_SHARE 0.1
#define CANCEL_US 1500000
#define WAIT_SHARE 0.05
#define ABOUT_SHARE 0.1
#define SCHEDULE_MS 2000
#define SIGNAL_US 1000000  /* between signals */
#define SIGNALS 4          /* to each saga that was accepted; most find nobody who waits */

/* What was asked of an engine; it stays, since the engine may be about to answer. */
struct asked {
    struct start start;
    struct act act;
    struct process *process;
    int life;
    bool answered;
    int64_t at_us;
};

struct wish {
    char key[32], input[48];
    char about[8]; /* what the saga is about; "": nothing */
    char labels[32];
    bool takes_other; /* another saga about that will do */
    bool has_other;
    const char *definition;
    int64_t due_us;
    struct asked *asked;
    bool accepted;
    struct uuid id;
    bool wants_cancel;
    bool waits; /* it is to begin later */
    int signals;
    int64_t signal_us;
};

static struct wish *wishes;
static size_t wishes_n, open_n;

static void on_start(struct start *start)
{
    struct asked *asked = start->context;
    asked->answered = true;
}

static void on_act(struct act *act)
{
    struct asked *asked = act->context;
    asked->answered = true;
}

static struct asked *ask(void)
{
    struct asked *asked = mem_alloc(sizeof *asked);
    asked->at_us = sim_now_us();
    return asked;
}

static void ask_start(struct wish *wish, struct engine *engine, struct asked *asked)
{
    asked->start = (struct start){.definition = wish->definition, .input = wish->input, .input_len = strlen(wish->input),
                                  .idempotency_key = wish->key, .done = on_start, .context = asked};
    if (*wish->about)
        asked->start.key = wish->about;
    asked->start.return_live = wish->takes_other;
    asked->start.labels = *wish->labels ? wish->labels : NULL;
    if (wish->waits)
        asked->start.start_ms = clock_real_ms() + SCHEDULE_MS;
    if (engine_submit(engine, &asked->start) == SUBMIT_TAKEN)
        wish->asked = asked;
}

static void ask_cancel(struct wish *wish, struct engine *engine, struct asked *asked)
{
    asked->act = (struct act){.saga_id = wish->id, .type = EVENT_CANCEL, .error = "{\"code\":\"cancelled\"}", .done = on_act,
                              .context = asked};
    if (engine_act(engine, &asked->act))
        wish->asked = asked;
}

static void begin(struct wish *wish)
{
    struct process *process;
    struct engine *engine = world_engine(&process);
    wish->due_us = sim_now_us() + sim_spread(AGAIN_US);
    if (!engine)
        return;
    struct asked *asked = ask();
    asked->process = process;
    asked->life = process->life;
    if (wish->accepted)
        ask_cancel(wish, engine, asked);
    else
        ask_start(wish, engine, asked);
}

static bool no_answer_comes(const struct asked *asked)
{
    return !asked->process->alive || asked->process->life != asked->life || sim_now_us() - asked->at_us > ANSWER_US;
}

/* The saga is about the same thing, and perhaps another's. */
static bool is_others(const struct wish *wish, const struct uuid *id)
{
    struct session session = {.schema = sim_schema(SIM_SCHEMA)};
    struct cell key = cell_id(id);
    const struct row *row = row_find(&session, T_SAGA, &key, 1);
    const struct image *saga = row ? row_seen(&session, row) : NULL;
    if (!saga)
        sim_fail("a saga that was accepted is not there");
    if (saga->cells[S_KEY].null)
        sim_fail("a saga has lost its idempotency key");
    if (strcmp(saga->cells[S_KEY].text, wish->key) == 0)
        return false;
    if (!wish->takes_other || saga->cells[S_ABOUT].null || strcmp(saga->cells[S_ABOUT].text, wish->about) != 0 ||
        strcmp(saga->cells[S_DEFINITION].text, wish->definition) != 0)
        sim_fail("a start was answered with a saga that is none of its business");
    return true;
}

static void accept(struct wish *wish, const struct uuid *id)
{
    wish->accepted = true;
    wish->has_other = is_others(wish, id);
    wish->id = *id;
    wish->due_us = sim_now_us() + sim_spread(CANCEL_US);
    if (!wish->wants_cancel)
        open_n--;
}

static void write_input(struct wish *wish, int e, int f)
{
    snprintf(wish->input, sizeof wish->input, "{\"n\":%d,\"e\":%d,\"f\":%d}", (int)(wish - wishes), e, f);
}

static void hear(struct wish *wish)
{
    const struct asked *asked = wish->asked;
    wish->asked = NULL;
    if (wish->accepted) {
        if (asked->act.result == ACT_NO_SAGA)
            sim_fail("a saga that was accepted is not there to be cancelled");
        if (asked->act.result == ACT_UNAVAILABLE || asked->act.result == ACT_UNKNOWN)
            return;
        wish->wants_cancel = false;
        open_n--;
        return;
    }
    switch (asked->start.result) {
    case START_CREATED:
    case START_EXISTS: accept(wish, &asked->start.id); break;
    case START_UNAVAILABLE:
    case START_UNKNOWN:
    case START_KEY_TAKEN: *wish->about = '\0'; break; /* then without */
    case START_NO_DEFINITION: break; /* perhaps not stored yet */
    case START_BUSY: write_input(wish, 1000 + (int)(wish - wishes), 1000 + (int)(wish - wishes)); break; /* then about something of its own */
    case START_NO_ENTITY:
    case START_CONFLICT:
    case START_REFUSED: sim_fail("a start was refused: %s", asked->start.reason);
    }
}

static void forget(struct act *act)
{
    free(act->context);
}

/* Whether it is heard or not: the step that waits times out otherwise. */
static void signal_saga(struct wish *wish)
{
    struct process *process;
    struct engine *engine = world_engine(&process);
    wish->signals--;
    wish->signal_us = sim_now_us() + sim_spread(SIGNAL_US);
    if (!engine)
        return;
    struct act *act = mem_alloc(sizeof *act);
    *act = (struct act){.saga_id = wish->id, .type = EVENT_SIGNAL, .signal = "go", .output = "{\"n\":1}", .output_len = 7, .done = forget,
                        .context = act};
    if (!engine_act(engine, act))
        free(act);
}

static void attend(struct wish *wish)
{
    if (wish->accepted && wish->signals && wish->signal_us <= sim_now_us())
        signal_saga(wish);
    if (wish->asked && wish->asked->answered)
        hear(wish);
    else if (wish->asked && no_answer_comes(wish->asked))
        wish->asked = NULL;
    bool wants = !wish->accepted || wish->wants_cancel;
    if (!wish->asked && wants && wish->due_us <= sim_now_us())
        begin(wish);
}

static bool is_done(const struct wish *wish)
{
    return wish->accepted && !wish->wants_cancel && !wish->signals && !wish->asked;
}

/* They begin one after the other, and most end so. */
static void *client(void *argument)
{
    (void)argument;
    for (size_t first = 0, begun = 0; first < wishes_n;) {
        sim_sleep(LOOK_US);
        while (begun < wishes_n && wishes[begun].due_us <= sim_now_us())
            begun++;
        for (size_t i = first; i < begun; i++)
            attend(&wishes[i]);
        while (first < begun && is_done(&wishes[first]))
            first++;
    }
    return NULL;
}

void client_start(size_t sagas)
{
    wishes = mem_array(sagas + 1, sizeof *wishes);
    wishes_n = open_n = sagas;
    int64_t at_us = 500000, pace_us = world_weather()->trouble_us ? CAUTIOUS * PACE_US : PACE_US;
    for (size_t i = 0; i < sagas; i++) {
        struct wish *wish = &wishes[i];
        snprintf(wish->key, sizeof wish->key, "key-%zu", i);
        write_input(wish, (int)sim_below(3), (int)sim_below(3));
        wish->definition = plan_at(sim_below(plans_n()))->name;
        wish->due_us = at_us += sim_spread(pace_us);
        wish->wants_cancel = sim_chance(CANCEL_SHARE);
        wish->waits = sim_chance(WAIT_SHARE);
        if (sim_chance(ABOUT_SHARE))
            snprintf(wish->about, sizeof wish->about, "it-%d", (int)sim_below(3));
        wish->takes_other = *wish->about && sim_chance(0.5);
        if (i % 2)
            snprintf(wish->labels, sizeof wish->labels, CLIENT_LABELS, i);
        wish->signals = SIGNALS;
    }
    sim_spawn(NULL, client, NULL);
}

bool client_done(void)
{
    return open_n == 0;
}

size_t client_sagas(void)
{
    size_t n = 0;
    for (size_t i = 0; i < wishes_n; i++)
        n += wishes[i].accepted && !wishes[i].has_other;
    return n;
}

const struct uuid *client_saga(size_t i)
{
    return &wishes[i].id;
}
