/* Sagas that touch one entity without holding it, with the example services: the clocks tell when they met on it, and when one saw what another
 * took back. Sagas that hold it do not meet. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "suite.h"
#include "world.h"

static struct world world;

/* Both touch stock and money of one customer, in different orders, and wait in between. */
#define GOODS "{\"name\":\"goods\",\"service\":\"inventory\",\"action\":\"reserve\",\"compensation\":\"release\",\"input\":{\"sku\":\"book\",\"qty\":1}}"
#define MONEY "{\"name\":\"money\",\"service\":\"payment\",\"action\":\"charge\",\"compensation\":\"refund\",\"input\":{\"account\":\"alice\",\"amount\":100}}"
#define PAUSE "{\"name\":\"w\",\"wait\":\"go\",\"timeout\":\"1h\"}"

static void put(const char *name, const char *entity, const char *first, const char *second)
{
    char *definition = mem_printf("{\"name\":\"%s\",\"entities\":[%s],\"steps\":[%s," PAUSE ",%s]}", name, entity, first, second);
    struct answer answer = world_post(&world, "/v1/definitions", definition);
    ck_assert_msg(answer.status == 201, "%d %s", answer.status, answer.text);
    answer_free(&answer);
    free(definition);
}

static void open_world(void)
{
    world_open(&world);
    world_start_all(&world);
    const char *observed = "{\"key\":\"customer:${input.customer}\",\"mode\":\"observe\"}", *held = "\"customer:${input.customer}\"";
    put("goods-first", observed, GOODS, MONEY);
    put("money-first", observed, MONEY, GOODS);
    put("goods-first-alone", held, GOODS, MONEY);
    put("money-first-alone", held, MONEY, GOODS);
}

static char *start(const char *definition, const char *state)
{
    char *body = mem_printf("{\"definition\":\"%s\",\"input\":{\"customer\":7}}", definition);
    char *saga = world_start_saga(&world, body, state);
    free(body);
    return saga;
}

/* Until its first step is done. */
static void await_pause(const char *saga)
{
    for (int64_t revision = 0, waits = 0; !waits;) {
        char *next = mem_printf("%s?wait=10s&after=%lld", saga, (long long)revision);
        struct answer answer = world_get(&world, next);
        ck_assert(strcmp(text(answer.body, "state"), "RUNNING") == 0 || strcmp(text(answer.body, "state"), "QUEUED") == 0);
        revision = json_integer_value(json_object_get(answer.body, "revision"));
        waits = strcmp(text(json_array_get(json_object_get(answer.body, "steps"), 1), "state"), "RUNNING") == 0;
        answer_free(&answer);
        free(next);
    }
}

static void act(const char *saga, const char *what, const char *end)
{
    char *path = mem_printf("%s/%s", saga, what), *wait = mem_printf("%s?wait=20s", saga);
    struct answer answer = world_post(&world, path, "{}");
    ck_assert_msg(answer.status == 200, "%s: %d %s", what, answer.status, answer.text);
    answer_free(&answer);
    answer = world_get(&world, wait);
    ck_assert_str_eq(text(answer.body, "state"), end);
    answer_free(&answer);
    free(path), free(wait);
}

static struct answer conflicts(size_t sagas, int64_t count)
{
    struct answer answer = world_get(&world, "/v1/entities/customer:7/conflicts");
    ck_assert_msg(answer.status == 200, "%d %s", answer.status, answer.text);
    ck_assert_msg(json_array_size(json_object_get(answer.body, "sagas")) == sagas, "%s", answer.text);
    ck_assert_msg(json_integer_value(json_object_get(answer.body, "conflicts")) == count, "%s", answer.text);
    return answer;
}

static void check_id(const json_t *object, const char *name, const char *saga)
{
    ck_assert_str_eq(text(object, name), strrchr(saga, '/') + 1);
}

/* What sagactl says of the entity has this line. */
static void check_sagactl(const char *pattern)
{
    char *command = mem_printf("SAGA_URL=http://127.0.0.1:%d %s conflicts customer:7 | grep -q -- '%s'", world.port, SAGACTL, pattern);
    ck_assert_msg(system(command) == 0, "%s", command);
    free(command);
}

START_TEST(sagas_that_pass_each_other_are_concurrent)
{
    open_world();
    char *first = start("goods-first", "RUNNING"), *second = start("money-first", "RUNNING");
    await_pause(first);
    await_pause(second);
    act(first, "signals/go", "COMPLETED");
    act(second, "signals/go", "COMPLETED");
    struct answer answer = conflicts(2, 1);
    const json_t *pair = json_array_get(json_object_get(answer.body, "pairs"), 0);
    check_id(pair, "first", first);
    check_id(pair, "second", second);
    ck_assert_str_eq(text(pair, "order"), "concurrent"); /* the goods went to the first before the second, the money the other way round */
    ck_assert_uint_eq(json_array_size(json_object_get(pair, "dirty")), 0);
    answer_free(&answer);
    check_sagactl("^concurrent ");
    free(first), free(second);
    world_close(&world);
}
END_TEST

START_TEST(a_saga_that_saw_what_another_took_back_is_dirty)
{
    open_world();
    char *first = start("goods-first", "RUNNING");
    await_pause(first);
    char *second = start("goods-first", "RUNNING");
    await_pause(second);
    act(second, "signals/go", "COMPLETED");
    act(first, "cancel", "COMPENSATED");
    struct answer answer = conflicts(2, 1);
    const json_t *pair = json_array_get(json_object_get(answer.body, "pairs"), 0);
    const json_t *dirty = json_array_get(json_object_get(pair, "dirty"), 0);
    ck_assert_str_eq(text(pair, "order"), "none"); /* nothing of the first stands */
    ck_assert_uint_eq(json_array_size(json_object_get(pair, "dirty")), 1);
    check_id(dirty, "undone", first);
    check_id(dirty, "by", second);
    ck_assert_str_eq(text(dirty, "service"), "inventory");
    ck_assert_str_eq(text(dirty, "step"), "goods");
    ck_assert_int_eq(json_integer_value(json_object_get(dirty, "action")), 1);
    ck_assert_int_eq(json_integer_value(json_object_get(dirty, "compensation")), 3);
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(dirty, "touched"), "number")), 2);
    answer_free(&answer);
    check_sagactl("^dirty ");
    free(first), free(second);
    world_close(&world);
}
END_TEST

START_TEST(an_entity_that_all_hold_has_no_conflicts)
{
    open_world();
    char *first = start("goods-first-alone", "RUNNING");
    await_pause(first);
    char *second = start("money-first-alone", "QUEUED"), *third = start("goods-first-alone", "QUEUED");
    act(first, "signals/go", "COMPLETED");
    await_pause(second);
    act(second, "cancel", "COMPENSATED");
    act(third, "signals/go", "COMPLETED");
    struct answer answer = conflicts(3, 0);
    const json_t *pairs = json_object_get(answer.body, "pairs"), *pair;
    size_t i;
    ck_assert_uint_eq(json_array_size(pairs), 1); /* nothing of the second stands */
    json_array_foreach(pairs, i, pair)
        ck_assert_str_eq(text(pair, "order"), "before");
    answer_free(&answer);
    check_sagactl("no two of 3 sagas");
    answer = world_get(&world, "/v1/entities/nobody%2Fs/conflicts");
    ck_assert_str_eq(text(answer.body, "key"), "nobody/s");
    ck_assert_uint_eq(json_array_size(json_object_get(answer.body, "sagas")), 0);
    answer_free(&answer);
    free(first), free(second), free(third);
    world_close(&world);
}
END_TEST

static void check_key(const char *path, const char *key, bool conflicts)
{
    struct answer answer = world_get(&world, path);
    ck_assert_msg(answer.status == 200, "%s: %d %s", path, answer.status, answer.text);
    ck_assert_str_eq(text(answer.body, "key"), key);
    ck_assert_int_eq(json_object_get(answer.body, "pairs") != NULL, conflicts);
    answer_free(&answer);
}

START_TEST(a_key_may_look_like_a_path)
{
    world_open(&world);
    world_start_all(&world);
    check_key("/v1/entities/a%2Fconflicts", "a/conflicts", false);
    check_key("/v1/entities/a%2Fconflicts/conflicts", "a/conflicts", true);
    check_key("/v1/entities/a%2fb/conflicts", "a/b", true);
    check_key("/v1/entities/a/b", "a/b", false);
    check_key("/v1/entities/50%25%20off%", "50% off%", false);
    struct answer answer = world_get(&world, "/v1/entities/a%00b");
    ck_assert_int_eq(answer.status, 404);
    answer_free(&answer);
    world_close(&world);
}
END_TEST

START_TEST(what_a_child_does_is_its_roots)
{
    open_world();
    struct answer answer = world_post(&world, "/v1/definitions",
                                      "{\"name\":\"whole\",\"steps\":[" MONEY ",{\"name\":\"part\",\"saga\":\"goods-first\",\"input\":{\"customer\":7}}]}");
    ck_assert_msg(answer.status == 201, "%d %s", answer.status, answer.text);
    answer_free(&answer);
    answer = world_post(&world, "/v1/sagas", "{\"definition\":\"whole\"}");
    char *root = mem_strdup(answer.location), *wait = mem_printf("%s?wait=20s", root);
    answer_free(&answer);
    char *child = world_await_child(&world, root);
    act(child, "signals/go", "COMPLETED");
    answer = world_get(&world, wait);
    ck_assert_str_eq(text(answer.body, "state"), "COMPLETED");
    answer_free(&answer);
    answer = conflicts(1, 0);
    const json_t *saga = json_array_get(json_object_get(answer.body, "sagas"), 0), *effects = json_object_get(saga, "effects");
    check_id(saga, "saga", root);
    ck_assert_msg(json_array_size(effects) == 3, "%s", answer.text); /* its own charge, the child's goods, the child's charge */
    answer_free(&answer);
    free(root), free(wait), free(child);
    world_close(&world);
}
END_TEST

static const TTest **const tests[] = {
    &sagas_that_pass_each_other_are_concurrent,
    &a_saga_that_saw_what_another_took_back_is_dirty,
    &an_entity_that_all_hold_has_no_conflicts,
    &a_key_may_look_like_a_path,
    &what_a_child_does_is_its_roots,
    NULL,
};
static const struct suite_case cases[] = {{"conflicts", tests, 120}};
SUITE_MAIN("conflicts", cases)
