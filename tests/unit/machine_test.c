/* core: the state machine, driven by hand. A script is a row of events, the expectation the commands that it gives:
 * lower case is the action of step a, b or c, upper case its compensation, the number the attempt.
 *   a+ succeeded  a- failed  a~ retry  a. accepted (upper case: of the compensation; a digit before the sign: of that attempt)
 *   t500 the clock moves on by 500 ms, then a timer   x cancel   r the current command cannot be published
 *   a! an operator retries step a   a= supplies its success   a0 its failure   a_ skips it
 *   s the signal comes
 *   u500 after 500 ms the current command has not left the outbox   w it is taken out of it */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "core/entity.h"
#include "core/machine.h"
#include "suite.h"

struct world {
    struct definition *definition;
    struct saga saga;
    struct saga_step steps[DEFINITION_STEPS_MAX];
    struct arena arena;
    struct buf sent;
    struct buf entries;
    struct buf answers; /* to its parent */
    struct buf values;  /* told to children */
    int64_t now_ms;
};

static const char *const plain =
    "{\"name\":\"d\",\"timeout\":\"10m\",\"steps\":["
    "{\"name\":\"a\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\",\"timeout\":\"1s\","
    "\"retry\":{\"max_attempts\":3,\"initial\":\"100ms\",\"jitter\":0}},"
    "{\"name\":\"b\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\",\"timeout\":\"1s\","
    "\"on_timeout\":\"compensate\",\"input\":{\"id\":\"${steps.a.output.id}\"}},"
    "{\"name\":\"c\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\",\"timeout\":\"1s\","
    "\"compensation_retry\":{\"max_attempts\":2,\"initial\":\"100ms\",\"jitter\":0}}]}";

/* a first; b and c beside each other; d after both. Written backwards, since the order is in `after` alone. */
static const char *const diamond =
    "{\"name\":\"d\",\"steps\":["
    "{\"name\":\"a\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\",\"timeout\":\"1s\",\"after\":[]},"
    "{\"name\":\"b\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\",\"timeout\":\"1s\",\"after\":[\"a\"],"
    "\"on_timeout\":\"compensate\",\"input\":{\"id\":\"${steps.a.output.id}\"}},"
    "{\"name\":\"c\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\",\"timeout\":\"2s\",\"after\":[\"a\"],"
    "\"retry\":{\"initial\":\"100ms\",\"jitter\":0}},"
    "{\"name\":\"d\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\",\"timeout\":\"1s\",\"after\":[\"c\",\"b\"],"
    "\"input\":[\"${steps.b.output.id}\",\"${steps.a.output.id}\"]}]}";

/* a, then the pivot p, then b and c beside each other. */
static const char *const pivoted =
    "{\"name\":\"d\",\"timeout\":\"10m\",\"steps\":["
    "{\"name\":\"a\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\",\"timeout\":\"1s\"},"
    "{\"name\":\"p\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\",\"timeout\":\"1s\",\"pivot\":true,"
    "\"retry\":{\"max_attempts\":2,\"initial\":\"100ms\",\"jitter\":0}},"
    "{\"name\":\"b\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\",\"timeout\":\"1s\",\"after\":[\"p\"],"
    "\"input\":{\"id\":\"${steps.a.output.id}\"},\"retry\":{\"max_attempts\":2,\"initial\":\"100ms\",\"jitter\":0}},"
    "{\"name\":\"c\",\"service\":\"s\",\"action\":\"do\",\"compensation\":null,\"timeout\":\"1s\",\"after\":[\"p\"],"
    "\"on_timeout\":\"compensate\"}]}";

/* a; b only when the input says so; c only when b gave an id; d always. */
static const char *const conditional =
    "{\"name\":\"d\",\"steps\":["
    "{\"name\":\"a\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\"},"
    "{\"name\":\"b\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\",\"input\":{\"id\":\"${steps.a.output.id}\"},"
    "\"when\":{\"==\":[{\"var\":\"input.n\"},1]}},"
    "{\"name\":\"c\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\",\"when\":{\">\":[{\"var\":\"steps.b.output.id\"},5]}},"
    "{\"name\":\"d\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\"}]}";

/* a asks after silence, up to 4 attempts. */
static const char *const probing =
    "{\"name\":\"d\",\"steps\":["
    "{\"name\":\"a\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\",\"timeout\":\"1s\",\"on_timeout\":\"probe\","
    "\"retry\":{\"max_attempts\":4,\"initial\":\"100ms\",\"jitter\":0}},"
    "{\"name\":\"c\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\"}]}";

/* a; then w waits for a signal beside l, a delay; then b. */
static const char *const waiting =
    "{\"name\":\"d\",\"steps\":["
    "{\"name\":\"a\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\",\"timeout\":\"1s\"},"
    "{\"name\":\"w\",\"wait\":\"go\",\"timeout\":\"1h\"},"
    "{\"name\":\"l\",\"delay\":\"10s\",\"after\":[\"a\"]},"
    "{\"name\":\"b\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\",\"after\":[\"w\",\"l\"],"
    "\"input\":{\"id\":\"${steps.w.output.id}\"}}]}";

static struct uuid next_id(void)
{
    return uuid_v7();
}

static void world_open(struct world *w, const char *text)
{
    struct err err = {0};
    struct problems problems = {0};
    memset(w, 0, sizeof *w);
    json_t *source = json_read(text, strlen(text), &err);
    w->definition = definition_read(source, &problems);
    ck_assert_msg(w->definition != NULL, "%s %s", problems.items[0].pointer, problems.items[0].detail);
    json_decref(source);
    w->saga = (struct saga){.id = uuid_v7(), .definition = w->definition, .input = "{\"n\":1}", .input_len = 7,
                            .steps = w->steps};
    w->sent = buf_new(10000);
    w->entries = buf_new(100000);
    w->answers = buf_new(10000);
    w->values = buf_new(10000);
    w->now_ms = 1000000;
}

static void world_close(struct world *w)
{
    saga_release(&w->saga);
    definition_free(w->definition);
    arena_free(&w->arena);
    buf_free(&w->sent);
    buf_free(&w->entries);
    buf_free(&w->answers);
    buf_free(&w->values);
}

static void world_apply(struct world *w, const struct event *event)
{
    struct effects effects = {.arena = &w->arena, .new_id = next_id};
    machine_apply(&w->saga, event, w->now_ms, &effects);
    for (const struct command *c = effects.commands; c; c = c->next) {
        char letter = w->definition->steps[c->step].name[0];
        buf_printf(&w->sent, "%s%s%c%d", w->sent.len ? " " : "", c->kind == KIND_PROBE ? "?" : "",
                   c->kind == KIND_COMPENSATION ? toupper(letter) : letter, c->attempt);
        bool after_pivot = w->definition->pivot >= 0 && c->step > w->definition->pivot;
        ck_assert_int_eq(c->deadline_ms != 0, c->kind == KIND_ACTION && w->saga.deadline_ms && !after_pivot);
        if (w->definition->steps[c->step].child && c->kind == KIND_ACTION)
            buf_str(&w->values, c->value);
        else if (c->kind == KIND_ACTION && letter == 'b')
            ck_assert_str_eq(c->value, "{\"id\":7}");
        if (c->kind == KIND_COMPENSATION && letter == 'a' && w->steps[0].output)
            ck_assert_str_eq(c->value, "{\"input\":{},\"output\":{\"id\":7}}");
    }
    if (effects.answer.given)
        buf_printf(&w->answers, "%s%d:%s ", effects.answer.kind == KIND_COMPENSATION ? "undo" : "", effects.answer.round,
                   outcome_name(effects.answer.outcome));
    for (const struct history_entry *h = effects.history; h; h = h->next)
        buf_printf(&w->entries, h->attempt > 1 ? "%s:%d " : "%s ", h->event, h->attempt);
    ck_assert_ptr_null(machine_invariant(&w->saga));
}

static int current_step(const struct world *w)
{
    for (size_t i = 0; i < w->definition->steps_n; i++) {
        if (w->steps[i].state == STEP_RUNNING || w->steps[i].state == STEP_COMPENSATING)
            return (int)i;
    }
    ck_abort_msg("no step is in flight");
}

static struct event reply(const struct world *w, char letter, int attempt, char sign)
{
    char name[] = {(char)tolower(letter), 0};
    int step = definition_step(w->definition, name);
    struct event event = {.type = EVENT_REPLY, .step = step, .round = w->steps[step].round ? w->steps[step].round : 1,
                          .kind = islower((unsigned char)letter) ? KIND_ACTION : KIND_COMPENSATION,
                          .attempt = attempt ? attempt : w->steps[step].attempt};
    switch (sign) {
    case '+': event.outcome = OUTCOME_SUCCEEDED; event.output = "{\"id\":7}"; event.output_len = 8; break;
    case '-': event.outcome = OUTCOME_FAILED; event.error = "{\"code\":\"no\"}"; break;
    case '~': event.outcome = OUTCOME_RETRY; break;
    case '.': event.outcome = OUTCOME_ACCEPTED; break;
    case '@': event.outcome = OUTCOME_IN_PROGRESS; break;
    case 'o': event.outcome = OUTCOME_NOT_SEEN; break;
    default: ck_abort_msg("sign %c", sign);
    }
    return event;
}

/* Each act names the step as it is. */
static void act(struct world *w, char letter, char sign)
{
    char name[] = {letter, 0}, version[STEP_VERSION_MAX];
    struct event event = {.step = definition_step(w->definition, name), .output = "{\"id\":7}", .output_len = 8, .why = "{\"by\":\"me\"}"};
    const struct saga_step *s = &w->steps[event.step];
    event.type = sign == '!' ? EVENT_RETRY : sign == '_' ? EVENT_SKIP : EVENT_SUPPLY;
    event.outcome = sign == '0' ? OUTCOME_FAILED : OUTCOME_SUCCEEDED;
    event.version = step_version(s->state, s->round, s->attempt, version);
    world_apply(w, &event);
}

static void play_one(struct world *w, const char *word)
{
    if (word[0] != 't' && word[0] != 'u' && word[1] && strchr("!=0_", word[1])) {
        act(w, word[0], word[1]);
        return;
    }
    if (word[0] == 't' && isdigit((unsigned char)word[1])) {
        w->now_ms += atoi(word + 1);
        world_apply(w, &(struct event){.type = EVENT_TIMER});
    } else if (strcmp(word, "s") == 0) {
        struct event event = {.type = EVENT_SIGNAL, .step = machine_signalled(&w->saga, "go"), .output = "{\"id\":7}", .output_len = 8};
        if (event.step >= 0)
            world_apply(w, &event);
    } else if (strcmp(word, "x") == 0) {
        world_apply(w, &(struct event){.type = EVENT_CANCEL});
    } else if (word[0] == '<' || word[0] == '>') { /* of its parent: start, undo; with the round */
        world_apply(w, &(struct event){.type = EVENT_ORDER, .kind = word[0] == '<' ? KIND_ACTION : KIND_COMPENSATION,
                                       .round = word[1] ? atoi(word + 1) : 1, .attempt = 1});
    } else if (strcmp(word, "^") == 0) {
        world_apply(w, &(struct event){.type = EVENT_SUPERSEDE});
    } else if (word[0] == '(' || word[0] == ')') {
        world_apply(w, &(struct event){.type = word[0] == '(' ? EVENT_PAUSE : EVENT_RESUME});
    } else if (strcmp(word, "r") == 0 || strcmp(word, "w") == 0 || word[0] == 'u') {
        int step = current_step(w);
        const struct saga_step *s = &w->steps[step];
        w->now_ms += word[0] == 'u' ? atoi(word + 1) : 0;
        enum event_type type = word[0] == 'u' ? EVENT_UNRELEASED : word[0] == 'w' ? EVENT_WITHDRAWN : EVENT_REFUSED;
        world_apply(w, &(struct event){.type = type, .step = step,
                                       .kind = machine_kind(s),
                                       .round = s->round, .attempt = s->attempt});
    } else if (word[0] == '?') {
        struct event event = reply(w, word[1], isdigit((unsigned char)word[2]) ? atoi(word + 2) : 0, word[strlen(word) - 1]);
        event.kind = KIND_PROBE;
        world_apply(w, &event);
    } else {
        struct event event = reply(w, word[0], isdigit((unsigned char)word[1]) ? atoi(word + 1) : 0,
                                   word[strlen(word) - 1]);
        world_apply(w, &event);
    }
}

static void play(struct world *w, const char *script)
{
    char copy[500];
    snprintf(copy, sizeof copy, "%s", script);
    char *rest = copy;
    world_apply(w, &(struct event){.type = EVENT_START});
    for (char *word; (word = strsep(&rest, " "));) {
        if (*word)
            play_one(w, word);
    }
}

static const struct {
    const char *name, *script, *sent;
    enum saga_state end;
} graph_scripts[] = {
    {"branches begin together", "a+ b+ c+ d+", "a1 b1 c1 d1", SAGA_COMPLETED},
    {"a join waits for the last of them", "a+ c+ b+ d+", "a1 b1 c1 d1", SAGA_COMPLETED},
    {"a branch that fails waits for the other's verdict", "a+ b- c+ C+ A+", "a1 b1 c1 C1 A1", SAGA_COMPENSATED},
    {"and both may say no", "a+ b- c- A+", "a1 b1 c1 A1", SAGA_COMPENSATED},
    {"no new attempt goes out meanwhile", "a+ b- c~ C+ A+", "a1 b1 c1 C1 A1", SAGA_COMPENSATED},
    {"silence of the other makes it unknown", "a+ b- t2000 C+ A+", "a1 b1 c1 C1 A1", SAGA_COMPENSATED},
    {"a pause of the other is given up", "a+ c~ b- C+ A+", "a1 b1 c1 C1 A1", SAGA_COMPENSATED},
    {"branches are undone together, then what came before them", "a+ b+ c+ d- B+ C+ A+", "a1 b1 c1 d1 C1 B1 A1", SAGA_COMPENSATED},
    {"in any order", "a+ b+ c+ d- C+ B+ A+", "a1 b1 c1 d1 C1 B1 A1", SAGA_COMPENSATED},
    {"the join first", "a+ b+ c+ x d+ D+ B+ C+ A+", "a1 b1 c1 d1 D1 C1 B1 A1", SAGA_COMPENSATED},
    {"cancel: a branch that is done is undone while the other is in flight", "a+ b+ x B+ c+ C+ A+", "a1 b1 c1 B1 C1 A1", SAGA_COMPENSATED},
    {"a compensation that fails stalls only what came before it", "a+ b+ c+ d- C- B+", "a1 b1 c1 d1 C1 B1", SAGA_STALLED},
    {"the other branch is retried while the saga is stalled", "a+ b+ c+ d- C- B~ t100 B+", "a1 b1 c1 d1 C1 B1 B2", SAGA_STALLED},
    {"a late success goes on", "a+ b+ c+ d- C- B+ C+ A+", "a1 b1 c1 d1 C1 B1 A1", SAGA_COMPENSATED},
    {"not before the last one that failed", "a+ b+ c+ d- C- B- C+ B+ A+", "a1 b1 c1 d1 C1 B1 A1", SAGA_COMPENSATED},
    {"one of two that failed", "a+ b+ c+ d- C- B- C+", "a1 b1 c1 d1 C1 B1", SAGA_STALLED},
}, probe_scripts[] = {
    {"silence asks, and the answer is a verdict", "a+ c+", "a1 c1", SAGA_COMPLETED},
    {"it had succeeded", "t1000 ?a+ c+", "a1 ?a2 c1", SAGA_COMPLETED},
    {"it had failed", "t1000 ?a-", "a1 ?a2", SAGA_COMPENSATED},
    {"not seen means send again, after a pause, never failed", "t1000 ?ao t400 a+ c+", "a1 ?a2 a3 c1", SAGA_COMPLETED},
    {"in progress waits for the timeout anew, then asks again", "t1000 t900 ?a@ t900 t100 ?a+ c+", "a1 ?a2 ?a3 c1", SAGA_COMPLETED},
    {"silence of the probe asks again", "t1000 t1000 ?a+ c+", "a1 ?a2 ?a3 c1", SAGA_COMPLETED},
    {"the action's late reply is a verdict too", "t1000 a1+ c+", "a1 ?a2 c1", SAGA_COMPLETED},
    {"a passing fault of the attempt before is history", "t1000 a1~ ?a+ c+", "a1 ?a2 c1", SAGA_COMPLETED},
    {"and so are its heartbeats", "t1000 t900 a1. t100 ?a3+ c+", "a1 ?a2 ?a3 c1", SAGA_COMPLETED},
    {"an earlier probe that saw nothing is history", "t1000 t1000 ?a2o ?a3+ c+", "a1 ?a2 ?a3 c1", SAGA_COMPLETED},
    {"an earlier probe's verdict is one", "t1000 t1000 ?a2+ c+", "a1 ?a2 ?a3 c1", SAGA_COMPLETED},
    {"probes are attempts: they are bounded, then it is unknown and undone", "t1000 t1000 t1000 t1000 A+", "a1 ?a2 ?a3 ?a4 A1", SAGA_COMPENSATED},
    {"not seen by the last attempt is unknown as well", "t1000 t1000 t1000 ?ao A+", "a1 ?a2 ?a3 ?a4 A1", SAGA_COMPENSATED},
    {"on the way back nothing is asked", "x t1000 A+", "a1 A1", SAGA_COMPENSATED},
    {"a probe in flight is waited for", "t1000 x ?a+ A+", "a1 ?a2 A1", SAGA_COMPENSATED},
    {"it is given up when it saw nothing", "t1000 x ?ao A+", "a1 ?a2 A1", SAGA_COMPENSATED},
    {"or taken back: the action before it may have happened", "t1000 x w A+", "a1 ?a2 A1", SAGA_COMPENSATED},
    {"once the compensation has begun the probe's verdict is history", "t1000 t1000 t1000 t1000 ?a4- A+", "a1 ?a2 ?a3 ?a4 A1", SAGA_COMPENSATED},
    {"an action that pauses for its next attempt asks nothing", "a~ t100 a+ c+", "a1 a2 c1", SAGA_COMPLETED},
}, pause_scripts[] = {
    {"a paused saga notes what comes and begins nothing", "( a+ t1000", "a1", SAGA_RUNNING},
    {"resumed, it goes on", "( a+ ) b+ c+", "a1 b1 c1", SAGA_COMPLETED},
    {"silence that fell into the pause counts when it is over", "( t1000 t1000 ) t0 a+ b+ c+", "a1 a2 b1 c1", SAGA_COMPLETED},
    {"so does a pause between attempts", "a~ ( t100 ) t0 a+ b+ c+", "a1 a2 b1 c1", SAGA_COMPLETED},
    {"and the deadline", "( t600000 a+ ) A+", "a1 A1", SAGA_COMPENSATED},
    {"a failure turns it, nothing is undone before it goes on", "a+ b+ ( c- t1000 ) B+ A+", "a1 b1 c1 B1 A1", SAGA_COMPENSATED},
    {"so does a cancel", "a+ b+ ( x c+ ) C+ B+ A+", "a1 b1 c1 C1 B1 A1", SAGA_COMPENSATED},
    {"on the way back too", "a+ b+ c- ( B+ ) A+", "a1 b1 c1 B1 A1", SAGA_COMPENSATED},
    {"the last answer ends it only then", "a+ b+ ( c+", "a1 b1 c1", SAGA_RUNNING},
    {"at once", "a+ b+ ( c+ )", "a1 b1 c1", SAGA_COMPLETED},
    {"it is paused once and resumed once", "( ( ) ) a+ b+ c+", "a1 b1 c1", SAGA_COMPLETED},
    {"a stalled one can be paused, and nobody repairs it meanwhile", "a+ b+ c- B- ( b! b_ ) b! B+ A+", "a1 b1 c1 B1 B1 A1", SAGA_COMPENSATED},
    {"what it was stalled by may resolve itself", "a+ b+ c- B- ( B1+ ) A+", "a1 b1 c1 B1 A1", SAGA_COMPENSATED},
}, wait_scripts[] = {
    {"a signal and the delay, in this order", "a+ s t10000 b+", "a1 b1", SAGA_COMPLETED},
    {"in the other order", "a+ t10000 s b+", "a1 b1", SAGA_COMPLETED},
    {"a signal that comes before its step's turn is kept", "s a+ t10000 b+", "a1 b1", SAGA_COMPLETED},
    {"it comes once", "s s a+ s t10000 b+", "a1 b1", SAGA_COMPLETED},
    {"it does not come in time", "a+ t10000 t3590000 A+", "a1 A1", SAGA_COMPENSATED},
    {"cancel calls a wait and a delay off", "a+ x A+", "a1 A1", SAGA_COMPENSATED},
    {"a signal on the way back is nothing", "a+ x s A+", "a1 A1", SAGA_COMPENSATED},
    {"what followed a wait is undone, then what came before it", "a+ s t10000 b- A+", "a1 b1 A1", SAGA_COMPENSATED},
    {"no reply answers a wait", "a+ w+ w- l+ t10000 s b+", "a1 b1", SAGA_COMPLETED},
}, pivot_scripts[] = {
    {"success", "a+ p+ b+ c+", "a1 p1 b1 c1", SAGA_COMPLETED},
    {"before the pivot there is a way back", "a-", "a1", SAGA_COMPENSATED},
    {"a pivot that says no turns the saga", "a+ p- A+", "a1 p1 A1", SAGA_COMPENSATED},
    {"cancel before the pivot", "x a+ A+", "a1 A1", SAGA_COMPENSATED},
    {"cancel beside an unanswered pivot waits, and is void when it succeeds", "a+ x p+ b+ c+", "a1 p1 b1 c1", SAGA_COMPLETED},
    {"or the pivot says no", "a+ x p- A+", "a1 p1 A1", SAGA_COMPENSATED},
    {"the deadline waits too", "a+ p. t600000 p+ b+ c+", "a1 p1 p2 b1 c1", SAGA_COMPLETED},
    {"cancel after the pivot is refused", "a+ p+ x b+ c+", "a1 p1 b1 c1", SAGA_COMPLETED},
    {"the deadline after the pivot only alerts", "a+ p+ b. c. t600000 b+ c+", "a1 p1 b1 c1 b2", SAGA_COMPLETED},
    {"an exhausted pivot stalls the saga", "a+ t1000 t1000", "a1 p1 p2", SAGA_STALLED},
    {"its late success goes on", "a+ t1000 t1000 p1+ b+ c+", "a1 p1 p2 b1 c1", SAGA_COMPLETED},
    {"its late failure turns the saga", "a+ t1000 t1000 p1- A+", "a1 p1 p2 A1", SAGA_COMPENSATED},
    {"cancel of it waits as well", "a+ t1000 t1000 x p1+ b+ c+", "a1 p1 p2 b1 c1", SAGA_COMPLETED},
    {"after the pivot a failure stalls, the other branch goes on", "a+ p+ b- c+", "a1 p1 b1 c1", SAGA_STALLED},
    {"and silence", "a+ p+ c+ t1000 t1000", "a1 p1 b1 c1 b2", SAGA_STALLED},
    {"an operator retries the pivot", "a+ t1000 t1000 p! p+ b+ c+", "a1 p1 p2 p1 b1 c1", SAGA_COMPLETED},
    {"which may be exhausted again", "a+ t1000 t1000 p! t1000 t1000", "a1 p1 p2 p1 p2", SAGA_STALLED},
    {"an operator knows that the pivot succeeded", "a+ t1000 t1000 p= b+ c+", "a1 p1 p2 b1 c1", SAGA_COMPLETED},
    {"or that it failed: it is fenced, then the others are undone", "a+ t1000 t1000 p0 P+ A+", "a1 p1 p2 P1 A1", SAGA_COMPENSATED},
    {"or goes on without it: it is fenced first", "a+ t1000 t1000 p_ P+ b+ c+", "a1 p1 p2 P1 b1 c1", SAGA_COMPLETED},
    {"the fence may fail", "a+ t1000 t1000 p_ P-", "a1 p1 p2 P1", SAGA_STALLED},
    {"and be retried", "a+ t1000 t1000 p_ P- p! P+ b+ c+", "a1 p1 p2 P1 P1 b1 c1", SAGA_COMPLETED},
    {"or be skipped", "a+ t1000 t1000 p_ P- p_ b+ c+", "a1 p1 p2 P1 b1 c1", SAGA_COMPLETED},
    {"or be known to have worked", "a+ t1000 t1000 p_ P- p= b+ c+", "a1 p1 p2 P1 b1 c1", SAGA_COMPLETED},
    {"a cancel that waited is void when the pivot is skipped", "a+ t1000 t1000 x p_ P+ b+ c+", "a1 p1 p2 P1 b1 c1", SAGA_COMPLETED},
    {"a step after the pivot is retried", "a+ p+ b- c+ b! b+", "a1 p1 b1 c1 b1", SAGA_COMPLETED},
    {"or skipped: it was refused, so nothing is fenced", "a+ p+ b- c+ b_", "a1 p1 b1 c1", SAGA_COMPLETED},
    {"or supplied", "a+ p+ b- c+ b=", "a1 p1 b1 c1", SAGA_COMPLETED},
    {"one whose outcome is unknown is fenced", "a+ p+ c+ t1000 t1000 b_ B+", "a1 p1 b1 c1 b2 B1", SAGA_COMPLETED},
    {"one that nothing can undo is not", "a+ p+ b+ t1000 c_", "a1 p1 b1 c1", SAGA_COMPLETED},
    {"a failure after the pivot cannot be supplied", "a+ p+ b- c+ b0", "a1 p1 b1 c1", SAGA_STALLED},
    {"nothing is done to a step that holds nothing up", "a+ p+ b- a! c! p_ c+", "a1 p1 b1 c1", SAGA_STALLED},
    {"two hold it up", "a+ p+ b- c- b! b+", "a1 p1 b1 c1 b1", SAGA_STALLED},
    {"both are repaired", "a+ p+ b- c- c_ b=", "a1 p1 b1 c1", SAGA_COMPLETED},
    {"a pivot that was fenced backward stalls backward, and is waived there", "a+ t1000 t1000 p0 P- p_ A+", "a1 p1 p2 P1 A1",
     SAGA_COMPENSATED},
}, scripts[] = {
    {"success", "a+ b+ c+", "a1 b1 c1", SAGA_COMPLETED},
    {"the first step says no", "a-", "a1", SAGA_COMPENSATED},
    {"the second says no", "a+ b- A+", "a1 b1 A1", SAGA_COMPENSATED},
    {"the third says no: exact reverse", "a+ b+ c- B+ A+", "a1 b1 c1 B1 A1", SAGA_COMPENSATED},
    {"a passing fault", "a~ t99 t1 a+ b+ c+", "a1 a2 b1 c1", SAGA_COMPLETED},
    {"backoff doubles", "a~ t100 a~ t199 t1 a+ b+ c+", "a1 a2 a3 b1 c1", SAGA_COMPLETED},
    {"retries are exhausted: the outcome is unknown", "a~ t100 a~ t200 a~ A+", "a1 a2 a3 A1", SAGA_COMPENSATED},
    {"silence: the same command again", "t999 t1 a+ b+ c+", "a1 a2 b1 c1", SAGA_COMPLETED},
    {"silence to the end: compensated too", "t1000 t1000 t1000 A+", "a1 a2 a3 A1", SAGA_COMPENSATED},
    {"silence, on_timeout compensate", "a+ t1000 B+ A+", "a1 b1 B1 A1", SAGA_COMPENSATED},
    {"a verdict of an earlier attempt stands", "t1000 a1+ b+ c+", "a1 a2 b1 c1", SAGA_COMPLETED},
    {"a retry of an earlier attempt is history", "t1000 a1~ a2+ b+ c+", "a1 a2 b1 c1", SAGA_COMPLETED},
    {"the first verdict stands", "a+ a- b+ b+ c+", "a1 b1 c1", SAGA_COMPLETED},
    {"a verdict after its compensation began is history", "a+ t1000 b+ B+ A+", "a1 b1 B1 A1", SAGA_COMPENSATED},
    {"accepted starts the timeout anew", "t900 a. t900 a+ b+ c+", "a1 b1 c1", SAGA_COMPLETED},
    {"and so does every heartbeat", "t900 a. t900 a. t900 a. t900 a+ b+ c+", "a1 b1 c1", SAGA_COMPLETED},
    {"accepted of an earlier attempt does not", "t1000 a1. t1000 a+ b+ c+", "a1 a2 a3 b1 c1", SAGA_COMPLETED},
    {"a command still in the outbox has no timeout", "u900 t900 a+ b+ c+", "a1 b1 c1", SAGA_COMPLETED},
    {"cancel waits for the action in flight", "a+ x b+ B+ A+", "a1 b1 B1 A1", SAGA_COMPENSATED},
    {"cancel, and the action in flight says no", "a+ x b- A+", "a1 b1 A1", SAGA_COMPENSATED},
    {"cancel, and silence", "x t1000 A+", "a1 A1", SAGA_COMPENSATED},
    {"cancel, and a passing fault: no new attempt", "x a~ A+", "a1 A1", SAGA_COMPENSATED},
    {"cancel while paused", "a~ x A+", "a1 A1", SAGA_COMPENSATED},
    {"cancel on the way back changes nothing", "a- x", "a1", SAGA_COMPENSATED},
    {"the deadline turns the saga", "t1000 t1000 a. t600000 A+", "a1 a2 a3 A1", SAGA_COMPENSATED},
    {"a compensation is retried without end", "a+ b- A~ t100 A~ t200 A~ t400 A~ t800 A~ t1600 A+",
     "a1 b1 A1 A2 A3 A4 A5 A6", SAGA_COMPENSATED},
    {"a silent compensation too", "a+ b- t1000 t1000 A+", "a1 b1 A1 A2 A3", SAGA_COMPENSATED},
    {"a compensation that says no stalls the saga", "a+ b- A-", "a1 b1 A1", SAGA_STALLED},
    {"bounded attempts end in a stall", "a+ b+ x t1000 C~ t100 C~", "a1 b1 c1 C1 C2", SAGA_STALLED},
    {"an operator retries a compensation", "a+ b- A- a! A+", "a1 b1 A1 A1", SAGA_COMPENSATED},
    {"a reply of the round before is history", "a+ b+ x t1000 C~ t100 C~ c! C+ B+ A+", "a1 b1 c1 C1 C2 C1 B1 A1", SAGA_COMPENSATED},
    {"or lets the effect stand", "a+ b+ c- B- b_ A+", "a1 b1 c1 B1 A1", SAGA_COMPENSATED},
    {"or has undone it by hand", "a+ b+ c- B- b= A+", "a1 b1 c1 B1 A1", SAGA_COMPENSATED},
    {"a late success frees a stalled saga", "a+ b+ x t1000 C~ t100 C~ C1+ B+ A+", "a1 b1 c1 C1 C2 B1 A1",
     SAGA_COMPENSATED},
    {"a command that cannot be published was never sent", "a+ r A+", "a1 b1 A1", SAGA_COMPENSATED},
    {"unless an earlier attempt was", "t1000 r A+", "a1 a2 A1", SAGA_COMPENSATED},
    {"a compensation that cannot be published", "a+ b- r", "a1 b1 A1", SAGA_STALLED},
    {"a withdrawn command was never sent", "a+ x w A+", "a1 b1 A1", SAGA_COMPENSATED},
    {"replies after the end are nothing", "a- a+ A+ t5000", "a1", SAGA_COMPENSATED},
};

static void check_script(const char *definition, const char *name, const char *script, const char *sent, enum saga_state end)
{
    struct world w;
    world_open(&w, definition);
    play(&w, script);
    ck_assert_msg(strcmp(buf_text(&w.sent), sent) == 0, "%s: sent %s", name, buf_text(&w.sent));
    ck_assert_msg(w.saga.state == end, "%s: ended %s", name, saga_state_name(w.saga.state));
    ck_assert_int_eq(saga_ended(w.saga.state), w.saga.ended_ms != 0);
    world_close(&w);
}

START_TEST(scripts_give_their_commands)
{
    for (size_t i = 0; i < sizeof scripts / sizeof scripts[0]; i++)
        check_script(plain, scripts[i].name, scripts[i].script, scripts[i].sent, scripts[i].end);
}
END_TEST

START_TEST(steps_run_as_a_graph_and_are_undone_against_it)
{
    for (size_t i = 0; i < sizeof graph_scripts / sizeof graph_scripts[0]; i++)
        check_script(diamond, graph_scripts[i].name, graph_scripts[i].script, graph_scripts[i].sent, graph_scripts[i].end);
}
END_TEST

static void check_conditional(const char *input, const char *script, const char *sent, enum saga_state end)
{
    struct world w;
    world_open(&w, conditional);
    w.saga.input = input;
    w.saga.input_len = strlen(input);
    play(&w, script);
    ck_assert_str_eq(buf_text(&w.sent), sent);
    ck_assert_int_eq(w.saga.state, end);
    world_close(&w);
}

START_TEST(a_step_whose_condition_does_not_hold_is_skipped_and_not_compensated)
{
    check_conditional("{\"n\":1}", "a+ b+ c+ d+", "a1 b1 c1 d1", SAGA_COMPLETED);
    check_conditional("{\"n\":2}", "a+ d+", "a1 d1", SAGA_COMPLETED);
    check_conditional("{}", "a+ d- A+", "a1 d1 A1", SAGA_COMPENSATED);
    check_conditional("{\"n\":1}", "a+ b+ c+ d- C+ B+ A+", "a1 b1 c1 d1 C1 B1 A1", SAGA_COMPENSATED);
    struct world w;
    world_open(&w, conditional);
    w.saga.input = "{\"n\":2}";
    play(&w, "a+");
    ck_assert_int_eq(w.steps[1].state, STEP_SKIPPED);
    ck_assert_int_eq(w.steps[2].state, STEP_SKIPPED);
    ck_assert_str_eq(buf_text(&w.entries), "saga_started action_sent action_succeeded step_skipped step_skipped action_sent ");
    world_close(&w);
}
END_TEST

START_TEST(silence_may_ask_what_became_of_the_action)
{
    for (size_t i = 0; i < sizeof probe_scripts / sizeof probe_scripts[0]; i++)
        check_script(probing, probe_scripts[i].name, probe_scripts[i].script, probe_scripts[i].sent, probe_scripts[i].end);
    struct world w;
    world_open(&w, probing);
    play(&w, "t1000 ?a@ t1000 ?ao t400 a+");
    ck_assert_str_eq(buf_text(&w.entries), "saga_started action_sent action_timed_out probe_sent:2 action_in_progress:2 action_timed_out:2 "
                                           "probe_sent:3 action_not_seen:3 action_sent:4 action_succeeded:4 action_sent ");
    world_close(&w);
}
END_TEST

START_TEST(a_paused_saga_notes_what_comes_and_sends_nothing)
{
    for (size_t i = 0; i < sizeof pause_scripts / sizeof pause_scripts[0]; i++)
        check_script(plain, pause_scripts[i].name, pause_scripts[i].script, pause_scripts[i].sent, pause_scripts[i].end);
    struct world w;
    world_open(&w, plain);
    play(&w, "a+ (");
    w.now_ms += 5000;
    ck_assert_int_eq(w.saga.wake_ms, 0);
    ck_assert_uint_eq(machine_overdue(&w.saga, w.now_ms, (int[4]){0}), 0);
    play_one(&w, ")");
    ck_assert_int_le(w.saga.wake_ms, w.now_ms);
    ck_assert_uint_eq(machine_overdue(&w.saga, w.now_ms, (int[4]){0}), 1);
    ck_assert_str_eq(buf_text(&w.entries), "saga_started action_sent action_succeeded action_sent saga_paused saga_resumed ");
    world_close(&w);
}
END_TEST

START_TEST(a_saga_begins_when_its_time_has_come)
{
    static const struct {
        const char *script, *entries;
        enum saga_state end;
    } schedules[] = {
        {"", "saga_scheduled ", SAGA_SCHEDULED},
        {"t4999", "saga_scheduled ", SAGA_SCHEDULED},
        {"t5000", "saga_scheduled saga_started action_sent ", SAGA_RUNNING},
        {"x", "saga_scheduled saga_cancelled saga_compensating saga_compensated ", SAGA_COMPENSATED},
        {"( t5000", "saga_scheduled saga_paused ", SAGA_SCHEDULED},
        {"( t5000 ) t0", "saga_scheduled saga_paused saga_resumed saga_started action_sent ", SAGA_RUNNING},
        {"( x )", "saga_scheduled saga_paused saga_cancelled saga_compensating saga_resumed saga_compensated ", SAGA_COMPENSATED},
    };
    for (size_t i = 0; i < sizeof schedules / sizeof schedules[0]; i++) {
        struct world w;
        world_open(&w, plain);
        w.saga.start_ms = w.now_ms + 5000;
        play(&w, schedules[i].script);
        ck_assert_str_eq(buf_text(&w.entries), schedules[i].entries);
        ck_assert_int_eq(w.saga.state, schedules[i].end);
        if (w.saga.state == SAGA_RUNNING) /* the deadline runs from there */
            ck_assert_int_eq(w.saga.deadline_ms, w.now_ms + 600000);
        world_close(&w);
    }
}
END_TEST

static void check_child(const char *definition, enum parent_order order, const char *script, const char *sent, const char *answers,
                        enum saga_state end)
{
    struct world w;
    world_open(&w, definition);
    w.saga.order = order;
    w.saga.parent_round = 1;
    play(&w, script);
    ck_assert_msg(strcmp(buf_text(&w.sent), sent) == 0, "%s: sent %s", script, buf_text(&w.sent));
    ck_assert_msg(strcmp(buf_text(&w.answers), answers) == 0, "%s: answered %s", script, buf_text(&w.answers));
    ck_assert_msg(w.saga.state == end, "%s: %s", script, saga_state_name(w.saga.state));
    ck_assert_int_eq(w.saga.ended_ms != 0, saga_ended(end));
    world_close(&w);
}

START_TEST(a_child_answers_its_parent_once_it_has_ended)
{
    check_child(plain, ORDER_START, "a+ b+", "a1 b1 c1", "", SAGA_RUNNING);
    check_child(plain, ORDER_START, "a+ b+ c+", "a1 b1 c1", "1:succeeded ", SAGA_COMPLETED);
    check_child(plain, ORDER_START, "a+ b- A+", "a1 b1 A1", "1:failed ", SAGA_COMPENSATED);
    check_child(plain, ORDER_START, "a+ < b+ c+", "a1 b1 c1", "1:accepted 1:succeeded ", SAGA_COMPLETED);
    check_child(plain, ORDER_START, "a+ b+ c+ <", "a1 b1 c1", "1:succeeded 1:succeeded ", SAGA_COMPLETED);
    check_child(plain, ORDER_START, "a- <2", "a1", "1:failed 2:failed ", SAGA_COMPENSATED);
    check_child(plain, ORDER_START, "<2 a+ b+ c+", "a1 b1 c1", "2:accepted 2:succeeded ", SAGA_COMPLETED);
    check_child(plain, ORDER_START, "a+ b+ c- B-", "a1 b1 c1 B1", "", SAGA_STALLED);
}
END_TEST

START_TEST(a_child_is_cancelled_or_undone_by_its_own_compensations_in_reverse)
{
    check_child(plain, ORDER_UNDO, "", "", "undo1:succeeded ", SAGA_COMPENSATED); /* before it was begun: it never will be */
    check_child(plain, ORDER_UNDO, "<", "", "undo1:succeeded undo1:succeeded ", SAGA_COMPENSATED);
    check_child(plain, ORDER_START, "a+ > b+ B+ A+", "a1 b1 B1 A1", "undo1:accepted undo1:succeeded ", SAGA_COMPENSATED);
    check_child(plain, ORDER_START, "a+ b+ c+ > C+ B+ A+", "a1 b1 c1 C1 B1 A1", "1:succeeded undo1:accepted undo1:succeeded ", SAGA_COMPENSATED);
    check_child(plain, ORDER_START, "a+ b+ c+ > > C+ < B+ A+ >", "a1 b1 c1 C1 B1 A1",
                "1:succeeded undo1:accepted undo1:accepted undo1:accepted undo1:succeeded undo1:succeeded ", SAGA_COMPENSATED);
    check_child(plain, ORDER_START, "a- >", "a1", "1:failed undo1:succeeded ", SAGA_COMPENSATED);
    check_child(plain, ORDER_START, "a+ b- > A+", "a1 b1 A1", "undo1:accepted undo1:succeeded ", SAGA_COMPENSATED);
    check_child(pivoted, ORDER_START, "a+ > p+ b+ c+", "a1 p1 b1 c1", "undo1:accepted undo1:failed ", SAGA_COMPLETED);
}
END_TEST

START_TEST(a_child_behind_its_pivot_cannot_be_undone)
{
    check_child(pivoted, ORDER_START, "a+ p+ >", "a1 p1 b1 c1", "undo1:failed ", SAGA_RUNNING);
    check_child(pivoted, ORDER_START, "a+ p+ b+ c+ >", "a1 p1 b1 c1", "1:succeeded undo1:failed ", SAGA_COMPLETED);
    check_child(pivoted, ORDER_START, "a+ > p- A+", "a1 p1 A1", "undo1:accepted undo1:succeeded ", SAGA_COMPENSATED);
}
END_TEST

START_TEST(a_child_that_failed_may_be_superseded)
{
    check_child(plain, ORDER_START, "a- ^ <2 >2", "a1", "1:failed ", SAGA_COMPENSATED);
    check_child(plain, ORDER_START, "a+ ^ b+ c+", "a1 b1 c1", "1:succeeded ", SAGA_COMPLETED); /* only one that failed */
    check_child(plain, ORDER_START, "a- > ^ >", "a1", "1:failed undo1:succeeded undo1:succeeded ", SAGA_COMPENSATED); /* nor one that is undone */
}
END_TEST

START_TEST(a_child_has_one_id)
{
    struct uuid parent = uuid_v7(), other = uuid_v7();
    struct uuid id = child_id(&parent, "ship", 1), same = child_id(&parent, "ship", 1), next = child_id(&parent, "ship", 2),
                beside = child_id(&parent, "shipp", 1), elsewhere = child_id(&other, "ship", 1);
    ck_assert(uuid_equal(&id, &same));
    ck_assert(!uuid_equal(&id, &next) && !uuid_equal(&id, &beside) && !uuid_equal(&id, &elsewhere) && !uuid_equal(&id, &parent));
    ck_assert_int_eq(uuid_v7_ms(&id), uuid_v7_ms(&parent));
}
END_TEST

static const char *const nesting =
    "{\"name\":\"d\",\"steps\":["
    "{\"name\":\"a\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\"},"
    "{\"name\":\"b\",\"saga\":\"other\",\"version\":3,\"input\":{\"id\":\"${steps.a.output.id}\"}},"
    "{\"name\":\"c\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\"}]}";

START_TEST(a_step_may_be_a_saga)
{
    struct world w;
    world_open(&w, nesting);
    play(&w, "a+");
    ck_assert_str_eq(w.definition->steps[1].service, "saga");
    ck_assert_str_eq(buf_text(&w.values), "{\"definition\":\"other\",\"version\":3,\"input\":{\"id\":7}}");
    play_one(&w, "x"); /* it is told to turn back, and not waited for */
    ck_assert_str_eq(buf_text(&w.sent), "a1 b1 B1");
    play_one(&w, "B+");
    play_one(&w, "A+");
    ck_assert_int_eq(w.saga.state, SAGA_COMPENSATED);
    world_close(&w);
}
END_TEST

static const char *const holding =
    "{\"name\":\"d\",\"timeout\":\"10m\",\"entities\":[\"order:${input.n}\"],\"steps\":["
    "{\"name\":\"a\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\"}]}";

static void tell(struct world *w, enum event_type type, bool has_entities)
{
    world_apply(w, &(struct event){.type = type, .has_entities = has_entities});
}

START_TEST(a_saga_begins_once_it_has_its_entities)
{
    struct world w;
    world_open(&w, holding);
    ck_assert(machine_wants_entities(&w.saga, EVENT_START, w.now_ms));
    tell(&w, EVENT_START, false);
    ck_assert_int_eq(w.saga.state, SAGA_QUEUED);
    ck_assert_int_eq(w.saga.wake_ms, 0);
    tell(&w, EVENT_TIMER, false); /* it was woken for one of several */
    w.now_ms += 5000;
    ck_assert(machine_wants_entities(&w.saga, EVENT_TIMER, w.now_ms));
    tell(&w, EVENT_TIMER, true);
    ck_assert_int_eq(w.saga.deadline_ms, w.now_ms + 600000); /* from there */
    ck_assert(!machine_wants_entities(&w.saga, EVENT_TIMER, w.now_ms));
    ck_assert_str_eq(buf_text(&w.entries), "saga_queued saga_started action_sent ");
    world_close(&w);
    world_open(&w, holding);
    tell(&w, EVENT_START, true);
    ck_assert_int_eq(w.saga.state, SAGA_RUNNING);
    world_close(&w);
}
END_TEST

START_TEST(a_saga_that_waits_for_entities_can_be_cancelled_and_paused)
{
    struct world w;
    world_open(&w, holding);
    tell(&w, EVENT_START, false);
    tell(&w, EVENT_CANCEL, false);
    ck_assert_int_eq(w.saga.state, SAGA_COMPENSATED);
    ck_assert_str_eq(buf_text(&w.entries), "saga_queued saga_cancelled saga_compensating saga_compensated ");
    world_close(&w);
    world_open(&w, holding);
    tell(&w, EVENT_START, false);
    tell(&w, EVENT_PAUSE, false);
    ck_assert(!machine_wants_entities(&w.saga, EVENT_TIMER, w.now_ms));
    tell(&w, EVENT_TIMER, true);
    ck_assert_int_eq(w.saga.state, SAGA_QUEUED);
    tell(&w, EVENT_RESUME, false);
    ck_assert_int_eq(w.saga.wake_ms, w.now_ms); /* its turn may have come meanwhile */
    world_close(&w);
}
END_TEST

START_TEST(a_scheduled_saga_asks_for_its_entities_when_its_time_has_come)
{
    struct world w;
    world_open(&w, holding);
    w.saga.start_ms = w.now_ms + 1000;
    ck_assert(!machine_wants_entities(&w.saga, EVENT_START, w.now_ms));
    tell(&w, EVENT_START, false);
    ck_assert_int_eq(w.saga.state, SAGA_SCHEDULED);
    w.now_ms += 1000;
    ck_assert(machine_wants_entities(&w.saga, EVENT_TIMER, w.now_ms));
    tell(&w, EVENT_TIMER, false);
    ck_assert_int_eq(w.saga.state, SAGA_QUEUED);
    w.now_ms -= 500; /* the clock of another process */
    ck_assert(machine_wants_entities(&w.saga, EVENT_TIMER, w.now_ms));
    tell(&w, EVENT_TIMER, true);
    ck_assert_int_eq(w.saga.state, SAGA_RUNNING);
    world_close(&w);
}
END_TEST

START_TEST(entity_keys_are_texts_made_of_the_input)
{
    static const struct {
        const char *entities, *input, *keys; /* NULL: refused */
    } cases[] = {
        {"[\"order:${input.n}\"]", "{\"n\":1}", "order:1 "},
        {"[\"${input.n}\"]", "{\"n\":1}", "1 "},
        {"[\"${input.n}\"]", "{\"n\":\"x\"}", "x "},
        {"[\"b:${input.n}\",\"a:${input.n}\",\"b:1\"]", "{\"n\":1}", "b:1 a:1 "}, /* each once */
        {"[{\"key\":\"k\",\"mode\":\"observe\"},\"k\"]", "{}", "k "}, /* held */
        {"[{\"key\":\"k\",\"mode\":\"observe\"},{\"key\":\"l\",\"mode\":\"hold\"}]", "{}", "(k) l "},
        {"[\"${input.n}\"]", "{\"n\":1.5}", NULL},
        {"[\"${input.n}\"]", "{\"n\":\"\"}", NULL},
        {"[\"${input.n}\"]", "{\"n\":null}", NULL},
        {"[\"${input.n}\"]", "{}", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[1000], found[200] = "";
        struct world w;
        struct entity entities[ENTITIES_MAX];
        struct err err;
        size_t n;
        snprintf(text, sizeof text, "{\"name\":\"d\",\"entities\":%s,\"steps\":[{\"name\":\"a\",\"delay\":\"1s\"}]}", cases[i].entities);
        world_open(&w, text);
        w.saga.input = cases[i].input;
        w.saga.input_len = strlen(cases[i].input);
        bool ok = entities_of(&w.saga, &w.arena, entities, &n, &err);
        ck_assert_msg(ok == (cases[i].keys != NULL), "%s", cases[i].entities);
        for (size_t k = 0; ok && k < n; k++) {
            size_t len = strlen(found);
            snprintf(found + len, sizeof found - len, entities[k].observes ? "(%s) " : "%s ", entities[k].key);
        }
        if (ok)
            ck_assert_str_eq(found, cases[i].keys);
        world_close(&w);
    }
}
END_TEST

START_TEST(a_saga_waits_for_signals_and_for_time)
{
    for (size_t i = 0; i < sizeof wait_scripts / sizeof wait_scripts[0]; i++)
        check_script(waiting, wait_scripts[i].name, wait_scripts[i].script, wait_scripts[i].sent, wait_scripts[i].end);
    struct world w;
    world_open(&w, waiting);
    play(&w, "a+ s t10000");
    ck_assert_str_eq(buf_text(&w.entries), "saga_started action_sent action_succeeded waiting delayed signal_received delay_over action_sent ");
    ck_assert_uint_eq(machine_overdue(&w.saga, w.now_ms, (int[4]){0}), 0);
    world_close(&w);
}
END_TEST

START_TEST(behind_the_pivot_there_is_no_way_back)
{
    for (size_t i = 0; i < sizeof pivot_scripts / sizeof pivot_scripts[0]; i++)
        check_script(pivoted, pivot_scripts[i].name, pivot_scripts[i].script, pivot_scripts[i].sent, pivot_scripts[i].end);
}
END_TEST

START_TEST(an_act_is_for_the_step_as_it_was_seen)
{
    struct world w;
    world_open(&w, pivoted);
    play(&w, "a+ t1000 t1000");
    struct event event = {.type = EVENT_SKIP, .step = 1, .version = "1.1.UNKNOWN"};
    ck_assert_str_eq(machine_refusal(&w.saga, &event), "the step has changed since it was looked at");
    event.version = "1.2.UNKNOWN";
    ck_assert_ptr_null(machine_refusal(&w.saga, &event));
    play_one(&w, "p!");
    ck_assert_str_eq(machine_refusal(&w.saga, &(struct event){.type = EVENT_RETRY, .step = 1}), "the saga is not stalled");
    ck_assert_int_eq(w.steps[1].round, 2);
    world_close(&w);
}
END_TEST

START_TEST(the_history_tells_of_cancels_and_deadlines_that_come_too_late)
{
    struct world w;
    world_open(&w, pivoted);
    play(&w, "a+ x p+ t600000");
    ck_assert_ptr_nonnull(strstr(buf_text(&w.entries), "action_sent saga_cancelled action_succeeded cancel_too_late action_sent "));
    ck_assert_ptr_nonnull(strstr(buf_text(&w.entries), "deadline_passed "));
    ck_assert(!w.saga.cancelled);
    w.entries.len = 0;
    play_one(&w, "t1000");
    ck_assert_ptr_null(strstr(buf_text(&w.entries), "deadline_passed"));
    world_close(&w);
}
END_TEST

START_TEST(a_step_without_compensation_is_passed_over)
{
    struct world w;
    world_open(&w, "{\"name\":\"d\",\"steps\":["
                   "{\"name\":\"a\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\"},"
                   "{\"name\":\"c\",\"service\":\"s\",\"action\":\"do\",\"compensation\":null},"
                   "{\"name\":\"b\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\","
                   "\"input\":{\"id\":\"${steps.a.output.id}\"}}]}");
    world_apply(&w, &(struct event){.type = EVENT_START});
    for (int step = 0; step < 3; step++)
        world_apply(&w, &(struct event){.type = EVENT_REPLY, .step = step, .round = 1, .attempt = 1,
                                        .outcome = step == 2 ? OUTCOME_FAILED : OUTCOME_SUCCEEDED,
                                        .output = "{\"id\":7}", .output_len = 8});
    ck_assert_str_eq(buf_text(&w.sent), "a1 c1 b1 A1");
    ck_assert_int_eq(w.steps[1].state, STEP_COMPENSATED);
    world_close(&w);
}
END_TEST

START_TEST(a_deadline_that_passes_in_a_pause_allows_no_new_attempt)
{
    struct world w;
    world_open(&w, "{\"name\":\"d\",\"timeout\":\"1s\",\"steps\":["
                   "{\"name\":\"a\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\","
                   "\"retry\":{\"initial\":\"2s\",\"jitter\":0}}]}");
    play(&w, "a~ t2000 A+");
    ck_assert_str_eq(buf_text(&w.sent), "a1 A1");
    ck_assert_int_eq(w.saga.state, SAGA_COMPENSATED);
    world_close(&w);
}
END_TEST

/* Behind the pivot, so that an operator is asked: once more does not help as long as it takes as much. */
START_TEST(a_step_whose_condition_takes_too_much_is_not_sent_by_a_retry_either)
{
    struct world w;
    world_open(&w, "{\"name\":\"d\",\"steps\":["
                   "{\"name\":\"a\",\"service\":\"s\",\"action\":\"do\",\"compensation\":null,\"pivot\":true},"
                   "{\"name\":\"b\",\"service\":\"s\",\"action\":\"do\",\"compensation\":null,"
                   "\"when\":{\"reduce\":[{\"var\":\"input\"},{\"merge\":[{\"var\":\"accumulator\"},{\"var\":\"accumulator\"}]},[1]]}}]}");
    w.saga.input = "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20]";
    w.saga.input_len = strlen(w.saga.input);
    world_apply(&w, &(struct event){.type = EVENT_START});
    world_apply(&w, &(struct event){.type = EVENT_REPLY, .round = 1, .attempt = 1, .outcome = OUTCOME_SUCCEEDED, .output = "1", .output_len = 1});
    ck_assert_int_eq(w.steps[1].state, STEP_FAILED);
    ck_assert_int_eq(w.saga.state, SAGA_STALLED);
    world_apply(&w, &(struct event){.type = EVENT_RETRY, .step = 1});
    ck_assert_int_eq(w.steps[1].state, STEP_FAILED);
    ck_assert_str_eq(buf_text(&w.sent), "a1");
    ck_assert_ptr_nonnull(strstr(w.steps[1].error, "too_large"));
    world_close(&w);
}
END_TEST

START_TEST(input_too_deep_for_its_compensation_is_not_sent)
{
    struct world w;
    char input[200] = "", *at = input;
    for (int i = 0; i < JSON_DEPTH_MAX; i++)
        *at++ = '[';
    for (int i = 0; i < JSON_DEPTH_MAX; i++)
        *at++ = ']';
    world_open(&w, "{\"name\":\"d\",\"steps\":["
                   "{\"name\":\"a\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\",\"input\":\"${input}\"}]}");
    w.saga.input = input;
    w.saga.input_len = strlen(input);
    world_apply(&w, &(struct event){.type = EVENT_START});
    ck_assert_str_eq(buf_text(&w.sent), "");
    ck_assert_int_eq(w.saga.state, SAGA_COMPENSATED);
    ck_assert_ptr_nonnull(strstr(w.steps[0].error, "bad_input"));
    world_close(&w);
}
END_TEST

START_TEST(input_that_leads_nowhere_fails_the_step_before_it_is_sent)
{
    struct world w;
    world_open(&w, "{\"name\":\"d\",\"steps\":["
                   "{\"name\":\"a\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\"},"
                   "{\"name\":\"c\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\","
                   "\"input\":\"${input.nothing}\"}]}");
    world_apply(&w, &(struct event){.type = EVENT_START});
    world_apply(&w, &(struct event){.type = EVENT_REPLY, .round = 1, .attempt = 1, .outcome = OUTCOME_SUCCEEDED,
                                    .output = "{\"id\":7}", .output_len = 8});
    ck_assert_str_eq(buf_text(&w.sent), "a1 A1");
    ck_assert_int_eq(w.steps[1].state, STEP_FAILED);
    ck_assert_ptr_nonnull(strstr(w.steps[1].error, "bad_input"));
    ck_assert_ptr_nonnull(strstr(buf_text(&w.entries), "action_not_sent saga_compensating compensation_sent"));
    world_close(&w);
}
END_TEST

START_TEST(the_history_tells_all)
{
    struct world w;
    world_open(&w, plain);
    play(&w, "a~ t100 a2+ a1+ b- A+");
    ck_assert_str_eq(buf_text(&w.entries),
                     "saga_started action_sent action_retry action_sent:2 action_succeeded:2 action_sent reply_ignored "
                     "action_failed saga_compensating compensation_sent compensation_succeeded saga_compensated ");
    world_close(&w);
    world_open(&w, plain);
    play(&w, "t1000 a1+"); /* the verdict is told of its own attempt */
    ck_assert_str_eq(buf_text(&w.entries), "saga_started action_sent action_timed_out action_sent:2 action_succeeded action_sent ");
    world_close(&w);
}
END_TEST

START_TEST(every_command_has_a_timeout_that_runs_from_its_release)
{
    struct world w;
    world_open(&w, "{\"name\":\"d\",\"steps\":[{\"name\":\"a\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\"}]}");
    play(&w, "");
    ck_assert_int_eq(w.steps[0].due_ms, w.now_ms + 30000);
    world_apply(&w, &(struct event){.type = EVENT_RELEASED, .kind = KIND_ACTION, .round = 1, .attempt = 1, .at_ms = w.now_ms + 7000});
    ck_assert_int_eq(w.steps[0].due_ms, w.now_ms + 37000);
    world_apply(&w, &(struct event){.type = EVENT_RELEASED, .kind = KIND_ACTION, .round = 1, .attempt = 2, .at_ms = w.now_ms + 9000});
    ck_assert_int_eq(w.steps[0].due_ms, w.now_ms + 37000); /* it is another one's */
    play_one(&w, "x");
    play_one(&w, "t37000"); /* unknown: it is undone */
    ck_assert_str_eq(buf_text(&w.sent), "a1 A1");
    ck_assert_int_eq(w.steps[0].due_ms, w.now_ms + 30000);
    play_one(&w, "t30000");
    ck_assert_str_eq(buf_text(&w.sent), "a1 A1 A2");
    world_close(&w);
}
END_TEST

START_TEST(a_saga_that_turns_looks_at_once_for_what_it_can_withdraw)
{
    struct world w;
    int steps[4];
    world_open(&w, diamond);
    play(&w, "a+");
    w.now_ms += 100;
    play_one(&w, "b-");
    ck_assert_int_eq(w.saga.wake_ms, w.now_ms); /* c is in flight */
    ck_assert_uint_eq(machine_overdue(&w.saga, w.now_ms, steps), 1);
    ck_assert_int_eq(steps[0], 2);
    play_one(&w, "w");
    play_one(&w, "t0");
    ck_assert_str_eq(buf_text(&w.sent), "a1 b1 c1 A1");
    world_close(&w);
    world_open(&w, plain);
    play(&w, "a+ b-"); /* nothing else is in flight */
    ck_assert_int_gt(w.saga.wake_ms, w.now_ms);
    world_close(&w);
}
END_TEST

START_TEST(a_passing_fault_may_say_how_long_to_wait)
{
    struct world w;
    world_open(&w, plain);
    play(&w, "");
    struct event event = reply(&w, 'a', 1, '~');
    event.retry_after_ms = 700;
    world_apply(&w, &event);
    ck_assert_int_eq(w.steps[0].due_ms, w.now_ms + 700);
    play_one(&w, "t699");
    ck_assert_str_eq(buf_text(&w.sent), "a1");
    play_one(&w, "t1");
    ck_assert_str_eq(buf_text(&w.sent), "a1 a2");
    world_close(&w);
}
END_TEST

static void check_undo_value(struct world *w, const char *value)
{
    struct effects effects = {.arena = &w->arena, .new_id = next_id};
    machine_apply(&w->saga, &(struct event){.type = EVENT_CANCEL}, w->now_ms, &effects);
    machine_apply(&w->saga, &(struct event){.type = EVENT_TIMER}, w->now_ms + 30000, &effects);
    ck_assert_ptr_nonnull(effects.commands);
    ck_assert_str_eq(effects.commands->value, value);
    world_close(w);
}

START_TEST(a_compensation_is_told_the_input_and_the_output_of_its_action)
{
    static const char one[] = "{\"name\":\"d\",\"steps\":[{\"name\":\"c\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\","
                              "\"input\":{\"k\":\"${input.n}\"}},{\"name\":\"w\",\"wait\":\"go\",\"timeout\":\"1h\"}]}";
    struct world w;
    world_open(&w, one);
    play(&w, "c+");
    check_undo_value(&w, "{\"input\":{\"k\":1},\"output\":{\"id\":7}}");
    world_open(&w, one);
    play(&w, "");
    check_undo_value(&w, "{\"input\":{\"k\":1},\"output\":null}"); /* nobody knows whether it happened */
}
END_TEST

START_TEST(dependence_goes_through_a_step_that_was_skipped)
{
    struct world w;
    world_open(&w, "{\"name\":\"d\",\"steps\":["
                   "{\"name\":\"a\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\"},"
                   "{\"name\":\"l\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\",\"after\":[\"a\"],\"when\":{\"==\":[{\"var\":\"input.n\"},2]}},"
                   "{\"name\":\"c\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\",\"after\":[\"l\"]},"
                   "{\"name\":\"d\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\",\"after\":[\"l\"]}]}");
    play(&w, "");
    ck_assert_str_eq(buf_text(&w.sent), "a1"); /* what comes after the skipped step waits for what came before it */
    play_one(&w, "a+");
    ck_assert_int_eq(w.steps[1].state, STEP_SKIPPED);
    play_one(&w, "c+");
    play_one(&w, "d-");
    ck_assert_str_eq(buf_text(&w.sent), "a1 c1 d1 C1"); /* and is undone before it */
    play_one(&w, "C+");
    play_one(&w, "A+");
    ck_assert_int_eq(w.saga.state, SAGA_COMPENSATED);
    world_close(&w);
}
END_TEST

START_TEST(a_wake_up_is_not_moved_by_replies)
{
    struct world w;
    world_open(&w, plain);
    world_apply(&w, &(struct event){.type = EVENT_START});
    int64_t wake = w.saga.wake_ms;
    w.now_ms += 500;
    struct event event = reply(&w, 'a', 1, '+');
    world_apply(&w, &event);
    ck_assert_int_eq(w.saga.wake_ms, wake);
    play_one(&w, "t500");
    ck_assert_int_eq(w.saga.wake_ms, wake + 500);
    play_one(&w, "b+");
    play_one(&w, "c+");
    ck_assert_int_eq(w.saga.wake_ms, 0);
    world_close(&w);
}
END_TEST

/* Where something is asked the answer may be a probe's. */
static void probe_instead(const struct world *w, unsigned *seed, struct event *event)
{
    if (w->definition->steps[event->step].on_timeout != ON_TIMEOUT_PROBE || event->kind != KIND_ACTION || rand_r(seed) % 2)
        return;
    event->kind = KIND_PROBE;
    if (event->outcome == OUTCOME_RETRY || event->outcome == OUTCOME_ACCEPTED)
        event->outcome = event->outcome == OUTCOME_RETRY ? OUTCOME_NOT_SEEN : OUTCOME_IN_PROGRESS;
}

static void apply_random(struct world *w, unsigned *seed, const char *letters)
{
    int dice = rand_r(seed) % 20;
    if (dice == 0) {
        static const enum event_type acts[] = {EVENT_CANCEL, EVENT_PAUSE, EVENT_RESUME, EVENT_RESUME};
        world_apply(w, &(struct event){.type = acts[rand_r(seed) % 4]});
    } else if (dice == 1) {
        act(w, (char)tolower(letters[(size_t)rand_r(seed) % strlen(letters)]), "!=0_"[rand_r(seed) % 4]);
    } else if (dice < 6) {
        w->now_ms += rand_r(seed) % 1500;
        world_apply(w, &(struct event){.type = EVENT_TIMER});
    } else {
        struct event event = reply(w, letters[(size_t)rand_r(seed) % strlen(letters)], 1 + rand_r(seed) % 3, "+-~."[rand_r(seed) % 4]);
        probe_instead(w, seed, &event);
        if (event.kind == KIND_ACTION || event.outcome != OUTCOME_FAILED)
            world_apply(w, &event);
    }
}

/* Any events in any order leave every invariant standing, and with answering participants every saga comes to its end. */
START_TEST(random_events_break_no_invariant)
{
    unsigned seed = 20260131;
    for (int run = 0; run < 6000; run++) {
        const char *const definitions[] = {plain, diamond, pivoted, waiting, probing};
        const char *const all[] = {"abcCBA", "abcdDCBA", "apbcCBPA", "abwlBA", "acCA"};
        const char *letters = all[run % 5];
        struct world w;
        world_open(&w, definitions[run % 5]);
        world_apply(&w, &(struct event){.type = EVENT_START});
        for (int i = 0; i < 30; i++)
            apply_random(&w, &seed, letters);
        world_apply(&w, &(struct event){.type = EVENT_RESUME});
        for (int i = 0; i < 40 && !saga_ended(w.saga.state) && w.saga.state != SAGA_STALLED; i++) {
            w.now_ms += run % 5 == 3 ? 3600000 : 1000;
            world_apply(&w, &(struct event){.type = EVENT_TIMER});
            for (const char *letter = letters; *letter; letter++) {
                struct event event = reply(&w, *letter, 0, '+');
                world_apply(&w, &event);
            }
        }
        ck_assert_msg(saga_ended(w.saga.state) || w.saga.state == SAGA_STALLED, "run %d: %s", run,
                      saga_state_name(w.saga.state));
        world_close(&w);
    }
}
END_TEST

/* docs/transitions.txt is the table for people; it is rewritten with SAGA_UPDATE_DOCS=1. */
START_TEST(the_document_shows_the_table)
{
    char *table = NULL, written[16 * 1024];
    size_t len;
    FILE *memory = open_memstream(&table, &len);
    machine_print(memory);
    fclose(memory);
    if (getenv("SAGA_UPDATE_DOCS")) {
        FILE *out = fopen(SAGA_DOCS "/transitions.txt", "w");
        ck_assert_ptr_nonnull(out);
        fputs(table, out);
        fclose(out);
    }
    FILE *file = fopen(SAGA_DOCS "/transitions.txt", "r");
    ck_assert_ptr_nonnull(file);
    written[fread(written, 1, sizeof written - 1, file)] = '\0';
    fclose(file);
    ck_assert_str_eq(written, table);
    free(table);
}
END_TEST

static const TTest **const tests[] = {
    &scripts_give_their_commands,
    &steps_run_as_a_graph_and_are_undone_against_it,
    &a_step_whose_condition_does_not_hold_is_skipped_and_not_compensated,
    &silence_may_ask_what_became_of_the_action,
    &a_paused_saga_notes_what_comes_and_sends_nothing,
    &a_saga_begins_when_its_time_has_come,
    &a_child_answers_its_parent_once_it_has_ended,
    &a_child_is_cancelled_or_undone_by_its_own_compensations_in_reverse,
    &a_child_behind_its_pivot_cannot_be_undone,
    &a_child_that_failed_may_be_superseded,
    &a_child_has_one_id,
    &a_step_may_be_a_saga,
    &a_saga_begins_once_it_has_its_entities,
    &a_saga_that_waits_for_entities_can_be_cancelled_and_paused,
    &a_scheduled_saga_asks_for_its_entities_when_its_time_has_come,
    &entity_keys_are_texts_made_of_the_input,
    &a_saga_waits_for_signals_and_for_time,
    &behind_the_pivot_there_is_no_way_back,
    &an_act_is_for_the_step_as_it_was_seen,
    &the_history_tells_of_cancels_and_deadlines_that_come_too_late,
    &a_step_without_compensation_is_passed_over,
    &a_deadline_that_passes_in_a_pause_allows_no_new_attempt,
    &a_step_whose_condition_takes_too_much_is_not_sent_by_a_retry_either, &input_too_deep_for_its_compensation_is_not_sent,
    &input_that_leads_nowhere_fails_the_step_before_it_is_sent,
    &the_history_tells_all,
    &every_command_has_a_timeout_that_runs_from_its_release,
    &a_saga_that_turns_looks_at_once_for_what_it_can_withdraw,
    &a_passing_fault_may_say_how_long_to_wait,
    &a_compensation_is_told_the_input_and_the_output_of_its_action,
    &dependence_goes_through_a_step_that_was_skipped,
    &a_wake_up_is_not_moved_by_replies,
    &the_document_shows_the_table,
    &random_events_break_no_invariant,
    NULL,
};
static const struct suite_case cases[] = {{"machine", tests, 30}};
SUITE_MAIN("machine", cases)
