/* The verifier: what it says of definitions; and that it finds a core that is broken. In the second program of this file the
 * linker puts a wrong table of transitions in the core's place. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "suite.h"
#include "verify/verify.h"

#define STATES_MAX 2000000

static struct definition *read_definition(const char *text)
{
    struct err err = {0};
    struct problems problems = {0};
    json_t *source = json_read(text, strlen(text), &err);
    struct definition *definition = definition_read(source, &problems);
    ck_assert_msg(definition != NULL, "%s %s", problems.items[0].pointer, problems.items[0].detail);
    json_decref(source);
    return definition;
}

#define STEP(name, more) "{\"name\":\"" name "\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\"" more "}"
#define DEFINITION(steps) "{\"name\":\"d\",\"timeout\":\"1h\",\"steps\":[" steps "]}"

static void check_report(const char *text, bool complete, size_t states_max, const char *const *parts)
{
    struct verification v;
    struct definition *definition = read_definition(text);
    struct buf report = buf_new(100000), json = buf_new(100000);
    ck_assert(verify(definition, &(struct verify_bounds){states_max, SIZE_MAX}, &v));
    verify_print(&v, definition, &report);
    verify_write(&v, definition, &json);
    struct err err;
    json_t *value = json_read(buf_text(&json), json.len, &err);
    ck_assert_msg(value != NULL, "%s", buf_text(&json));
    json_decref(value);
    ck_assert_int_eq(v.complete, complete);
    for (; *parts; parts++)
        ck_assert_msg(strstr(buf_text(&report), *parts) != NULL, "no '%s' in\n%s", *parts, buf_text(&report));
    verify_free(&v);
    definition_free(definition);
    buf_free(&report);
    buf_free(&json);
}

#ifndef BROKEN_CORE

START_TEST(a_sequence_is_undone_in_reverse)
{
    check_report(DEFINITION(STEP("a", "") "," STEP("b", "") "," STEP("c", "")), true, STATES_MAX,
                 (const char *[]){"all that can be reached", "  a                        nothing\n", "  b                        a\n",
                                  "  c                        b, a\n", "unknown\n  a                        a\n  b                        b, a\n",
                                  "no invariant is broken\n", NULL});
}
END_TEST

START_TEST(branches_are_undone_beside_each_other)
{
    check_report(DEFINITION(STEP("a", "") "," STEP("b", ",\"after\":[\"a\"]") "," STEP("c", ",\"after\":[\"a\"]") ","
                            STEP("d", ",\"after\":[\"b\",\"c\"]") "," STEP("e", "")), true, STATES_MAX,
                 (const char *[]){"  c                        b, a\n", "  d                        (c, b), a\n", "  e                        d, (c, b), a\n",
                                  "no invariant is broken\n", NULL});
}
END_TEST

START_TEST(what_stays_in_place_is_said)
{
    check_report("{\"name\":\"d\",\"steps\":[{\"name\":\"a\",\"service\":\"s\",\"action\":\"do\",\"compensation\":null}," STEP("b", "") "]}", true,
                 STATES_MAX, (const char *[]){"  b                        nothing; in place stays a\n", "no invariant is broken\n", NULL});
}
END_TEST

START_TEST(behind_a_pivot_an_operator_is_needed)
{
    check_report(DEFINITION(STEP("a", "") "," STEP("p", ",\"pivot\":true") "," STEP("c", "")), true, STATES_MAX,
                 (const char *[]){"  p                        a\n", "  c                        the saga stalls", "the pivot may come too early",
                                  "  p                        the saga stalls and needs an operator: it is the pivot\n",
                                  "no invariant is broken\n", NULL});
}
END_TEST

START_TEST(conditions_may_hold_or_not)
{
    check_report(DEFINITION(STEP("a", "") "," STEP("b", ",\"when\":{\"var\":\"input.x\"}") "," STEP("c", "")), true, STATES_MAX,
                 (const char *[]){"  c                        b, a\n", "COMPLETED in 2 of them", "no invariant is broken\n", NULL});
    check_report(DEFINITION(STEP("a", "") "," STEP("b", ",\"when\":{\"==\":[1,2]}") "," STEP("c", "")), true, STATES_MAX,
                 (const char *[]){"never begun: b\n", "  c                        a\n", "no invariant is broken\n", NULL});
}
END_TEST

START_TEST(conditions_that_can_never_hold_are_named)
{
    check_report(DEFINITION(STEP("a", ",\"when\":{\"in\":[{\"var\":\"input.x\"},[]]}") "," STEP("b", ",\"when\":{\"==\":[{\"var\":\"steps.a.output.x\"},1]}")), true,
                 STATES_MAX, (const char *[]){"never begun: a, b\n", "conditions that can never hold: of a, b\n", "no invariant is broken\n", NULL});
}
END_TEST

START_TEST(a_saga_that_holds_something_is_gone_through_as_any_other)
{
    check_report("{\"name\":\"d\",\"entities\":[\"order:${input.id}\"],\"steps\":[" STEP("a", "") "," STEP("b", "") "]}", true, STATES_MAX,
                 (const char *[]){"all that can be reached", "  b                        a\n", "no invariant is broken\n", NULL});
}
END_TEST

START_TEST(waits_and_delays_are_gone_through)
{
    check_report(DEFINITION(STEP("a", "") ",{\"name\":\"w\",\"wait\":\"go\",\"timeout\":\"1h\"},{\"name\":\"l\",\"delay\":\"1h\"}," STEP("b", "")), true,
                 STATES_MAX, (const char *[]){"  w                        a\n", "  l                        it cannot fail\n",
                                              "  b                        a\n", "no invariant is broken\n", NULL});
}
END_TEST

START_TEST(ten_steps_and_six_branches_are_looked_at_to_the_end)
{
    struct buf text = buf_new(10000);
    buf_str(&text, "{\"name\":\"d\",\"timeout\":\"1h\",\"steps\":[");
    for (int i = 0; i < 10; i++)
        buf_printf(&text, "%s{\"name\":\"s%d\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\"}", i ? "," : "", i);
    buf_str(&text, "]}");
    check_report(buf_text(&text), true, STATES_MAX, (const char *[]){"s8, s7, s6, s5, s4, s3, s2, s1, s0\n", NULL});
    buf_reset(&text);
    buf_str(&text, "{\"name\":\"d\",\"timeout\":\"1h\",\"steps\":[");
    for (int i = 0; i < 6; i++)
        buf_printf(&text, "%s{\"name\":\"s%d\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\",\"after\":[]}", i ? "," : "", i);
    buf_str(&text, "]}");
    check_report(buf_text(&text), true, STATES_MAX, (const char *[]){"no invariant is broken\n", NULL});
    check_report(buf_text(&text), false, 1000, (const char *[]){"there are more, which were not looked at", "as far as was looked", NULL});
    buf_free(&text);
}
END_TEST

static const TTest **const tests[] = {
    &a_sequence_is_undone_in_reverse,
    &branches_are_undone_beside_each_other,
    &what_stays_in_place_is_said,
    &behind_a_pivot_an_operator_is_needed,
    &conditions_may_hold_or_not,
    &conditions_that_can_never_hold_are_named,
    &a_saga_that_holds_something_is_gone_through_as_any_other,
    &waits_and_delays_are_gone_through,
    &ten_steps_and_six_branches_are_looked_at_to_the_end,
    NULL,
};

#else

#include "core/src/transitions.h"

const struct transition *__real_transition_find(enum step_state from, enum step_event on);
const struct transition *__wrap_transition_find(enum step_state from, enum step_event on);

bool __real_saga_is_bound(const struct saga *saga);
bool __wrap_saga_is_bound(const struct saga *saga);

static enum { FORGETS, REVIVES, TURNS } broken;

/* FORGETS: a step whose attempts are used up counts as refused, though it may have taken effect. REVIVES: a success that is told after the
 * compensation counts. */
const struct transition *__wrap_transition_find(enum step_state from, enum step_event on)
{
    static const struct transition forgetful = {STEP_RUNNING, ON_GIVE_UP, STEP_FAILED, DO_TURN, "action_unknown", ""};
    static const struct transition reviving = {STEP_COMPENSATED, ON_SUCCEEDED, STEP_SUCCEEDED, DO_KEEP, "action_succeeded", ""};
    if (broken == FORGETS && from == STEP_RUNNING && on == ON_GIVE_UP)
        return &forgetful;
    if (broken == REVIVES && from == STEP_COMPENSATED && on == ON_SUCCEEDED)
        return &reviving;
    return __real_transition_find(from, on);
}

/* TURNS: a pivot holds nobody back. */
bool __wrap_saga_is_bound(const struct saga *saga)
{
    return broken != TURNS && __real_saga_is_bound(saga);
}

START_TEST(a_saga_that_turns_beside_its_pivot_is_found)
{
    broken = TURNS;
    check_report(DEFINITION(STEP("a", "") "," STEP("b", ",\"pivot\":true")), false, STATES_MAX,
                 (const char *[]){"BROKEN: ", "  1. the saga is started\n", NULL});
}
END_TEST

START_TEST(a_success_that_revives_a_step_is_found)
{
    broken = REVIVES;
    check_report(DEFINITION(STEP("a", "") "," STEP("b", "")), false, STATES_MAX, (const char *[]){"BROKEN: ", "  1. the saga is started\n", NULL});
}
END_TEST

START_TEST(a_broken_core_is_found_by_the_shortest_way)
{
    broken = FORGETS;
    check_report(DEFINITION(STEP("a", "") "," STEP("b", "")), false, STATES_MAX,
                 (const char *[]){"BROKEN: a compensated saga has left an effect", "  1. the saga is started\n",
                                  "  2. a: no answer to the last attempt\n", NULL});
}
END_TEST

static const TTest **const tests[] = {&a_broken_core_is_found_by_the_shortest_way, &a_saga_that_turns_beside_its_pivot_is_found,
                                      &a_success_that_revives_a_step_is_found, NULL};

#endif

static const struct suite_case cases[] = {{"verify", tests, 60}};
SUITE_MAIN("verify", cases)
