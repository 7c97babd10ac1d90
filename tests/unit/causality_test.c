/* core: what a saga learns of the order of effects on its entities, what it passes on, what it tells of its own; and how the effects of
 * two sagas are compared. */
#include <ctype.h>
#include <string.h>

#include "base/json.h"
#include "core/conflict.h"
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

START_TEST(a_service_speaks_for_itself_alone)
{
    struct world w;
    open_world(&w, text, NULL);
    reply(&w, 0, KIND_ACTION, OUTCOME_SUCCEEDED, "{\"shop\":{\"x\":5}}");
    reply(&w, 1, KIND_ACTION, OUTCOME_SUCCEEDED, "{\"shop\":{\"y\":1,\"x\":9,\"z\":2}}");
    ck_assert_str_eq(w.saga.clock, "{\"order:7\":{},\"shop\":{\"x\":5,\"y\":1}}");
    check_touches(&w, "b.shop=1");
    reply(&w, 2, KIND_ACTION, OUTCOME_SUCCEEDED, "{\"shop\":{\"x\":4}}"); /* an older number changes nothing that is known */
    ck_assert_str_eq(w.saga.clock, "{\"order:7\":{},\"shop\":{\"x\":5,\"y\":1}}");
    check_touches(&w, "c.shop=4");
    close_world(&w);
}
END_TEST

START_TEST(what_a_child_says_of_its_services_is_learned_and_was_told_by_itself)
{
    struct world w;
    open_world(&w, "{\"name\":\"d\",\"entities\":[\"shop\"],\"steps\":[{\"name\":\"a\",\"saga\":\"other\",\"version\":1}]}", NULL);
    reply(&w, 0, KIND_ACTION, OUTCOME_SUCCEEDED, "{\"shop\":{\"x\":5,\"saga\":2}}");
    ck_assert_str_eq(w.saga.clock, "{\"shop\":{\"x\":5,\"saga\":2}}");
    check_touches(&w, "");
    close_world(&w);
}
END_TEST

/* There was nothing to undo, and nobody to wait for it. */
START_TEST(an_effect_that_is_told_after_the_sagas_end_is_kept)
{
    struct world w;
    open_world(&w, "{\"name\":\"d\",\"entities\":[\"shop\"],\"steps\":[{\"name\":\"a\",\"service\":\"x\",\"action\":\"do\",\"compensation\":null,"
                   "\"timeout\":\"1s\"}]}", NULL);
    machine_apply(&w.saga, &(struct event){.type = EVENT_CANCEL}, 1001, &w.effects);
    machine_apply(&w.saga, &(struct event){.type = EVENT_TIMER}, 3000, &w.effects);
    ck_assert_int_eq(w.saga.state, SAGA_COMPENSATED);
    reply(&w, 0, KIND_ACTION, OUTCOME_SUCCEEDED, "{\"shop\":{\"x\":5}}");
    check_touches(&w, "a.shop=5");
    ck_assert(w.effects.changed);
    ck_assert_str_eq(w.saga.clock, "{\"shop\":{\"x\":5}}");
    ck_assert_str_eq(w.effects.history->event, "reply_ignored");
    ck_assert_int_eq(w.saga.state, SAGA_COMPENSATED);
    reply(&w, 0, KIND_ACTION, OUTCOME_FAILED, "{\"shop\":{\"x\":6}}");
    ck_assert(!w.effects.changed);
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

/* ---- two sagas ---- */

/* "x1 y2 X3": effects by service and number; a capital is the compensation of the last action there. */
static size_t effects_of(const char *effects, struct entity_effect *out)
{
    static const char *const services[] = {"x", "y", "z"};
    static const char *const steps[] = {"a", "b", "c", "d", "e", "f"};
    const char *last[3] = {"?", "?", "?"};
    size_t n = 0;
    for (; *effects; effects += effects[2] ? 3 : 2) {
        int service = tolower(effects[0]) - 'x';
        bool undo = isupper(effects[0]);
        if (!undo)
            last[service] = steps[n];
        out[n++] = (struct entity_effect){.step = last[service], .service = services[service], .undo = undo, .number = effects[1] - '0'};
    }
    return n;
}

START_TEST(two_sagas_are_compared_by_the_numbers_of_their_effects)
{
    static const struct {
        const char *a, *b, *precedence;
        size_t dirty, dirty_back; /* effects of b within a, and of a within b */
    } cases[] = {
        {"x1 y1", "x2 y2", "before", 0, 0},
        {"x2 y2", "x1 y1", "after", 0, 0},
        {"x1 y2", "x2 y1", "concurrent", 0, 0}, /* at x the one, at y the other */
        {"x1 x3", "x2", "concurrent", 0, 0},    /* in the midst of it */
        {"x1", "y1", "none", 0, 0},
        {"", "x1", "none", 0, 0},
        {"x1 y1", "y2 z1", "before", 0, 0}, /* y alone tells */
        {"x1 X3", "x2", "none", 1, 0},     /* between an action and its compensation */
        {"x1 X2", "x3", "none", 0, 0},     /* what was undone before anybody saw it lies nowhere */
        {"x1 X2 y1", "x3 y2", "before", 0, 0},
        {"x1 y4 Y5 X2", "y3 x3", "none", 0, 0},
        {"x1 X3", "y2", "none", 0, 0}, /* another service's numbers say nothing */
        {"x1 X4", "x2 X3", "none", 2, 0},
        {"x1 X3", "x2 X4", "none", 1, 1},
        {"X3", "x2", "none", 0, 0}, /* its action was never told */
        {"x1 y3 X9", "x2 y1", "after", 1, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct entity_effect a[8], b[8];
        struct dirty dirty[8];
        size_t a_n = effects_of(cases[i].a, a), b_n = effects_of(cases[i].b, b);
        ck_assert_str_eq(precedence_name(effects_compare(a, a_n, b, b_n)), cases[i].precedence);
        ck_assert_uint_eq(effects_dirty(a, a_n, b, b_n, dirty, 8), cases[i].dirty);
        ck_assert_uint_eq(effects_dirty(b, b_n, a, a_n, dirty, 8), cases[i].dirty_back);
    }
}
END_TEST

START_TEST(what_was_dirty_is_named_and_bounded)
{
    struct entity_effect a[8], b[8];
    struct dirty dirty[2];
    size_t a_n = effects_of("x1 X9", a), b_n = effects_of("x2 x4 x6", b);
    ck_assert_uint_eq(effects_dirty(a, a_n, b, b_n, dirty, 2), 2);
    ck_assert_ptr_eq(dirty[0].action, &a[0]);
    ck_assert_ptr_eq(dirty[0].compensation, &a[1]);
    ck_assert_ptr_eq(dirty[1].between, &b[1]);
}
END_TEST

/* Children of one saga have steps of one name. */
START_TEST(a_compensation_belongs_to_the_action_of_its_own_saga)
{
    struct entity_effect a[] = {{.step = "s", .service = "x", .number = 1, .saga_id = uuid_v7()},
                                {.step = "s", .service = "x", .number = 3, .saga_id = uuid_v7()},
                                {.step = "s", .service = "x", .number = 4, .undo = true}};
    struct entity_effect b = {.step = "t", .service = "x", .number = 2};
    struct dirty dirty[4];
    a[2].saga_id = a[1].saga_id;
    ck_assert_uint_eq(effects_dirty(a, 3, &b, 1, dirty, 4), 0);
    a[2].saga_id = a[0].saga_id;
    ck_assert_uint_eq(effects_dirty(a, 3, &b, 1, dirty, 4), 1);
}
END_TEST

static const TTest **const tests[] = {
    &a_clock_names_the_sagas_entities_from_the_start,
    &replies_are_merged_and_passed_on_with_the_next_command,
    &the_history_keeps_each_clock,
    &a_late_success_is_no_verdict_but_its_effect_is_told,
    &a_service_speaks_for_itself_alone,
    &what_a_child_says_of_its_services_is_learned_and_was_told_by_itself,
    &an_effect_that_is_told_after_the_sagas_end_is_kept,
    &a_child_begins_with_what_its_parent_knows_of_its_entities,
    &two_sagas_are_compared_by_the_numbers_of_their_effects,
    &what_was_dirty_is_named_and_bounded,
    &a_compensation_belongs_to_the_action_of_its_own_saga,
    NULL,
};
static const struct suite_case cases[] = {{"causality", tests, 0}};
SUITE_MAIN("causality", cases)
