/* Sagas that are steps of sagas, with the example services: what a child did is undone by its own compensations, whether it runs, has failed or
 * has ended. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "books.h"
#include "suite.h"
#include "world.h"

static struct world world;

/* The child reserves and waits for a signal; the parent charges afterwards. */
static const char child[] =
    "{\"name\":\"stock\",\"steps\":["
    "{\"name\":\"reserve\",\"service\":\"inventory\",\"action\":\"reserve\",\"compensation\":\"release\","
    "\"input\":{\"sku\":\"${input.sku}\",\"qty\":1}},"
    "{\"name\":\"w\",\"wait\":\"go\",\"timeout\":\"1h\",\"when\":{\"==\":[{\"var\":\"input.waits\"},true]}}]}";
static const char parent[] =
    "{\"name\":\"sale\",\"steps\":["
    "{\"name\":\"stock\",\"saga\":\"stock\",\"input\":{\"sku\":\"${input.sku}\",\"waits\":\"${input.waits}\"}},"
    "{\"name\":\"charge\",\"service\":\"payment\",\"action\":\"charge\",\"compensation\":\"refund\","
    "\"input\":{\"account\":\"${input.account}\",\"amount\":100,\"for\":\"${steps.stock.output.reserve}\"}}]}";

static void put(const char *definition, int status, const char *pointer)
{
    struct answer answer = world_post(&world, "/v1/definitions", definition);
    ck_assert_msg(answer.status == status, "%d %s", answer.status, answer.text);
    if (pointer)
        ck_assert_str_eq(text(json_array_get(json_object_get(answer.body, "errors"), 0), "pointer"), pointer);
    answer_free(&answer);
}

static char *start(const char *input)
{
    char *body = mem_printf("{\"definition\":\"sale\",\"input\":%s}", input);
    struct answer answer = world_post(&world, "/v1/sagas", body);
    ck_assert_int_eq(answer.status, 201);
    char *saga = mem_strdup(answer.location);
    answer_free(&answer);
    free(body);
    return saga;
}

/* The parent has come to rest so, and its only child so. */
static void check_ends(const char *saga, const char *end, const char *child_end)
{
    char *wait = mem_printf("%s?wait=20s", saga), *children = mem_printf("/v1/sagas?parent=%s", strrchr(saga, '/') + 1);
    struct answer answer = world_get(&world, wait);
    ck_assert_msg(strcmp(text(answer.body, "state"), end) == 0, "%s", answer.text);
    answer_free(&answer);
    answer = world_get(&world, children);
    const json_t *all = json_object_get(answer.body, "sagas"), *one = json_array_get(all, 0);
    ck_assert_uint_eq(json_array_size(all), 1);
    ck_assert_str_eq(text(one, "state"), child_end);
    ck_assert_str_eq(text(json_object_get(one, "parent"), "step"), "stock");
    answer_free(&answer);
    free(wait), free(children);
}

/* The only child, once it waits for its signal. */
static char *await_waiting_child(const char *saga)
{
    char *path = world_await_child(&world, saga);
    for (int64_t revision = 0, waits = 0; !waits;) {
        char *next = mem_printf("%s?wait=10s&after=%lld", path, (long long)revision);
        struct answer answer = world_get(&world, next);
        revision = json_integer_value(json_object_get(answer.body, "revision"));
        waits = strcmp(text(json_array_get(json_object_get(answer.body, "steps"), 1), "state"), "RUNNING") == 0;
        answer_free(&answer);
        free(next);
    }
    return path;
}

static void act(const char *saga, const char *what)
{
    char *path = mem_printf("%s/%s", saga, what);
    struct answer answer = world_post(&world, path, "{}");
    ck_assert_msg(answer.status == 200, "%s: %d %s", what, answer.status, answer.text);
    answer_free(&answer);
    free(path);
}

static void open_all(void)
{
    world_open(&world);
    world_start_all(&world);
    put(child, 201, NULL);
    put(parent, 201, NULL);
}

START_TEST(a_saga_runs_another_and_goes_on_with_what_it_answered)
{
    open_all();
    char *saga = start("{\"sku\":\"book\",\"account\":\"alice\",\"waits\":false}");
    check_ends(saga, "COMPLETED", "COMPLETED");
    struct answer answer = world_get(&world, saga);
    const json_t *stock = json_array_get(json_object_get(answer.body, "steps"), 0);
    ck_assert_ptr_nonnull(json_object_get(json_object_get(stock, "output"), "reserve"));
    answer_free(&answer);
    free(saga);
    world_close(&world);
}
END_TEST

START_TEST(a_child_that_fails_turns_its_parent)
{
    open_all();
    char *saga = start("{\"sku\":\"unicorn\",\"account\":\"alice\",\"waits\":false}");
    check_ends(saga, "COMPENSATED", "COMPENSATED");
    free(saga);
    world_close(&world);
}
END_TEST

START_TEST(a_child_that_has_ended_is_undone_with_its_parent)
{
    open_all();
    char *saga = start("{\"sku\":\"book\",\"account\":\"mallory\",\"waits\":false}");
    check_ends(saga, "COMPENSATED", "COMPENSATED");
    books_await_rest(&world, 20);
    free(saga);
    world_close(&world);
}
END_TEST

START_TEST(a_cancel_reaches_the_child)
{
    open_all();
    char *saga = start("{\"sku\":\"book\",\"account\":\"alice\",\"waits\":true}"), *one = await_waiting_child(saga);
    act(saga, "cancel");
    check_ends(saga, "COMPENSATED", "COMPENSATED");
    free(saga), free(one);
    world_close(&world);
}
END_TEST

START_TEST(a_child_may_wait_for_a_signal)
{
    open_all();
    char *saga = start("{\"sku\":\"book\",\"account\":\"alice\",\"waits\":true}"), *one = await_waiting_child(saga);
    act(one, "signals/go");
    check_ends(saga, "COMPLETED", "COMPLETED");
    free(saga), free(one);
    world_close(&world);
}
END_TEST

START_TEST(what_it_runs_is_fixed_when_it_is_registered)
{
    world_open(&world);
    world_start_all(&world);
    put(parent, 422, "/steps/0/saga");
    put(child, 201, NULL);
    put(parent, 201, NULL);
    put(parent, 200, NULL); /* the same */
    struct answer answer = world_get(&world, "/v1/definitions/sale");
    const json_t *definition = json_object_get(answer.body, "definition");
    ck_assert_int_eq(json_integer_value(json_object_get(json_array_get(json_object_get(definition, "steps"), 0), "version")), 1);
    answer_free(&answer);
    put("{\"name\":\"stock\",\"steps\":[{\"name\":\"p\",\"service\":\"s\",\"action\":\"x\",\"compensation\":null,\"pivot\":true}]}", 201, NULL);
    put("{\"name\":\"two\",\"steps\":[{\"name\":\"a\",\"saga\":\"stock\"},{\"name\":\"b\",\"saga\":\"stock\"}]}", 422, "/steps/1/pivot");
    put("{\"name\":\"two\",\"steps\":[{\"name\":\"a\",\"saga\":\"stock\",\"pivot\":false}]}", 422, "/steps/0/pivot");
    put("{\"name\":\"two\",\"steps\":[{\"name\":\"a\",\"saga\":\"stock\",\"version\":9}]}", 422, "/steps/0/version");
    put("{\"name\":\"held\",\"entities\":[\"k\"],\"steps\":[{\"name\":\"d\",\"delay\":\"1s\"}]}", 201, NULL);
    put("{\"name\":\"two\",\"steps\":[{\"name\":\"a\",\"saga\":\"held\"}]}", 201, NULL);
    answer = world_get(&world, "/v1/definitions/two"); /* what the child is about its root holds */
    ck_assert_str_eq(json_string_value(json_array_get(json_object_get(json_object_get(answer.body, "definition"), "entities"), 0)), "k");
    answer_free(&answer);
    answer = world_post(&world, "/v1/sagas?wait=20s", "{\"definition\":\"two\"}");
    ck_assert_str_eq(text(answer.body, "state"), "COMPLETED");
    answer_free(&answer);
    world_close(&world);
}
END_TEST

static const TTest **const tests[] = {&a_saga_runs_another_and_goes_on_with_what_it_answered,
                                     &a_child_that_fails_turns_its_parent,
                                     &a_child_that_has_ended_is_undone_with_its_parent,
                                     &a_cancel_reaches_the_child,
                                     &a_child_may_wait_for_a_signal,
                                     &what_it_runs_is_fixed_when_it_is_registered,
                                     NULL};
static const struct suite_case cases[] = {{"children", tests, 120}};
SUITE_MAIN("children", cases)
