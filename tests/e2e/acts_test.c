/* What operators do to stalled sagas, over REST and with sagactl: behind the pivot is a step that its service does not know, so
 * that it is answered `failed` and the saga stalls, until somebody repairs it. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "suite.h"
#include "world.h"

static struct world world;

static const char definition[] =
    "{\"name\":\"stuck\",\"steps\":["
    "{\"name\":\"reserve\",\"service\":\"inventory\",\"action\":\"reserve\",\"compensation\":\"release\",\"pivot\":true,"
    "\"input\":{\"sku\":\"book\",\"qty\":1}},"
    "{\"name\":\"wrap\",\"service\":\"inventory\",\"action\":\"wrap\",\"compensation\":null},"
    "{\"name\":\"tell\",\"service\":\"inventory\",\"action\":\"reserve\",\"compensation\":\"release\","
    "\"input\":{\"sku\":\"${steps.wrap.output.sku}\",\"qty\":1}}]}";

static const json_t *step_of(const struct answer *answer, size_t i)
{
    return json_array_get(json_object_get(answer->body, "steps"), i);
}

/* A saga that has stalled at its second step; its path. */
static char *start_stuck(void)
{
    struct answer answer = world_post(&world, "/v1/definitions", definition);
    ck_assert_int_le(answer.status, 201);
    answer_free(&answer);
    answer = world_post(&world, "/v1/sagas?wait=20s", "{\"definition\":\"stuck\"}");
    ck_assert_str_eq(text(answer.body, "state"), "STALLED");
    ck_assert_str_eq(text(step_of(&answer, 1), "state"), "FAILED");
    ck_assert_str_eq(text(step_of(&answer, 1), "version"), "1.1.FAILED");
    ck_assert_uint_eq(json_array_size(json_object_get(step_of(&answer, 1), "actions")), 3);
    ck_assert_uint_eq(json_array_size(json_object_get(step_of(&answer, 0), "actions")), 0);
    ck_assert_uint_eq(json_array_size(json_object_get(answer.body, "actions")), 1); /* pause */
    char *path = mem_strdup(answer.location);
    answer_free(&answer);
    return path;
}

static struct answer act(const char *saga, const char *step, const char *name, const char *body)
{
    char *path = mem_printf("%s/steps/%s/%s", saga, step, name);
    struct answer answer = world_post(&world, path, body);
    free(path);
    return answer;
}

static void check_act(const char *saga, const char *step, const char *name, const char *body, int status, const char *pointer)
{
    struct answer answer = act(saga, step, name, body);
    ck_assert_msg(answer.status == status, "%s: %d %s", body, answer.status, answer.text);
    if (pointer)
        ck_assert_str_eq(text(json_array_get(json_object_get(answer.body, "errors"), 0), "pointer"), pointer);
    answer_free(&answer);
}

static void check_end(const char *saga, const char *state)
{
    char *path = mem_printf("%s?wait=20s", saga);
    struct answer answer = world_get(&world, path);
    ck_assert_str_eq(text(answer.body, "state"), state);
    answer_free(&answer);
    free(path);
}

static void await_version(const char *saga, const char *version)
{
    struct answer answer = {0};
    for (int tries = 0; tries < 100; tries++) {
        char *path = mem_printf("%s?wait=1s", saga);
        answer_free(&answer);
        answer = world_get(&world, path);
        free(path);
        if (strcmp(text(step_of(&answer, 1), "version"), version) == 0)
            break;
    }
    ck_assert_str_eq(text(step_of(&answer, 1), "version"), version);
    answer_free(&answer);
}

static void check_history(const char *saga, const char *says)
{
    char *path = mem_printf("%s/history", saga);
    struct answer answer = world_get(&world, path);
    ck_assert_msg(strstr(answer.text, says) != NULL, "%s is not in %s", says, answer.text);
    answer_free(&answer);
    free(path);
}

START_TEST(a_stalled_saga_is_repaired)
{
    world_open(&world);
    world_start_all(&world);
    char *saga = start_stuck();
    check_act(saga, "wrap", "retry", "{}", 422, "/version");
    check_act(saga, "wrap", "retry", "{\"version\":\"1.1.FAILED\",\"reason\":7}", 422, "/reason");
    check_act(saga, "wrap", "skip", "{\"version\":\"1.1.FAILED\"}", 422, "/reason");
    check_act(saga, "wrap", "resolve", "{\"version\":\"1.1.FAILED\"}", 422, "/outcome");
    check_act(saga, "wrap", "retry", "{\"version\":\"1.1.FAILED\",\"output\":1}", 422, "/output");
    check_act(saga, "wrap", "retry", "{\"version\":\"1.2.FAILED\"}", 409, NULL);
    check_act(saga, "wrap", "resolve", "{\"version\":\"1.1.FAILED\",\"outcome\":\"failed\"}", 409, NULL);
    check_act(saga, "reserve", "skip", "{\"version\":\"1.1.SUCCEEDED\",\"reason\":\"no\"}", 409, NULL);
    check_act(saga, "nothing", "retry", "{\"version\":\"1.1.FAILED\"}", 404, NULL);
    check_act("/v1/sagas/0197c0de-0000-7000-8000-00000000000a", "wrap", "retry", "{\"version\":\"1.1.FAILED\"}", 404, NULL);
    check_act(saga, "wrap", "retry", "{\"version\":\"1.1.FAILED\",\"by\":\"ann\",\"reason\":\"again\"}", 200, NULL);
    await_version(saga, "2.1.FAILED"); /* the service said no again, in a new round */
    check_act(saga, "wrap", "resolve", "{\"version\":\"2.1.FAILED\",\"outcome\":\"succeeded\",\"output\":{\"sku\":\"book\"}}", 200, NULL);
    check_end(saga, "COMPLETED");
    check_act(saga, "wrap", "retry", "{\"version\":\"2.1.SUCCEEDED\"}", 409, NULL);
    check_history(saga, "\"event\":\"step_retried\",\"step\":\"wrap\",\"detail\":{\"by\":\"ann\",\"reason\":\"again\"}");
    check_history(saga, "success_supplied");
    check_history(saga, "saga_running");
    free(saga);
    world_close(&world);
}
END_TEST

START_TEST(sagactl_repairs_too)
{
    world_open(&world);
    world_start_all(&world);
    char *saga = start_stuck();
    const char *id = strrchr(saga, '/') + 1;
    char *skip = mem_printf("SAGA_URL=http://127.0.0.1:%d %s skip %s wrap", world.port, SAGACTL, id);
    char *with_reason = mem_printf("%s --reason 'nobody wants paper' --by bob", skip);
    char *last = mem_printf("SAGA_URL=http://127.0.0.1:%d %s skip %s tell --reason 'nobody to tell'", world.port, SAGACTL, id);
    ck_assert_int_ne(system(skip), 0);
    ck_assert_int_eq(system(with_reason), 0);
    struct answer answer = world_get(&world, saga); /* what the next step wanted from it is not there */
    ck_assert_str_eq(text(step_of(&answer, 1), "state"), "WAIVED");
    ck_assert_str_eq(text(step_of(&answer, 2), "version"), "0.0.FAILED");
    answer_free(&answer);
    ck_assert_int_eq(system(last), 0);
    check_end(saga, "COMPLETED");
    ck_assert_int_ne(system(last), 0);
    free(skip), free(with_reason), free(last), free(saga);
    world_close(&world);
}
END_TEST

static void check_signal(const char *saga, const char *name, const char *body, int status)
{
    char *path = mem_printf("%s/signals/%s", saga, name);
    struct answer answer = world_post(&world, path, body);
    ck_assert_msg(answer.status == status, "%s %s: %d %s", name, body, answer.status, answer.text);
    answer_free(&answer);
    free(path);
}

static void check_pause(const char *saga, const char *name, const char *body, int status, bool paused)
{
    char *path = mem_printf("%s/%s", saga, name);
    struct answer answer = world_post(&world, path, body);
    ck_assert_msg(answer.status == status, "%s %s: %d %s", name, body, answer.status, answer.text);
    if (status == 200)
        ck_assert_int_eq(json_is_true(json_object_get(answer.body, "paused")), paused);
    answer_free(&answer);
    free(path);
}

START_TEST(a_paused_saga_waits_until_it_is_resumed)
{
    static const char waiting[] = "{\"name\":\"waiting\",\"steps\":[{\"name\":\"w\",\"wait\":\"go\",\"timeout\":\"1h\"},"
                                  "{\"name\":\"reserve\",\"service\":\"inventory\",\"action\":\"reserve\",\"compensation\":\"release\","
                                  "\"input\":{\"sku\":\"book\",\"qty\":1}}]}";
    world_open(&world);
    world_start_all(&world);
    struct answer answer = world_post(&world, "/v1/definitions", waiting);
    answer_free(&answer);
    answer = world_post(&world, "/v1/sagas", "{\"definition\":\"waiting\"}");
    ck_assert_int_eq(answer.status, 201);
    char *saga = mem_strdup(answer.location);
    answer_free(&answer);
    check_pause(saga, "resume", "{}", 409, false);
    check_pause(saga, "pause", "{\"by\":5}", 422, false);
    check_pause(saga, "pause", "{\"by\":\"ann\",\"reason\":\"stock is being counted\"}", 200, true);
    check_pause(saga, "pause", "{}", 409, true);
    check_pause(saga, "signals/go", "{}", 200, true); /* noted: the next step does not begin */
    answer = world_get(&world, saga);
    ck_assert_str_eq(text(step_of(&answer, 0), "state"), "SUCCEEDED");
    ck_assert_str_eq(text(step_of(&answer, 1), "state"), "PENDING");
    answer_free(&answer);
    char *command = mem_printf("SAGA_URL=http://127.0.0.1:%d %s resume %s --by bob", world.port, SAGACTL, strrchr(saga, '/') + 1);
    ck_assert_int_eq(system(command), 0);
    free(command);
    check_end(saga, "COMPLETED");
    check_pause(saga, "pause", "{}", 409, false);
    free(saga);
    world_close(&world);
}
END_TEST

START_TEST(a_saga_begins_later_if_asked_to)
{
    static const char later[] = "{\"name\":\"later\",\"steps\":[{\"name\":\"d\",\"delay\":\"1ms\"}]}";
    static const char *const bad[][2] = {{"\"start_at\":\"soon\"", "/start_at"}, {"\"start_at\":5", "/start_at"},
                                         {"\"delay\":\"soon\"", "/delay"}, {"\"delay\":\"400d\"", "/delay"},
                                         {"\"delay\":\"1s\",\"start_at\":\"2026-01-31T10:00:00Z\"", "/delay"}};
    world_open(&world);
    world_start_all(&world);
    struct answer answer = world_post(&world, "/v1/definitions", later);
    answer_free(&answer);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char *body = mem_printf("{\"definition\":\"later\",%s}", bad[i][0]);
        answer = world_post(&world, "/v1/sagas", body);
        ck_assert_int_eq(answer.status, 422);
        ck_assert_str_eq(text(json_array_get(json_object_get(answer.body, "errors"), 0), "pointer"), bad[i][1]);
        answer_free(&answer);
        free(body);
    }
    answer = world_post(&world, "/v1/sagas", "{\"definition\":\"later\",\"delay\":\"1h\"}");
    char *far = mem_strdup(answer.location);
    answer_free(&answer);
    answer = world_get(&world, far);
    ck_assert_str_eq(text(answer.body, "state"), "SCHEDULED");
    ck_assert_str_ne(text(answer.body, "start_at"), "");
    answer_free(&answer);
    char *cancel = mem_printf("%s/cancel", far);
    answer = world_post(&world, cancel, "{}");
    ck_assert_str_eq(text(answer.body, "state"), "COMPENSATED");
    answer_free(&answer);
    answer = world_post(&world, "/v1/sagas?wait=20s", "{\"definition\":\"later\",\"delay\":\"300ms\"}");
    ck_assert_str_eq(text(answer.body, "state"), "COMPLETED");
    answer_free(&answer);
    answer = world_post(&world, "/v1/sagas?wait=20s", "{\"definition\":\"later\",\"start_at\":\"2020-01-31T10:00:00Z\"}"); /* long ago: at once */
    ck_assert_str_eq(text(answer.body, "state"), "COMPLETED");
    answer_free(&answer);
    free(cancel);
    free(far);
    world_close(&world);
}
END_TEST

static char *start_about(const char *members, int status)
{
    char *body = mem_printf("{\"definition\":\"held\",%s}", members);
    struct answer answer = world_post(&world, "/v1/sagas", body);
    ck_assert_msg(answer.status == status, "%s: %d %s", body, answer.status, answer.text);
    char *saga = mem_strdup(answer.location);
    if (status == 409)
        ck_assert_str_eq(text(json_array_get(json_object_get(answer.body, "errors"), 0), "pointer"), "/key");
    answer_free(&answer);
    free(body);
    return saga;
}

START_TEST(one_saga_lives_with_a_key)
{
    static const char held[] = "{\"name\":\"held\",\"steps\":[{\"name\":\"w\",\"wait\":\"go\",\"timeout\":\"1h\"}]}";
    world_open(&world);
    world_start_all(&world);
    struct answer answer = world_post(&world, "/v1/definitions", held);
    answer_free(&answer);
    char *first = start_about("\"key\":\"order 7\"", 201), *other = start_about("\"key\":\"order 8\"", 201);
    char *refused = start_about("\"key\":\"order 7\"", 409), *again = start_about("\"key\":\"order 7\",\"on_conflict\":\"return\"", 200);
    ck_assert_str_eq(again, first);
    check_pause(first, "cancel", "{}", 200, false);
    char *next = start_about("\"key\":\"order 7\"", 201); /* the first has ended */
    ck_assert_str_ne(next, first);
    free(start_about("\"on_conflict\":\"return\"", 422));
    free(start_about("\"key\":\"\"", 422));
    free(start_about("\"key\":\"k\",\"on_conflict\":\"fight\"", 422));
    free(first), free(other), free(refused), free(again), free(next);
    world_close(&world);
}
END_TEST

static void check_queue(const char *key, const char *holder, const char *next)
{
    char *path = mem_printf("/v1/entities/%s", key);
    struct answer answer = world_get(&world, path);
    ck_assert_int_eq(answer.status, 200);
    const char *held = text(json_object_get(answer.body, "holder"), "saga");
    const char *waits = text(json_array_get(json_object_get(answer.body, "queue"), 0), "saga");
    ck_assert_str_eq(held, holder ? strrchr(holder, '/') + 1 : "");
    ck_assert_str_eq(waits, next ? strrchr(next, '/') + 1 : "");
    answer_free(&answer);
    free(path);
}

static char *start_on(const char *which, const char *order, const char *state)
{
    char *body = mem_printf("{\"definition\":\"%s\",\"input\":{\"order\":\"%s\"}}", which, order);
    char *saga = world_start_saga(&world, body, state);
    free(body);
    return saga;
}

START_TEST(sagas_that_hold_one_entity_run_one_after_the_other)
{
    static const char queues[] = "{\"name\":\"queues\",\"entities\":[\"order:${input.order}\"],\"steps\":["
                                 "{\"name\":\"w\",\"wait\":\"go\",\"timeout\":\"1h\"}]}";
    static const char rejects[] = "{\"name\":\"rejects\",\"entities\":[\"order:${input.order}\"],\"on_busy\":\"reject\",\"steps\":["
                                  "{\"name\":\"w\",\"wait\":\"go\",\"timeout\":\"1h\"}]}";
    world_open(&world);
    world_start_all(&world);
    struct answer answer = world_post(&world, "/v1/definitions", queues);
    answer_free(&answer);
    answer = world_post(&world, "/v1/definitions", rejects);
    answer_free(&answer);
    char *first = start_on("queues", "7", "RUNNING"), *second = start_on("queues", "7", "QUEUED"), *third = start_on("queues", "7", "QUEUED");
    char *other = start_on("queues", "8", "RUNNING");
    check_queue("order:7", first, second);
    check_queue("order:8", other, NULL);
    check_queue("order:9", NULL, NULL);
    answer = world_post(&world, "/v1/sagas", "{\"definition\":\"rejects\",\"input\":{\"order\":\"7\"}}");
    ck_assert_int_eq(answer.status, 409);
    answer_free(&answer);
    answer = world_post(&world, "/v1/sagas", "{\"definition\":\"queues\"}");
    ck_assert_int_eq(answer.status, 422);
    ck_assert_str_eq(text(json_array_get(json_object_get(answer.body, "errors"), 0), "pointer"), "/input");
    answer_free(&answer);
    check_pause(second, "cancel", "{}", 200, false); /* it leaves the queue */
    check_end(second, "COMPENSATED");
    check_queue("order:7", first, third);
    check_pause(first, "signals/go", "{}", 200, false);
    check_end(first, "COMPLETED");
    check_pause(third, "signals/go", "{}", 200, false); /* whether its turn has come already or not */
    check_end(third, "COMPLETED");
    check_queue("order:7", NULL, NULL);
    char *last = start_on("rejects", "7", "RUNNING");
    char *command = mem_printf("SAGA_URL=http://127.0.0.1:%d %s entity order:7 | grep -q '^holds *%s'", world.port, SAGACTL, strrchr(last, '/') + 1);
    ck_assert_int_eq(system(command), 0);
    free(first), free(second), free(third), free(other), free(last), free(command);
    world_close(&world);
}
END_TEST

START_TEST(a_stalled_or_paused_saga_keeps_its_entities)
{
    static const char holds[] = "{\"name\":\"holds\",\"entities\":[\"order:${input.order}\"],\"steps\":["
                                "{\"name\":\"reserve\",\"service\":\"inventory\",\"action\":\"reserve\",\"compensation\":\"release\",\"pivot\":true,"
                                "\"input\":{\"sku\":\"book\",\"qty\":1}},"
                                "{\"name\":\"wrap\",\"service\":\"inventory\",\"action\":\"wrap\",\"compensation\":null}]}";
    world_open(&world);
    world_start_all(&world);
    struct answer answer = world_post(&world, "/v1/definitions", holds);
    ck_assert_int_eq(answer.status, 201);
    answer_free(&answer);
    answer = world_post(&world, "/v1/sagas?wait=20s", "{\"definition\":\"holds\",\"input\":{\"order\":\"7\"}}");
    ck_assert_str_eq(text(answer.body, "state"), "STALLED");
    char *first = mem_strdup(answer.location);
    answer_free(&answer);
    char *second = start_on("holds", "7", "QUEUED");
    check_queue("order:7", first, second);
    check_pause(first, "pause", "{}", 200, true);
    check_queue("order:7", first, second);
    check_pause(first, "resume", "{}", 200, false);
    check_act(first, "wrap", "skip", "{\"version\":\"1.1.FAILED\",\"reason\":\"enough\"}", 200, NULL);
    check_end(first, "COMPLETED");
    check_end(second, "STALLED"); /* its turn has come */
    check_queue("order:7", second, NULL);
    free(first), free(second);
    world_close(&world);
}
END_TEST

static size_t listed(const char *label)
{
    char *path = mem_printf("/v1/sagas?label=%s&limit=1", label);
    size_t n = 0;
    while (*path) {
        struct answer answer = world_get(&world, path);
        ck_assert_int_eq(answer.status, 200);
        n += json_array_size(json_object_get(answer.body, "sagas"));
        free(path);
        path = mem_strdup(text(answer.body, "next"));
        answer_free(&answer);
    }
    free(path);
    return n;
}

START_TEST(sagas_are_found_by_their_labels)
{
    static const char held[] = "{\"name\":\"held\",\"steps\":[{\"name\":\"w\",\"wait\":\"go\",\"timeout\":\"1h\"}]}";
    world_open(&world);
    world_start_all(&world);
    struct answer answer = world_post(&world, "/v1/definitions", held);
    answer_free(&answer);
    free(start_about("\"labels\":{\"region\":\"eu\",\"shop\":\"T\u00fcr & Tor\"}", 201));
    free(start_about("\"labels\":{\"region\":\"eu\"}", 201));
    char *last = start_about("\"labels\":{\"region\":\"us\"}", 201);
    free(start_about("\"labels\":{}", 201));
    ck_assert_uint_eq(listed("region:eu"), 2);
    ck_assert_uint_eq(listed("region:eu,shop:T%C3%BCr%20%26%20Tor"), 1);
    ck_assert_uint_eq(listed("region:asia"), 0);
    answer = world_get(&world, last);
    ck_assert_str_eq(text(json_object_get(answer.body, "labels"), "region"), "us");
    answer_free(&answer);
    answer = world_get(&world, "/v1/sagas?label=region");
    ck_assert_int_eq(answer.status, 400);
    answer_free(&answer);
    free(start_about("\"labels\":{\"Region\":\"eu\"}", 422));
    free(start_about("\"labels\":{\"region\":7}", 422));
    free(start_about("\"labels\":[]", 422));
    free(last);
    char *command = mem_printf("SAGA_URL=http://127.0.0.1:%d %s start held --labels region:mars && SAGA_URL=http://127.0.0.1:%d %s list --labels region:mars | grep -q held",
                               world.port, SAGACTL, world.port, SAGACTL);
    ck_assert_int_eq(system(command), 0);
    free(command);
    world_close(&world);
}
END_TEST

START_TEST(a_saga_waits_for_a_signal)
{
    world_open(&world);
    world_start_all(&world);
    struct answer answer = world_post(&world, "/v1/definitions",
                                      "{\"name\":\"approval\",\"steps\":[{\"name\":\"first\",\"wait\":\"go\",\"timeout\":\"1h\"},"
                                      "{\"name\":\"pause\",\"delay\":\"4s\"},{\"name\":\"second\",\"wait\":\"ready\",\"timeout\":\"1h\"},"
                                      "{\"name\":\"reserve\",\"service\":\"inventory\",\"action\":\"reserve\",\"compensation\":\"release\","
                                      "\"input\":{\"sku\":\"${steps.second.output.sku}\",\"qty\":1}}]}");
    ck_assert_int_eq(answer.status, 201);
    answer_free(&answer);
    answer = world_post(&world, "/v1/sagas", "{\"definition\":\"approval\"}");
    char *saga = mem_strdup(answer.location);
    answer_free(&answer);
    check_signal(saga, "stop", "{}", 404);
    check_signal(saga, "go", "[]", 422);
    check_signal("/v1/sagas/0197c0de-0000-7000-8000-00000000000a", "go", "{}", 404);
    check_signal(saga, "go?by=", "{}", 400);
    check_signal(saga, "go?by=a%FF", "{}", 400);
    check_signal(saga, "go?by=the%20boss&reason=well%20%26%20good", "{}", 200);
    check_signal(saga, "go", "{}", 404); /* told twice */
    char *command = mem_printf("SAGA_URL=http://127.0.0.1:%d %s signal %s ready --input '{\"sku\":\"book\"}' --by 'a & b'", world.port, SAGACTL, strrchr(saga, '/') + 1);
    ck_assert_int_eq(system(command), 0); /* before its step's turn */
    check_signal(saga, "ready", "{\"sku\":\"pen\"}", 404);
    check_end(saga, "COMPLETED");
    check_signal(saga, "go", "{}", 409);
    answer = world_get(&world, saga);
    ck_assert_str_eq(text(json_object_get(step_of(&answer, 2), "output"), "sku"), "book");
    ck_assert(json_is_null(json_object_get(step_of(&answer, 0), "service")));
    answer_free(&answer);
    check_history(saga, "\"event\":\"signal_received\",\"step\":\"first\",\"attempt\":1,\"detail\":{\"by\":\"the boss\",\"reason\":\"well & good\"}");
    check_history(saga, "\"event\":\"signal_received\",\"step\":\"second\",\"detail\":{\"by\":\"a & b\"}");
    free(command), free(saga);
    world_close(&world);
}
END_TEST

static const TTest **const tests[] = {&a_stalled_saga_is_repaired, &sagactl_repairs_too, &a_paused_saga_waits_until_it_is_resumed,
                                     &a_saga_begins_later_if_asked_to, &one_saga_lives_with_a_key, &sagas_are_found_by_their_labels,
                                     &sagas_that_hold_one_entity_run_one_after_the_other,
    &a_stalled_or_paused_saga_keeps_its_entities,
                                     &a_saga_waits_for_a_signal, NULL};
static const struct suite_case cases[] = {{"acts", tests, 120}};
SUITE_MAIN("acts", cases)
