/* core: what a definition may say, and where each fault is named. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "core/definition.h"
#include "suite.h"

static struct definition *read_text(const char *text, struct problems *problems)
{
    struct err err = {0};
    json_t *source = json_read(text, strlen(text), &err);
    ck_assert_msg(source != NULL, "%s", err.text);
    *problems = (struct problems){0};
    struct definition *definition = definition_read(source, problems);
    json_decref(source);
    return definition;
}

START_TEST(a_full_definition_is_read)
{
    struct problems problems;
    struct definition *d = read_text(
        "{\"name\":\"order\",\"timeout\":\"10m\",\"steps\":["
        "{\"name\":\"reserve\",\"service\":\"inventory\",\"action\":\"reserve\",\"compensation\":\"release\","
        "\"input\":{\"sku\":\"${input.sku}\"}},"
        "{\"name\":\"mail\",\"service\":\"mail\",\"action\":\"send\",\"compensation\":null,\"timeout\":\"5s\","
        "\"on_timeout\":\"compensate\",\"retry\":{\"max_attempts\":3,\"initial\":\"1s\",\"multiplier\":3,\"max\":\"4s\","
        "\"jitter\":0},\"input\":[\"${steps.reserve.output.id}\"]}]}",
        &problems);
    ck_assert_ptr_nonnull(d);
    ck_assert_uint_eq(d->steps_n, 2);
    ck_assert_int_eq(d->timeout_ms, 600000);
    ck_assert_int_eq(d->steps[0].timeout_ms, DEFINITION_TIMEOUT_DEFAULT_MS);
    ck_assert_int_eq(d->steps[0].retry.max_attempts, 5);
    ck_assert_int_eq(d->steps[0].compensation_retry.max_attempts, 0);
    ck_assert_str_eq(d->steps[0].compensation, "release");
    ck_assert_ptr_null(d->steps[1].compensation);
    ck_assert_int_eq(d->steps[1].on_timeout, ON_TIMEOUT_COMPENSATE);
    ck_assert_int_eq(definition_step(d, "mail"), 1);
    ck_assert_int_eq(definition_step(d, "nothing"), -1);
    ck_assert_int_eq(retry_pause_ms(&d->steps[1].retry, 1, 7), 1000);
    ck_assert_int_eq(retry_pause_ms(&d->steps[1].retry, 2, 7), 3000);
    ck_assert_int_eq(retry_pause_ms(&d->steps[1].retry, 3, 7), 4000);
    ck_assert(!retry_exhausted(&d->steps[1].retry, 2));
    ck_assert(retry_exhausted(&d->steps[1].retry, 3));
    definition_free(d);
}
END_TEST

#define STEP "\"name\":\"a\",\"service\":\"s\",\"action\":\"x\",\"compensation\":null"
#define IN_STEP(member) "{\"name\":\"d\",\"steps\":[{" STEP "," member "}]}"

#define STEPS(steps) "{\"name\":\"d\",\"steps\":[" steps "]}"
#define WITH(member) "{\"name\":\"d\"," member ",\"steps\":[{" STEP "}]}"
#define TWO_STEPS(of_a, of_b)                                                                                          \
    "{\"name\":\"d\",\"steps\":[{" STEP "," of_a "},{\"name\":\"b\",\"service\":\"s\",\"action\":\"x\",\"compensation\":null," of_b "}]}"

#define LONG "0123456789012345678901234567890123456789ab" /* 42 bytes */

START_TEST(each_fault_is_named_at_its_place)
{
    static const struct {
        const char *text, *pointer, *part;
    } bad[] = {
        {"[]", "", "expected an object"},
        {"{\"steps\":[{" STEP "}]}", "/name", "missing"},
        {"{\"name\":\"Order\",\"steps\":[{" STEP "}]}", "/name", "expected a name"},
        {"{\"name\":7,\"steps\":[{" STEP "}]}", "/name", "expected a name"},
        {"{\"name\":\"d\"}", "/steps", "expected an array"},
        {"{\"name\":\"d\",\"steps\":[]}", "/steps", "expected an array"},
        {"{\"name\":\"d\",\"steps\":[3]}", "/steps/0", "expected an object"},
        {"{\"name\":\"d\",\"stepz\":1,\"steps\":[{" STEP "}]}", "/stepz", "unknown member"},
        {"{\"name\":\"d\",\"steps\":[{" STEP "},{" STEP "}]}", "/steps/1/name", "step 0 has this name"},
        {"{\"name\":\"d\",\"steps\":[{\"name\":\"a\",\"service\":\"s\",\"action\":\"x\"}]}", "/steps/0/compensation",
         "missing"},
        {IN_STEP("\"after\":\"a\""), "/steps/0/after", "expected an array"},
        {IN_STEP("\"after\":[7]"), "/steps/0/after/0", "expected the name"},
        {IN_STEP("\"after\":[\"z\"]"), "/steps/0/after/0", "no step has the name 'z'"},
        {IN_STEP("\"after\":[\"a\"]"), "/steps/0/after/0", "after itself"},
        {TWO_STEPS("\"after\":[]", "\"after\":[\"a\",\"a\"]"), "/steps/1/after/1", "twice"},
        {TWO_STEPS("\"after\":[\"b\"]", "\"after\":[\"a\"]"), "/steps/0/after", "wait for each other: a, b"},
        {TWO_STEPS("\"after\":[\"b\"]", "\"timeout\":\"1s\""), "/steps/0/after", "wait for each other: a, b"},
        {TWO_STEPS("\"after\":[]", "\"after\":[],\"input\":\"${steps.a.output.z}\""), "/steps/1/input", "names no step"},
        {"{\"name\":\"d\",\"steps\":[{\"name\":\"a\",\"wait\":\"go\"}]}", "/steps/0/timeout", "missing: say how long"},
        {"{\"name\":\"d\",\"steps\":[{\"name\":\"a\",\"wait\":7,\"timeout\":\"1s\"}]}", "/steps/0/wait", "expected a name"},
        {"{\"name\":\"d\",\"steps\":[{\"name\":\"a\",\"wait\":\"go\",\"timeout\":\"1s\",\"service\":\"s\"}]}", "/steps/0/service", "unknown member"},
        {"{\"name\":\"d\",\"steps\":[{\"name\":\"a\",\"wait\":\"go\",\"timeout\":\"1s\",\"pivot\":true}]}", "/steps/0/pivot", "unknown member"},
        {"{\"name\":\"d\",\"steps\":[{\"name\":\"a\",\"delay\":\"soon\"}]}", "/steps/0/delay", "expected a duration"},
        {"{\"name\":\"d\",\"steps\":[{\"name\":\"a\",\"delay\":\"1s\",\"timeout\":\"1s\"}]}", "/steps/0/timeout", "unknown member"},
        {"{\"name\":\"d\",\"steps\":[{\"name\":\"a\",\"delay\":\"1s\",\"compensation\":null}]}", "/steps/0/compensation", "unknown member"},
        {IN_STEP("\"when\":null"), "/steps/0/when", "leave it out"},
        {IN_STEP("\"when\":\"yes\""), "/steps/0/when", "expected a JsonLogic rule"},
        {IN_STEP("\"when\":{\">\":[1,2],\"foo\":[3]}"), "/steps/0/when/>", "stands alone"},
        {IN_STEP("\"when\":{\"missing\":[[\"steps.z.output\"]]}"), "/steps/0/when/missing", "names no step"},
        {IN_STEP("\"when\":{\"missing_some\":[1,[\"steps.z.output\"]]}"), "/steps/0/when/missing_some", "names no step"},
        {IN_STEP("\"input\":{\"x\":\"${input.${input.y}}\"}"), "/steps/0/input/x", "are not nested"},
        {IN_STEP("\"input\":{\"${input.x}\":1}"), "/steps/0/input/${input.x}", "taken as it is"},
        {"{\"name\":\"d\",\"steps\":[{\"name\":\"a\",\"wait\":\"go\",\"timeout\":\"1s\"},{\"name\":\"b\",\"wait\":\"go\",\"timeout\":\"1s\"}]}",
         "/steps/1/wait", "step 0 waits for this signal"},
        {IN_STEP("\"when\":{\"equals\":[1,2]}"), "/steps/0/when/equals", "no operation 'equals'"},
        {IN_STEP("\"when\":{\"var\":\"steps.a.output\"}"), "/steps/0/when/var", "names no step that comes before"},
        {IN_STEP("\"when\":{\"!\":{\"var\":\"output\"}}"), "/steps/0/when/!/var", "must begin with"},
        {IN_STEP("\"pivot\":true,\"when\":true"), "/steps/0/when", "a pivot is always sent"},
        {IN_STEP("\"pivot\":1"), "/steps/0/pivot", "expected true or false"},
        {TWO_STEPS("\"pivot\":true", "\"pivot\":true"), "/steps/1/pivot", "step 0 is the pivot already"},
        {TWO_STEPS("\"pivot\":true", "\"after\":[]"), "/steps/0/pivot", "b is neither before nor after"},
        {IN_STEP("\"pivot\":true,\"on_timeout\":\"compensate\""), "/steps/0/on_timeout", "never given up"},
        {STEPS("{\"name\":\"a\",\"saga\":\"Other\"}"), "/steps/0/saga", "expected a name"},
        {STEPS("{\"name\":\"a\",\"saga\":\"b\",\"version\":0}"), "/steps/0/version", "expected a whole number"},
        {STEPS("{\"name\":\"a\",\"saga\":\"b\",\"service\":\"s\"}"), "/steps/0/service", "unknown member"},
        {STEPS("{\"name\":\"a\",\"saga\":\"b\",\"on_timeout\":\"compensate\"}"), "/steps/0/on_timeout", "unknown member"},
        {STEPS("{\"name\":\"a\",\"saga\":\"b\",\"input\":{\"x\":\"${steps.b.output}\"}}"), "/steps/0/input/x", "names no step"},
        {STEPS("{\"name\":\"a\",\"service\":\"saga\",\"action\":\"x\",\"compensation\":null}"), "/steps/0/service", "the orchestrator itself"},
        {WITH("\"entities\":\"order\""), "/entities", "expected an array"},
        {WITH("\"entities\":[]"), "/entities", "expected an array"},
        {WITH("\"entities\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\"]"), "/entities", "of 1 to 8"},
        {WITH("\"entities\":[\"\"]"), "/entities/0", "not empty"},
        {WITH("\"entities\":[\"" LONG LONG LONG LONG LONG "\"]"), "/entities/0", "at most 200 bytes"},
        {WITH("\"entities\":[7]"), "/entities/0", "not empty"},
        {WITH("\"entities\":[{\"mode\":\"hold\"}]"), "/entities/0/key", "not empty"},
        {WITH("\"entities\":[{\"key\":\"k\",\"mode\":\"share\"}]"), "/entities/0/mode", "expected \"hold\""},
        {WITH("\"entities\":[{\"key\":\"k\",\"for\":\"1s\"}]"), "/entities/0/for", "unknown member"},
        {WITH("\"entities\":[\"k\",\"${steps.a.output.id}\"]"), "/entities/1", "names no step"},
        {WITH("\"entities\":[\"k\"],\"on_busy\":\"wait\""), "/on_busy", "expected \"queue\""},
        {WITH("\"on_busy\":\"queue\""), "/on_busy", "no entity"},
        {WITH("\"entities\":[{\"key\":\"k\",\"mode\":\"observe\"}],\"on_busy\":\"reject\""), "/on_busy", "no entity"},
        {WITH("\"timeout\":\"1x\""), "/timeout", "expected a duration"},
        {WITH("\"owner\":\"me\""), "/owner", "unknown member"},
        {IN_STEP("\"timeout\":\"soon\""), "/steps/0/timeout", "expected a duration"},
        {IN_STEP("\"timeout\":\"0s\""), "/steps/0/timeout", "expected a duration"},
        {IN_STEP("\"on_timeout\":\"panic\""), "/steps/0/on_timeout", "expected"},
        {IN_STEP("\"on_timeout\":\"probe\",\"retry\":{\"max_attempts\":1}"), "/steps/0/retry/max_attempts", "a probe is an attempt"},
        {IN_STEP("\"retry\":1"), "/steps/0/retry", "expected an object"},
        {IN_STEP("\"retry\":{\"max_attempts\":0}"), "/steps/0/retry/max_attempts", "expected a whole number"},
        {IN_STEP("\"retry\":{\"jitter\":2}"), "/steps/0/retry/jitter", "expected a number"},
        {IN_STEP("\"retry\":{\"tries\":2}"), "/steps/0/retry/tries", "unknown member"},
        {IN_STEP("\"input\":{\"x/y\":\"${steps.a.output.z}\"}"), "/steps/0/input/x~1y", "names no step"},
        {IN_STEP("\"input\":[\"${inputs.z}\"]"), "/steps/0/input/0", "must begin with"},
        {IN_STEP("\"input\":\"${input..z}\""), "/steps/0/input", "is not a path"},
        {IN_STEP("\"input\":\"${input.z\""), "/steps/0/input", "without a closing"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct problems problems;
        ck_assert_msg(read_text(bad[i].text, &problems) == NULL, "accepted %s", bad[i].text);
        ck_assert_msg(problems.n == 1, "%s: %zu problems", bad[i].text, problems.n);
        ck_assert_str_eq(problems.items[0].pointer, bad[i].pointer);
        ck_assert_msg(strstr(problems.items[0].detail, bad[i].part) != NULL, "%s", problems.items[0].detail);
    }
}
END_TEST

START_TEST(equal_definitions_have_equal_canonical_texts)
{
    struct problems problems;
    struct definition *a = read_text("{\"name\":\"d\",\"steps\":[{" STEP "}]}", &problems);
    struct definition *b = read_text(
        "{\"steps\":[{\"compensation\":null,\"action\":\"x\",\"service\":\"s\",\"name\":\"a\"}], \"name\":\"d\"}", &problems);
    ck_assert_str_eq(a->canonical, b->canonical);
    definition_free(a);
    definition_free(b);
}
END_TEST

static const json_t *lookup(void *context, int step)
{
    return json_object_get(context, step == TEMPLATE_INPUT ? "input" : "first");
}

static bool expand(const char *source_text, size_t budget, char *out, size_t out_size, struct err *err)
{
    static const char *const names[] = {"first"};
    const char *values_text = "{\"input\":{\"n\":5,\"s\":\"a\\\"b\",\"list\":[1,{\"k\":2.50}]},\"first\":{\"id\":\"c-1\"}}";
    json_t *values = json_read(values_text, strlen(values_text), err);
    json_t *source = json_read(source_text, strlen(source_text), err);
    struct arena arena = {0};
    struct problems problems = {0};
    struct template_node *node = template_compile(&arena, source, &(struct template_names){names, 1}, "", &problems);
    ck_assert_msg(node != NULL, "%s", problems.items[0].detail);
    struct buf text = buf_new(budget);
    bool ok = template_write(node, lookup, values, &text, err);
    snprintf(out, out_size, "%s", buf_text(&text));
    buf_free(&text);
    arena_free(&arena);
    json_decref(source);
    json_decref(values);
    return ok;
}

START_TEST(templates_keep_types_and_escape_text)
{
    static const struct {
        const char *source, *expected;
    } good[] = {
        {"{\"a\":\"${input.n}\",\"b\":[true,\"${input.s}\"]}", "{\"a\":5,\"b\":[true,\"a\\\"b\"]}"},
        {"\"${input.list}\"", "[1,{\"k\":2.5}]"},
        {"\"${input.list.1.k}\"", "2.5"},
        {"\"id=${steps.first.output.id} n=${input.n} ${input.s}\"", "\"id=c-1 n=5 a\\\"b\""},
        {"\"$${input.n} stays\"", "\"${input.n} stays\""},
        {"\"${input.list} in text\"", "\"[1,{\\\"k\\\":2.5}] in text\""},
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        char out[200];
        struct err err = {0};
        ck_assert_msg(expand(good[i].source, 1000, out, sizeof out, &err), "%s", err.text);
        ck_assert_str_eq(out, good[i].expected);
    }
}
END_TEST

START_TEST(templates_stop_at_missing_values_and_at_their_budget)
{
    char out[200];
    struct err err = {0};
    ck_assert(!expand("\"${input.nothing}\"", 1000, out, sizeof out, &err));
    ck_assert_str_eq(err.code, "bad_input");
    ck_assert(!expand("\"${input.n.deeper}\"", 1000, out, sizeof out, &err));
    ck_assert(!expand("\"${input.list.7}\"", 1000, out, sizeof out, &err));
    ck_assert(!expand("[\"${input.s}\",\"${input.s}\",\"${input.s}\"]", 10, out, sizeof out, &err));
    ck_assert_str_eq(err.code, "too_large");
}
END_TEST

static const TTest **const tests[] = {
    &a_full_definition_is_read,
    &each_fault_is_named_at_its_place,
    &equal_definitions_have_equal_canonical_texts,
    &templates_keep_types_and_escape_text,
    &templates_stop_at_missing_values_and_at_their_budget,
    NULL,
};
static const struct suite_case cases[] = {{"definition", tests, 0}};
SUITE_MAIN("definition", cases)
