/* core: what a saga learns of the order of effects on its entities, what it passes on, and what it tells of its own. */
#include <string.h>

#include "base/json.h"
#include "core/machine.h"
#include "suite.h"

/* a beside b, then c; two entities by the input. */
static const char *const text =
    "{\"name\":\"d\",\"entities\":[\"order:${input.n}\",{\"key\":\"shop\",\"mode\":\"observe\"}],\"steps\":["
    "{\"name\":\"a\",\"service\":\"x\",\"action\":\"do\",\"compensation\":\"undo\",\"after\":[]},"
    "{\"name\":\"b\",\"service\":\"y\",\"action\":\"do\",\"compensation\":\"undo\",\"after\":[]},"
    "{\"name\":\"c\",\"service\":\"x\",\"action\":\"do\",\"compensation\":\"undo\",\"after\":[\"a\",\"b\"]}]}";

struct world {
    struct definition *definition;
    struct saga saga;
    struct saga_step steps[3];
    struct arena arena;
    struct effects effects; /* of the last event */
};

static void open_world(struct world *w, const char *source_text, const char *parents_clock)
{
    struct err err;
    struct problems problems = {0};
    json_t *source = json_read(source_text, strlen(source_text), &err);
    memset(w, 0, sizeof *w);
    w->definition = definition_read(source, &problems);
    ck_assert(w->definition != NULL);
    json_decref(source);
    w->saga = (struct saga){.id = uuid_v7(), .definition = w->definition, .input = "{\"n\":7}", .input_len = 7, .steps = w->steps};
    w->effects = (struct effects){.arena = &w->arena, .new_id = uuid_v7};
    machine_apply(&w->saga, &(struct event){.type = EVENT_START, .has_entities = true, .clock = parents_clock}, 1000, &w->effects);
}

static void close_world(struct world *w)
{
    saga_release(&w->saga);
    definition_free(w->definition);
    arena_free(&w->arena);
}

static void reply(struct world *w, int step, enum command_kind kind, enum outcome outcome, const char *clock)
{
    w->effects = (struct effects){.arena = &w->arena, .new_id = uuid_v7};
    struct event event = {.type = EVENT_REPLY, .step = step, .kind = kind, .round = 1, .attempt = 1, .outcome = outcome, .clock = clock};
    if (outcome == OUTCOME_FAILED)
        event.error = "{\"code\":\"no\"}";
    machine_apply(&w->saga, &event, 1001, &w->effects);
}

/* "a.shop=3 A.shop=4": capitals are compensations; as the list has them. */
static void check_touches(struct world *w, const char *expected)
{
    struct buf out = buf_new(1000);
    for (const struct touch *touch = w->effects.touches; touch; touch = touch->next) {
        buf_printf(&out, "%s%c.%s=%lld", out.len ? " " : "", (touch->kind == KIND_COMPENSATION ? 'A' : 'a') + touch->step, touch->entity,
                   (long long)touch->number);
    }
    ck_assert_str_eq(buf_text(&out), expected);
    buf_free(&out);
}

START_TEST(a_clock_names_the_sagas_entities_from_the_start)
{
    struct world w;
    open_world(&w, text, NULL);
    ck_assert_str_eq(w.saga.clock, "{\"order:7\":{},\"shop\":{}}");
    for (const struct command *c = w.effects.commands; c; c = c->next)
        ck_assert_str_eq(c->clock, w.saga.clock);
    close_world(&w);
    open_world(&w, "{\"name\":\"d\",\"steps\":[{\"name\":\"a\",\"service\":\"x\",\"action\":\"do\",\"compensation\":null}]}", NULL);
    ck_assert_ptr_null(w.saga.clock);
    ck_assert_ptr_null(w.effects.commands->clock);
    reply(&w, 0, KIND_ACTION, OUTCOME_SUCCEEDED, "{\"shop\":{\"x\":1}}"); /* nobody asked */
    ck_assert_ptr_null(w.saga.clock);
    check_touches(&w, "");
    close_world(&w);
}
END_TEST

START_TEST(replies_are_merged_and_passed_on_with_the_next_command)
{
    struct world w;
    open_world(&w, text, NULL);
    reply(&w, 0, KIND_ACTION, OUTCOME_SUCCEEDED, "{\"order:7\":{\"x\":1},\"shop\":{\"x\":5}}");
    check_touches(&w, "a.shop=5 a.order:7=1");
    reply(&w, 1, KIND_ACTION, OUTCOME_SUCCEEDED, "{\"shop\":{\"y\":9},\"other\":{\"y\":1}}");
    check_touches(&w, "b.shop=9"); /* and no other than its own */
    ck_assert_str_eq(w.effects.commands->clock, "{\"order:7\":{\"x\":1},\"shop\":{\"x\":5,\"y\":9}}");
    reply(&w, 2, KIND_ACTION, OUTCOME_FAILED, NULL);
    check_touches(&w, "");
    reply(&w, 1, KIND_COMPENSATION, OUTCOME_SUCCEEDED, "{\"shop\":{\"y\":12},\"order:7\":{\"y\":1}}");
    check_touches(&w, "B.order:7=1 B.shop=12");
    ck_assert_str_eq(w.saga.clock, "{\"order:7\":{\"x\":1,\"y\":1},\"shop\":{\"x\":5,\"y\":12}}");
    close_world(&w);
}
END_TEST

START_TEST(the_history_keeps_each_clock)
{
    struct world w;
    open_world(&w, text, NULL);
    reply(&w, 0, KIND_ACTION, OUTCOME_SUCCEEDED, "{\"shop\":{\"x\":5}}");
    ck_assert_str_eq(w.effects.history->event, "action_succeeded");
    ck_assert_str_eq(w.effects.history->detail, "{\"clock\":{\"shop\":{\"x\":5}}}");
    reply(&w, 0, KIND_ACTION, OUTCOME_SUCCEEDED, "{\"shop\":{\"x\":5}}");
    ck_assert_str_eq(w.effects.history->event, "reply_ignored");
    ck_assert_str_eq(w.effects.history->detail, "{\"kind\":\"action\",\"reply\":\"succeeded\",\"round\":1,\"clock\":{\"shop\":{\"x\":5}}}");
    close_world(&w);
}
END_TEST

/* The action took effect, though the saga had given it up. */
START_TEST(a_late_success_is_no_verdict_but_its_effect_is_told)
{
    struct world w;
    open_world(&w, text, NULL);
    w.effects = (struct effects){.arena = &w.arena, .new_id = uuid_v7};
    machine_apply(&w.saga, &(struct event){.type = EVENT_CANCEL}, 1001, &w.effects);
    reply(&w, 0, KIND_ACTION, OUTCOME_SUCCEEDED, "{\"shop\":{\"x\":2}}");
    reply(&w, 0, KIND_ACTION, OUTCOME_SUCCEEDED, "{\"shop\":{\"x\":2}}");
    ck_assert_int_eq(w.saga.steps[0].state, STEP_COMPENSATING);
    check_touches(&w, "a.shop=2");
    close_world(&w);
}
END_TEST

START_TEST(older_numbers_change_nothing_that_is_known)
{
    struct world w;
    open_world(&w, text, NULL);
    reply(&w, 0, KIND_ACTION, OUTCOME_SUCCEEDED, "{\"shop\":{\"x\":5}}");
    reply(&w, 1, KIND_ACTION, OUTCOME_SUCCEEDED, "{\"shop\":{\"y\":1,\"x\":4}}");
    ck_assert_str_eq(w.saga.clock, "{\"order:7\":{},\"shop\":{\"x\":5,\"y\":1}}");
    check_touches(&w, "b.shop=1"); /* what it says of other services is no effect of its own */
    close_world(&w);
}
END_TEST

START_TEST(a_child_begins_with_what_its_parent_knows_of_its_entities)
{
    struct world w;
    open_world(&w, text, "{\"shop\":{\"x\":3},\"parents\":{\"x\":1}}");
    ck_assert_str_eq(w.saga.clock, "{\"order:7\":{},\"shop\":{\"x\":3}}");
    w.saga.order = ORDER_START;
    w.saga.parent_step = "child";
    w.effects = (struct effects){.arena = &w.arena, .new_id = uuid_v7};
    machine_apply(&w.saga, &(struct event){.type = EVENT_ORDER, .kind = KIND_COMPENSATION, .round = 1, .attempt = 1, .clock = "{\"shop\":{\"x\":8}}"}, 1001,
                  &w.effects);
    ck_assert_str_eq(w.saga.clock, "{\"order:7\":{},\"shop\":{\"x\":8}}");
    check_touches(&w, "");
    close_world(&w);
}
END_TEST

static const TTest **const tests[] = {
    &a_clock_names_the_sagas_entities_from_the_start,
    &replies_are_merged_and_passed_on_with_the_next_command,
    &the_history_keeps_each_clock,
    &a_late_success_is_no_verdict_but_its_effect_is_told,
    &older_numbers_change_nothing_that_is_known,
    &a_child_begins_with_what_its_parent_knows_of_its_entities,
    NULL,
};
static const struct suite_case cases[] = {{"causality", tests, 0}};
SUITE_MAIN("causality", cases)
