/* lib/base: JSON, problems and configuration: what comes from outside. */
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/conf.h"
#include "base/json.h"
#include "base/problem.h"
#include "base/queue.h"
#include "base/turn.h"
#include "base/vclock.h"
#include "suite.h"

static void check_round_trip(const char *in, const char *plain, const char *canonical)
{
    struct err err = {0};
    json_t *value = json_read(in, strlen(in), &err);
    ck_assert_msg(value != NULL, "%s: %s", in, err.text);
    struct buf out = buf_new(1000);
    json_write(&out, value);
    ck_assert_str_eq(buf_text(&out), plain);
    buf_reset(&out);
    json_write_canonical(&out, value);
    ck_assert_str_eq(buf_text(&out), canonical);
    buf_free(&out);
    json_decref(value);
}

START_TEST(json_round_trips)
{
    check_round_trip("{\"b\": 19.99, \"a\": [1, null, true]}", "{\"b\":19.99,\"a\":[1,null,true]}",
                     "{\"a\":[1,null,true],\"b\":19.99}");
    check_round_trip("0.1", "0.1", "0.1");
    check_round_trip("1.0", "1.0", "1.0");
    check_round_trip("9223372036854775807", "9223372036854775807", "9223372036854775807");
    check_round_trip("\"\\u00e9\\n\"", "\"é\\n\"", "\"é\\n\"");
    check_round_trip("0.30000000000000004", "0.30000000000000004", "0.30000000000000004");
}
END_TEST

START_TEST(json_that_would_not_round_trip_is_refused)
{
    static const char *const bad[] = {"", "{", "[1,]", "{\"a\":1,\"a\":2}", "9223372036854775808", "\"\\u0000\"",
                                      "1 2", "\"\xff\"", "1e999", "nul"};
    struct err err;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        json_t *value = json_read(bad[i], strlen(bad[i]), &err);
        ck_assert_msg(value == NULL, "accepted %s", bad[i]);
        ck_assert_int_eq(err.kind, ERR_REFUSED);
    }
    char deep[2 * JSON_DEPTH_MAX + 2];
    memset(deep, '[', sizeof deep);
    ck_assert_ptr_null(json_read(deep, sizeof deep, &err));
    memset(deep + JSON_DEPTH_MAX, ']', JSON_DEPTH_MAX);
    json_t *value = json_read(deep, (size_t)2 * JSON_DEPTH_MAX, &err);
    ck_assert_ptr_nonnull(value);
    ck_assert_int_eq(json_text_depth(deep, (size_t)2 * JSON_DEPTH_MAX), JSON_DEPTH_MAX);
    json_decref(value);
}
END_TEST

START_TEST(pointers_are_escaped_and_bounded)
{
    char out[POINTER_MAX], longer[POINTER_MAX];
    ck_assert_str_eq(pointer_member("/steps/0", "a/b~c", out), "/steps/0/a~1b~0c");
    ck_assert_str_eq(pointer_index("/steps", 12, out), "/steps/12");
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    ck_assert_uint_lt(strlen(pointer_member("/a", longer, out)), POINTER_MAX);
    struct problems problems = {0};
    for (int i = 0; i < PROBLEMS_MAX + 3; i++)
        ck_assert(!problem_add(&problems, "/a", "fault %d", i));
    ck_assert_uint_eq(problems.n, PROBLEMS_MAX + 3);
    ck_assert_str_eq(problems.items[1].detail, "fault 1");
}
END_TEST

START_TEST(arena_gives_zeroed_memory_again_after_a_reset)
{
    struct arena arena = {0};
    for (int round = 0; round < 3; round++) {
        for (size_t i = 1; i < 200; i++) {
            char *memory = arena_alloc(&arena, i * 100);
            size_t dirty = 0;
            for (size_t k = 0; k < i * 100; k++)
                dirty += memory[k] != 0;
            ck_assert_uint_eq(dirty, 0);
            memset(memory, 'x', i * 100);
        }
        ck_assert_str_eq(arena_printf(&arena, "%s-%d", "a", 5), "a-5");
        arena_reset(&arena);
    }
    arena_free(&arena);
}
END_TEST

START_TEST(queue_keeps_order_and_bounds)
{
    struct queue *queue = queue_new(3);
    int items[4];
    void *out[4];
    for (int i = 0; i < 3; i++)
        ck_assert(queue_push(queue, &items[i]));
    ck_assert(!queue_push(queue, &items[3]));
    ck_assert_uint_eq(queue_wait(queue, out, 2, 1000), 2);
    ck_assert_ptr_eq(out[0], &items[0]);
    ck_assert(queue_push(queue, &items[3]));
    ck_assert_uint_eq(queue_take(queue, out, 4), 2);
    ck_assert_ptr_eq(out[1], &items[3]);
    ck_assert_uint_eq(queue_wait(queue, out, 4, 5), 0);
    queue_close(queue);
    ck_assert(!queue_push(queue, &items[0]));
    ck_assert_uint_eq(queue_wait(queue, out, 4, -1), 0);
    queue_free(queue);
}
END_TEST

struct target {
    const char *url;
    int port;
    int64_t pause_ms;
    bool json;
    struct conf_list roles;
};

static const struct conf_command commands[] = {{"serve", "runs"}, {"migrate", "makes the schema"}, {NULL, NULL}};
static const struct conf_option options[] = {
    {"test-url", CONF_STRING, offsetof(struct target, url), "none", "URL", "where", 0, 0},
    {"test-port", CONF_INT, offsetof(struct target, port), "80", "PORT", "which", 1, 65535},
    {"test-pause", CONF_DURATION, offsetof(struct target, pause_ms), "1s", "TIME", "how long", 0, 60000},
    {"test-json", CONF_FLAG, offsetof(struct target, json), NULL, NULL, "form", 0, 0},
    {"test-roles", CONF_LIST, offsetof(struct target, roles), "a,b", "LIST", "what", 0, 0},
    {NULL, CONF_FLAG, 0, NULL, NULL, NULL, 0, 0},
};
static const struct conf_spec spec = {"test", "a test", NULL, commands, options};

static bool parse(struct target *target, struct conf_result *result, struct err *err, const char *a, const char *b)
{
    char program[] = "test", first[64], second[64];
    char *argv[] = {program, first, second, NULL};
    snprintf(first, sizeof first, "%s", a ? a : "");
    snprintf(second, sizeof second, "%s", b ? b : "");
    *target = (struct target){0};
    return conf_parse(&spec, 1 + (a != NULL) + (b != NULL), argv, target, result, err);
}

START_TEST(options_come_from_defaults_environment_and_arguments)
{
    struct target target;
    struct conf_result result;
    struct err err;
    ck_assert(parse(&target, &result, &err, NULL, NULL));
    ck_assert_str_eq(target.url, "none");
    ck_assert_int_eq(target.port, 80);
    ck_assert_uint_eq(target.roles.n, 2);
    ck_assert_str_eq(result.command, "serve");
    setenv("SAGA_TEST_PORT", "81", 1);
    setenv("SAGA_TEST_JSON", "true", 1);
    ck_assert(parse(&target, &result, &err, "migrate", "--test-roles=x"));
    ck_assert_int_eq(target.port, 81);
    ck_assert(target.json);
    ck_assert_str_eq(result.command, "migrate");
    ck_assert_uint_eq(target.roles.n, 1);
    ck_assert(parse(&target, &result, &err, "--test-port", "82"));
    ck_assert_int_eq(target.port, 82);
}
END_TEST

START_TEST(wrong_options_are_refused_by_name)
{
    static const struct {
        const char *a, *b, *text;
    } bad[] = {{"--test-port", "0", "--test-port: must be from 1 to 65535"},
               {"--test-port", "x", "--test-port: 'x' is not a whole number"},
               {"--test-port", NULL, "--test-port: a value is missing"},
               {"--nothing", NULL, "no option '--nothing'; --help lists them"},
               {"--test-pause", "5", "--test-pause: '5' is not a duration like 250ms, 5s, 10m, 2h or 7d"},
               {"--test-json=maybe", NULL, "--test-json: 'maybe' is neither true nor false"},
               {"jump", NULL, "no command 'jump'; --help lists them"},
               {"serve", "now", "'now' is one word too many; see --help"}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct target target;
        struct conf_result result;
        struct err err;
        ck_assert(!parse(&target, &result, &err, bad[i].a, bad[i].b));
        ck_assert_str_eq(err.text, bad[i].text);
    }
}
END_TEST

START_TEST(a_turn_is_one_callers_until_the_answer_is_old)
{
    struct turn turn;
    turn_open(&turn);
    ck_assert(turn_take(&turn));
    ck_assert(!turn_take(&turn)); /* somebody asks already */
    pthread_mutex_lock(&turn.lock);
    turn_done(&turn, 60000);
    pthread_mutex_unlock(&turn.lock);
    ck_assert(!turn_take(&turn)); /* the answer is good */
    turn.until_ms = clock_mono_ms();
    ck_assert(turn_take(&turn));
    pthread_mutex_lock(&turn.lock);
    turn_done(&turn, 0);
    pthread_mutex_unlock(&turn.lock);
    ck_assert(turn_take(&turn)); /* there was none */
    turn_close(&turn);
}
END_TEST

static json_t *clock_of(const char *text)
{
    struct err err = {0};
    json_t *clock = vclock_read(text, strlen(text), &err);
    ck_assert_msg(clock != NULL, "%s: %s", text, err.text);
    return clock;
}

static void check_merge(const char *into_text, const char *other_text, const char *expected, bool changes)
{
    json_t *into = clock_of(into_text), *other = clock_of(other_text), *wanted = clock_of(expected);
    ck_assert_msg(vclock_merge(into, other) == changes, "%s and %s", into_text, other_text);
    ck_assert_msg(json_equal(into, wanted), "%s and %s are not %s", into_text, other_text, expected);
    ck_assert(!vclock_merge(into, other)); /* once more changes nothing */
    json_decref(into);
    json_decref(other);
    json_decref(wanted);
}

START_TEST(clocks_merge_by_the_maximum_of_each_component)
{
    check_merge("{\"a\":{}}", "{\"a\":{\"x\":3}}", "{\"a\":{\"x\":3}}", true);
    check_merge("{\"a\":{\"x\":3}}", "{\"a\":{\"x\":2,\"y\":1}}", "{\"a\":{\"x\":3,\"y\":1}}", true);
    check_merge("{\"a\":{\"x\":3}}", "{\"a\":{\"x\":2}}", "{\"a\":{\"x\":3}}", false);
    check_merge("{\"a\":{},\"b\":{\"x\":9}}", "{\"b\":{\"x\":1},\"a\":{\"x\":7}}", "{\"a\":{\"x\":7},\"b\":{\"x\":9}}", true);
    check_merge("{\"a\":{}}", "{\"b\":{\"x\":1}}", "{\"a\":{}}", false); /* not what it speaks of */
    check_merge("{}", "{}", "{}", false);
}
END_TEST

START_TEST(what_is_no_clock_is_refused)
{
    static const char *const bad[] = {"", "3", "[]", "{\"a\":3}", "{\"\":{}}", "{\"a\":{\"\":1}}", "{\"a\":{\"x\":0}}", "{\"a\":{\"x\":-1}}",
                                      "{\"a\":{\"x\":1.5}}", "{\"a\":{\"x\":\"1\"}}", "{\"a\":{\"x\":{}}}", "{\"a\":{}} {}",
                                      "{\"a\":{},\"b\":{},\"c\":{},\"d\":{},\"e\":{},\"f\":{},\"g\":{},\"h\":{},\"i\":{}}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct err err = {0};
        ck_assert_msg(vclock_read(bad[i], strlen(bad[i]), &err) == NULL, "%s", bad[i]);
        ck_assert_int_eq(err.kind, ERR_REFUSED);
    }
}
END_TEST

START_TEST(a_clock_takes_no_more_than_there_is_room_for)
{
    json_t *clock = json_object();
    char name[16];
    for (int i = 0; i < VCLOCK_SERVICES_MAX; i++) {
        snprintf(name, sizeof name, "s%d", i);
        ck_assert(vclock_set(clock, "a", name, i + 1));
    }
    ck_assert(!vclock_set(clock, "a", "more", 1));
    ck_assert(vclock_set(clock, "a", "s7", 100));
    for (int i = 1; i < VCLOCK_ENTITIES_MAX; i++) {
        snprintf(name, sizeof name, "e%d", i);
        ck_assert(vclock_set(clock, name, "x", 1));
    }
    ck_assert(!vclock_set(clock, "more", "x", 1));
    ck_assert_int_eq(vclock_get(clock, "a", "s7"), 100);
    ck_assert_int_eq(vclock_get(clock, "more", "x"), 0);
    json_decref(clock);
}
END_TEST

static const TTest **const tests[] = {
    &json_round_trips,
    &json_that_would_not_round_trip_is_refused,
    &pointers_are_escaped_and_bounded,
    &arena_gives_zeroed_memory_again_after_a_reset,
    &queue_keeps_order_and_bounds,
    &a_turn_is_one_callers_until_the_answer_is_old,
    &clocks_merge_by_the_maximum_of_each_component,
    &what_is_no_clock_is_refused,
    &a_clock_takes_no_more_than_there_is_room_for,
    &options_come_from_defaults_environment_and_arguments,
    &wrong_options_are_refused_by_name,
    NULL,
};
static const struct suite_case cases[] = {{"values", tests, 0}};
SUITE_MAIN("values", cases)
