/* The API of the real binary: what it answers, and what bad input gets. */
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "process.h"
#include "suite.h"
#include "world.h"

static struct world world;

static const char *const good_input =
    "{\"sku\":\"book\",\"qty\":2,\"account\":\"alice\",\"amount\":1999,\"country\":\"DE\",\"address\":\"Hauptstr. 1\"}";

/* Checks a problem document: status, type, and the pointer of its first error (NULL: none is wanted). */
static void check_problem(struct answer answer, const char *what, int status, const char *kind, const char *pointer)
{
    char type[100];
    snprintf(type, sizeof type, "urn:saga:problem:%s", kind);
    ck_assert_msg(answer.status == status, "%s: %d, not %d", what, answer.status, status);
    ck_assert_msg(strcmp(answer.type, "application/problem+json") == 0, "%s: %s", what, answer.type);
    ck_assert_msg(strcmp(text(answer.body, "type"), type) == 0, "%s: %s", what, text(answer.body, "type"));
    ck_assert_int_eq(json_integer_value(json_object_get(answer.body, "status")), status);
    ck_assert(*text(answer.body, "title") && *text(answer.body, "detail"));
    const json_t *errors = json_object_get(answer.body, "errors");
    if (pointer) {
        ck_assert_msg(json_array_size(errors) >= 1, "%s: no errors", what);
        ck_assert_msg(strcmp(text(json_array_get(errors, 0), "pointer"), pointer) == 0, "%s: %s", what,
                      text(json_array_get(errors, 0), "pointer"));
        ck_assert(*text(json_array_get(errors, 0), "detail"));
    }
    answer_free(&answer);
}

static int64_t sagas_n(void)
{
    static const struct pg_statement count = {"count_sagas", "SELECT count(*) FROM saga"};
    return query_number(world.pg, &count);
}

static char *start_body(const char *definition, const char *input)
{
    return mem_printf("{\"definition\":\"%s\",\"input\":%s}", definition, input);
}

START_TEST(bad_input_gets_a_problem_with_its_place_and_makes_no_saga)
{
    static const struct {
        const char *path, *body;
        int status;
        const char *kind, *pointer;
    } bad[] = {
        {"/v1/definitions", "{", 400, "malformed-json", ""},
        {"/v1/definitions", "", 400, "malformed-json", ""},
        {"/v1/definitions", "{\"name\":\"a\",\"name\":\"b\"}", 400, "malformed-json", ""},
        {"/v1/definitions", "[]", 422, "invalid-body", ""},
        {"/v1/definitions", "{\"name\":\"a\"}", 422, "invalid-definition", "/steps"},
        {"/v1/definitions", "{\"name\":\"a\",\"steps\":[{\"name\":\"s\",\"service\":\"s\",\"action\":\"a\"}]}", 422,
         "invalid-definition", "/steps/0/compensation"},
        {"/v1/definitions",
         "{\"name\":\"a\",\"stepps\":1,\"steps\":[{\"name\":\"s\",\"service\":\"s\",\"action\":\"a\",\"compensation\":null}]}",
         422, "invalid-definition", "/stepps"},
        {"/v1/sagas", "{\"definition\":", 400, "malformed-json", ""},
        {"/v1/sagas", "7", 422, "invalid-body", ""},
        {"/v1/sagas", "{}", 422, "invalid-body", "/definition"},
        {"/v1/sagas", "{\"definition\":7}", 422, "invalid-body", "/definition"},
        {"/v1/sagas", "{\"definition\":\"nope\"}", 422, "unknown-definition", "/definition"},
        {"/v1/sagas", "{\"definition\":\"order\",\"version\":9}", 422, "unknown-definition", "/definition"},
        {"/v1/sagas", "{\"definition\":\"order\",\"version\":\"1\"}", 422, "invalid-body", "/version"},
        {"/v1/sagas", "{\"definition\":\"order\",\"inputs\":{}}", 422, "invalid-body", "/inputs"},
        {"/v1/sagas", "{\"definition\":\"order\",\"idempotency_key\":7}", 422, "invalid-body", "/idempotency_key"},
        {"/v1/sagas", "{\"definition\":\"order\",\"idempotency_key\":\"\"}", 422, "invalid-body", "/idempotency_key"},
        {"/v1/sagas", "{\"definition\":\"order\",\"input\":{\"a\":\"\\u0000\"}}", 400, "malformed-json", ""},
        {"/v1/sagas", "{\"definition\":\"order\",\"input\":99999999999999999999}", 400, "malformed-json", ""},
        {"/v1/sagas?wait=soon", "{\"definition\":\"order\"}", 400, "invalid-parameter", NULL},
        {"/v1/sagas?wait=2h", "{\"definition\":\"order\"}", 400, "invalid-parameter", NULL},
    };
    world_open(&world);
    world_start_all(&world);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        check_problem(world_post(&world, bad[i].path, bad[i].body), bad[i].body, bad[i].status, bad[i].kind, bad[i].pointer);
    check_problem(world_call(&world, "POST", "/v1/sagas", "a=b", 3, "application/x-www-form-urlencoded", NULL), "form", 415,
                  "not-json", NULL);
    size_t size = 2u << 20;
    char *large = mem_alloc(size);
    memset(large, ' ', size);
    check_problem(world_call(&world, "POST", "/v1/sagas", large, size, NULL, NULL), "large", 413, "body-too-large", NULL);
    memset(large, '[', size);
    check_problem(world_call(&world, "POST", "/v1/sagas", large, 1000, NULL, NULL), "deep", 400, "malformed-json", "");
    free(large);
    check_problem(world_get(&world, "/v1/sagas/no-id"), "id", 400, "invalid-id", NULL);
    check_problem(world_get(&world, "/v1/sagas/0197c0de-0000-7000-8000-00000000000a"), "saga", 404, "not-found", NULL);
    check_problem(world_get(&world, "/v1/sagas/0197c0de-0000-7000-8000-00000000000a/history"), "saga", 404, "not-found", NULL);
    check_problem(world_get(&world, "/v1/definitions/nope"), "definition", 404, "not-found", NULL);
    check_problem(world_get(&world, "/v1/definitions/order?version=x"), "version", 400, "invalid-parameter", NULL);
    check_problem(world_get(&world, "/v1/definitions/order?version=7"), "version", 404, "not-found", NULL);
    check_problem(world_get(&world, "/v1/sagas?from=yesterday"), "from", 400, "invalid-parameter", NULL);
    check_problem(world_get(&world, "/v1/sagas?to=2026-01-31"), "to", 400, "invalid-parameter", NULL);
    check_problem(world_get(&world, "/v1/sagas?state=HAPPY"), "state", 400, "invalid-parameter", NULL);
    check_problem(world_get(&world, "/v1/sagas?limit=0"), "limit", 400, "invalid-parameter", NULL);
    check_problem(world_get(&world, "/v1/sagas?before=x"), "before", 400, "invalid-parameter", NULL);
    check_problem(world_get(&world, "/nothing"), "path", 404, "not-found", NULL);
    check_problem(world_call(&world, "DELETE", "/v1/sagas", NULL, 0, NULL, NULL), "method", 405, "method-not-allowed", NULL);
    ck_assert_int_eq(sagas_n(), 0);
    world_close(&world);
}
END_TEST

START_TEST(a_saga_by_http_from_definition_to_history)
{
    world_open(&world);
    world_start_all(&world);
    struct answer answer = world_get(&world, "/v1/definitions");
    ck_assert_str_eq(text(json_array_get(json_object_get(answer.body, "definitions"), 0), "name"), "order");
    answer_free(&answer);
    answer = world_get(&world, "/v1/definitions/order");
    ck_assert_uint_eq(json_array_size(json_object_get(json_object_get(answer.body, "definition"), "steps")), 3);
    answer_free(&answer);

    char *body = start_body("order", good_input);
    answer = world_post(&world, "/v1/sagas?wait=30s", body);
    ck_assert_int_eq(answer.status, 201);
    ck_assert_str_eq(text(answer.body, "state"), "COMPLETED");
    ck_assert_uint_eq(json_array_size(json_object_get(answer.body, "steps")), 3);
    char path[200];
    snprintf(path, sizeof path, "/v1/sagas/%s", text(answer.body, "id"));
    ck_assert_str_eq(answer.location, path);
    answer_free(&answer);
    answer = world_get(&world, path);
    ck_assert_int_eq(answer.status, 200);
    const json_t *last = json_array_get(json_object_get(answer.body, "steps"), 2);
    ck_assert_str_eq(text(last, "state"), "SUCCEEDED");
    ck_assert(*text(json_object_get(last, "output"), "shipment_id"));
    answer_free(&answer);
    strcat(path, "/history");
    answer = world_get(&world, path);
    const json_t *entries = json_object_get(answer.body, "entries");
    ck_assert_uint_eq(json_array_size(entries), 8);
    ck_assert_str_eq(text(json_array_get(entries, 0), "event"), "saga_started");
    ck_assert_str_eq(text(json_array_get(entries, 7), "event"), "saga_completed");
    answer_free(&answer);

    for (int i = 0; i < 4; i++) {
        answer = world_post(&world, "/v1/sagas?wait=30s", body);
        answer_free(&answer);
    }
    answer = world_get(&world, "/v1/sagas?limit=3&state=COMPLETED");
    ck_assert_uint_eq(json_array_size(json_object_get(answer.body, "sagas")), 3);
    struct answer next = world_get(&world, text(answer.body, "next"));
    ck_assert_uint_eq(json_array_size(json_object_get(next.body, "sagas")), 2);
    ck_assert(json_is_null(json_object_get(next.body, "next")));
    answer_free(&next);
    answer_free(&answer);
    free(body);
    world_close(&world);
}
END_TEST

START_TEST(an_idempotency_key_starts_one_saga)
{
    world_open(&world);
    world_start_all(&world);
    char *body = start_body("order", good_input);
    struct answer first = world_call(&world, "POST", "/v1/sagas", body, strlen(body), NULL, "key-1");
    ck_assert_int_eq(first.status, 201);
    struct answer again = world_call(&world, "POST", "/v1/sagas?wait=30s", body, strlen(body), NULL, "key-1");
    ck_assert_int_eq(again.status, 200);
    ck_assert_str_eq(text(again.body, "id"), text(first.body, "id"));
    ck_assert_str_eq(text(again.body, "state"), "COMPLETED");
    char *other = start_body("order", "{}");
    check_problem(world_call(&world, "POST", "/v1/sagas", other, strlen(other), NULL, "key-1"), "conflict", 409,
                  "idempotency-conflict", "/idempotency_key");
    const char *both = "{\"definition\":\"order\",\"idempotency_key\":\"key-2\"}";
    check_problem(world_call(&world, "POST", "/v1/sagas", both, strlen(both), NULL, "key-1"), "both", 422, "invalid-body",
                  "/idempotency_key");
    ck_assert_int_eq(sagas_n(), 1);
    answer_free(&first);
    answer_free(&again);
    free(body);
    free(other);
    world_close(&world);
}
END_TEST

START_TEST(a_definition_is_verified)
{
    world_open(&world);
    world_start_all(&world);
    struct answer answer = world_post(&world, "/v1/definitions/order/verify", "");
    ck_assert_int_eq(answer.status, 200);
    ck_assert(json_is_true(json_object_get(answer.body, "complete")));
    ck_assert(json_is_null(json_object_get(answer.body, "violation")));
    const json_t *failure = json_array_get(json_object_get(answer.body, "failures"), 2);
    ck_assert_str_eq(text(failure, "step"), "create_shipment");
    const json_t *undone = json_object_get(json_object_get(failure, "failed"), "undone");
    ck_assert_str_eq(json_string_value(json_array_get(json_array_get(undone, 0), 0)), "charge_payment");
    undone = json_object_get(json_object_get(failure, "unknown"), "undone");
    ck_assert_str_eq(json_string_value(json_array_get(json_array_get(undone, 0), 0)), "create_shipment");
    answer_free(&answer);
    answer = world_post(&world, "/v1/definitions",
                        "{\"name\":\"one\",\"steps\":[{\"name\":\"a\",\"service\":\"s\",\"action\":\"do\",\"compensation\":null}]}");
    ck_assert_int_eq(answer.status, 201);
    ck_assert(json_is_true(json_object_get(json_object_get(answer.body, "verification"), "complete")));
    answer_free(&answer);
    check_problem(world_post(&world, "/v1/definitions/nothing/verify", ""), "none", 404, "not-found", NULL);
    check_problem(world_post(&world, "/v1/definitions/order/verify?version=0", ""), "version", 400, "invalid-parameter", NULL);
    world_close(&world);
}
END_TEST

/* A saga whose first step nobody carries out. */
static char *start_waiting(void)
{
    struct answer answer = world_post(&world, "/v1/definitions",
                                      "{\"name\":\"lonely\",\"steps\":[{\"name\":\"a\",\"service\":\"nobody\",\"action\":\"do\","
                                      "\"compensation\":null,\"timeout\":\"1s\",\"on_timeout\":\"compensate\"},"
                                      /* the saga is looked at in time for this one: a change with nothing to tell */
                                      "{\"name\":\"b\",\"service\":\"nobody\",\"action\":\"do\",\"compensation\":null,\"timeout\":\"100ms\"}]}");
    ck_assert_int_eq(answer.status, 201);
    answer_free(&answer);
    answer = world_post(&world, "/v1/sagas", "{\"definition\":\"lonely\"}");
    ck_assert_int_eq(answer.status, 201);
    char *path = mem_strdup(answer.location);
    answer_free(&answer);
    return path;
}

START_TEST(a_saga_is_cancelled_once)
{
    world_open(&world);
    world_start_all(&world);
    char *path = start_waiting(), *cancel = mem_printf("%s/cancel", path), *wait = mem_printf("%s?wait=20s", path),
         *history = mem_printf("%s/history", path);
    struct answer answer = world_get(&world, path);
    ck_assert_str_eq(json_string_value(json_array_get(json_object_get(answer.body, "actions"), 0)), "cancel");
    answer_free(&answer);
    check_problem(world_post(&world, cancel, "{\"reason\":7}"), "reason", 422, "invalid-body", "/reason");
    check_problem(world_post(&world, cancel, "{\"why\":\"x\"}"), "member", 422, "invalid-body", "/why");
    check_problem(world_post(&world, cancel, ""), "no body", 400, "malformed-json", "");
    check_problem(world_post(&world, "/v1/sagas/x/cancel", "{}"), "id", 400, "invalid-id", NULL);
    check_problem(world_post(&world, "/v1/sagas/0197c0de-0000-7000-8000-00000000000a/cancel", "{}"), "none", 404, "not-found",
                  NULL);
    answer = world_post(&world, cancel, "{\"reason\":\"a \\\"test\\\"\"}");
    ck_assert_int_eq(answer.status, 200);
    ck_assert_str_eq(text(answer.body, "state"), "COMPENSATING");
    ck_assert(json_is_true(json_object_get(answer.body, "cancelled")));
    ck_assert_uint_eq(json_array_size(json_object_get(answer.body, "actions")), 1);
    check_problem(world_post(&world, cancel, "{}"), "again", 409, "not-now", NULL);
    int64_t revision = json_integer_value(json_object_get(answer.body, "revision"));
    ck_assert_int_ge(revision, 2);
    answer_free(&answer);
    char *change = mem_printf("%s?wait=20s&after=%lld", path, (long long)revision - 1);
    answer = world_get(&world, change); /* there already; a timer may have looked meanwhile for what can be withdrawn */
    ck_assert_int_ge(json_integer_value(json_object_get(answer.body, "revision")), revision);
    answer_free(&answer);
    free(change);
    change = mem_printf("%s?wait=20s&after=%lld", path, (long long)revision);
    answer = world_get(&world, change);
    ck_assert_int_gt(json_integer_value(json_object_get(answer.body, "revision")), revision);
    answer_free(&answer);
    free(change);
    check_problem(world_get(&world, "/v1/sagas/0197c0de-0000-7000-8000-00000000000a?wait=60s"), "no saga", 404, "not-found", NULL);
    answer = world_get(&world, wait); /* the step's silence ends it */
    ck_assert_str_eq(text(answer.body, "state"), "COMPENSATED");
    answer_free(&answer);
    check_problem(world_post(&world, cancel, "{}"), "ended", 409, "not-now", NULL);
    answer = world_get(&world, history);
    ck_assert_int_gt(json_integer_value(json_object_get(answer.body, "last")), 3);
    const json_t *entry = json_array_get(json_object_get(answer.body, "entries"), 2);
    ck_assert_str_eq(text(entry, "event"), "saga_cancelled");
    ck_assert_str_eq(text(json_object_get(entry, "detail"), "reason"), "a \"test\"");
    answer_free(&answer);
    free(path), free(cancel), free(wait), free(history);
    world_close(&world);
}
END_TEST

/* Checks the lines of one program's log: each is a JSON object, those of the saga carry its trace, none carries its input. */
static int check_log(const char *path, const char *saga_id, const char *trace)
{
    FILE *file = fopen(path, "r");
    char line[16 * 1024];
    int lines = 0;
    ck_assert_ptr_nonnull(file);
    while (fgets(line, sizeof line, file)) {
        struct err err;
        json_t *object = json_read(line, strlen(line), &err);
        ck_assert_msg(json_is_object(object) && *text(object, "time") && *text(object, "event"), "%s: %s", path, line);
        ck_assert_msg(!strstr(line, "alice") && !strstr(line, "Hauptstr"), "%s: %s", path, line);
        if (strstr(line, saga_id)) {
            ck_assert_msg(strcmp(text(object, "trace_id"), trace) == 0, "%s: %s", path, line);
            lines++;
        }
        json_decref(object);
    }
    fclose(file);
    return lines;
}

START_TEST(one_trace_goes_through_the_logs_of_all_processes)
{
    static const char *const roles[] = {"--roles", "api,engine", NULL};
    static const char *const programs[] = {"saga-orchestrator", "saga-relay", "saga-worker-inventory", "saga-worker-payment", "saga-worker-shipping"};
    world_open(&world);
    setenv("SAGA_LOG_LEVEL", "debug", 1);
    world_start_orchestrator(&world, NULL, roles);
    world_start_relay(&world, NULL);
    for (int i = 0; i < SERVICES_N; i++)
        world_start_worker(&world, (enum world_service)i, NULL);
    world_await_ready(&world, 30);
    world_apply_example(&world);
    world.traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    char *body = start_body("order", good_input), *id;
    struct answer answer = world_post(&world, "/v1/sagas?wait=20s", body);
    ck_assert_str_eq(text(answer.body, "state"), "COMPLETED");
    ck_assert_str_eq(text(answer.body, "trace_id"), "4bf92f3577b34da6a3ce929d0e0e4736");
    id = mem_strdup(text(answer.body, "id"));
    answer_free(&answer);
    char *name = mem_strdup(world.name);
    world_close(&world);
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
        char *part = mem_printf("%s-*", programs[i]), *pattern = process_log_path(name, part);
        glob_t found;
        int lines = 0;
        ck_assert_int_eq(glob(pattern, 0, NULL, &found), 0);
        for (size_t k = 0; k < found.gl_pathc; k++)
            lines += check_log(found.gl_pathv[k], id, "4bf92f3577b34da6a3ce929d0e0e4736");
        ck_assert_msg(lines > 0, "%s says nothing of the saga", programs[i]);
        globfree(&found);
        free(part), free(pattern);
    }
    free(body), free(id), free(name);
}
END_TEST

static void run_promtool(const char *metrics)
{
    char *said = process_log_path(world.name, "promtool"), *command = mem_printf(SAGA_PROMTOOL " check metrics >%s 2>&1", said);
    FILE *tool = popen(command, "w");
    ck_assert_ptr_nonnull(tool);
    ck_assert_int_eq(fputs(metrics, tool) >= 0, 1);
    ck_assert_msg(pclose(tool) == 0, "promtool (fetched by ./run test): see %s", said);
    free(command);
    free(said);
}

static void start_and_wait(const char *input, const char *state)
{
    char *body = start_body("order", input);
    struct answer answer = world_post(&world, "/v1/sagas?wait=20s", body);
    ck_assert_str_eq(text(answer.body, "state"), state);
    answer_free(&answer);
    free(body);
}

START_TEST(metrics_count_what_happened_and_promtool_finds_nothing)
{
    static const char *const lines[] = {
        "saga_started_total{definition=\"order\"} 2", "saga_completed_total{definition=\"order\"} 1",
        "saga_compensated_total{definition=\"order\"} 1", "saga_stalled_total{definition=\"order\"} 0",
        "saga_duration_seconds_count{definition=\"order\",state=\"COMPLETED\"} 1",
        "saga_duration_seconds_bucket{definition=\"order\",state=\"COMPENSATED\",le=\"+Inf\"} 1",
        "saga_step_duration_seconds_count{definition=\"order\",step=\"charge_payment\",kind=\"action\"} 2",
        "saga_step_duration_seconds_count{definition=\"order\",step=\"charge_payment\",kind=\"compensation\"} 1",
        "saga_retries_total{definition=\"order\",step=\"charge_payment\",kind=\"action\"} 0",
        "saga_replies_total 8", "saga_dead_letters_total{message=\"reply\"} 0",
        "saga_engine_batch_items_sum{batch=\"starts\"} 2", "saga_engine_batch_items_sum{batch=\"replies\"} 8",
        "saga_relay_published_total 8", "saga_live{state=\"STALLED\"} 0", "saga_healthy{check=\"relay\"} 1",
        "saga_http_requests_total{method=\"POST\",route=\"/v1/sagas\",status=\"201\"} 2",
        "saga_http_requests_total{method=\"GET\",route=\"/v1/sagas/{}\",status=\"404\"} 1",
        "saga_http_requests_total{method=\"\",route=\"\",status=\"404\"} 1"};
    world_open(&world);
    world_start_all(&world);
    start_and_wait(good_input, "COMPLETED");
    start_and_wait("{\"sku\":\"book\",\"qty\":2,\"account\":\"alice\",\"amount\":1999,\"country\":\"XX\",\"address\":\"a\"}",
                   "COMPENSATED");
    check_problem(world_get(&world, "/v1/sagas/0197c0de-0000-7000-8000-00000000000a"), "no saga", 404, "not-found", NULL);
    check_problem(world_get(&world, "/v1/nothing"), "no route", 404, "not-found", NULL);
    struct answer answer = world_get(&world, "/metrics");
    ck_assert_int_eq(answer.status, 200);
    ck_assert_int_eq(strncmp(answer.type, "text/plain; version=0.0.4", 25), 0);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        char *line = mem_printf("\n%s\n", lines[i]);
        ck_assert_msg(strstr(answer.text, line) != NULL, "no %s in %s", lines[i], answer.text);
        free(line);
    }
    run_promtool(answer.text);
    answer_free(&answer);
    world_close(&world);
}
END_TEST

static int64_t number_at(const json_t *body, const char *group, const char *name)
{
    return json_integer_value(json_object_get(json_object_get(body, group), name));
}

/* What processes have counted is there after a moment. */
static struct answer await_overview(int64_t started)
{
    int64_t deadline = clock_mono_ms() + 20000;
    for (;;) {
        struct answer answer = world_get(&world, "/v1/overview");
        ck_assert_int_eq(answer.status, 200);
        if (number_at(answer.body, "last_hour", "started") == started || clock_mono_ms() > deadline)
            return answer;
        answer_free(&answer);
        usleep(50000);
    }
}

static bool needs_attention(const json_t *body, const char *kind)
{
    const json_t *item;
    size_t i;
    json_array_foreach(json_object_get(body, "attention"), i, item) {
        if (strcmp(text(item, "kind"), kind) == 0)
            return true;
    }
    return false;
}

/* An answer is given to all who ask within half a second. */
static struct answer await_attention(const char *kind)
{
    int64_t deadline = clock_mono_ms() + 20000;
    for (;;) {
        struct answer answer = world_get(&world, "/v1/overview");
        if (needs_attention(answer.body, kind))
            return answer;
        ck_assert_msg(clock_mono_ms() < deadline, "no %s in %s", kind, answer.text);
        answer_free(&answer);
        usleep(50000);
    }
}

static void check_services(void)
{
    static const char *const names[] = {"inventory", "nobody", "payment", "shipping"};
    struct answer answer = world_get(&world, "/v1/services");
    const json_t *services = json_object_get(answer.body, "services");
    ck_assert_uint_eq(json_array_size(services), 4);
    for (size_t i = 0; i < 4; i++) {
        const json_t *service = json_array_get(services, i);
        ck_assert_str_eq(text(service, "name"), names[i]);
        ck_assert_int_eq(json_integer_value(json_object_get(service, "workers")), strcmp(names[i], "nobody") == 0 ? 0 : 1);
        ck_assert_uint_eq(json_array_size(json_object_get(service, "definitions")), 1);
    }
    answer_free(&answer);
}

START_TEST(the_overview_tells_what_needs_a_person_what_lives_and_what_happened)
{
    static const char *const no_relay[] = {"--roles", "api,engine", NULL};
    world_open(&world);
    world_start_orchestrator(&world, NULL, no_relay);
    for (int i = 0; i < SERVICES_N; i++)
        world_start_worker(&world, (enum world_service)i, NULL);
    world_start_relay(&world, NULL);
    world_await_ready(&world, 30);
    world_apply_example(&world);
    start_and_wait(good_input, "COMPLETED");
    char *waiting = start_waiting();
    struct answer answer = await_overview(2);
    ck_assert_int_eq(number_at(answer.body, "last_hour", "started"), 2);
    ck_assert_int_eq(number_at(answer.body, "last_hour", "completed"), 1);
    ck_assert_int_gt(number_at(json_object_get(answer.body, "last_hour"), "duration_ms", "p50"), 0);
    ck_assert_uint_eq(json_array_size(json_object_get(answer.body, "minutes")), 60);
    ck_assert_int_eq(number_at(answer.body, "live", "STALLED"), 0);
    ck_assert_int_ge(number_at(answer.body, "outbox", "oldest_ms"), 0);
    const json_t *processes = json_object_get(answer.body, "processes");
    ck_assert_uint_eq(json_array_size(processes), 2);
    ck_assert_str_eq(text(json_array_get(processes, 0), "program"), "saga-orchestrator");
    ck_assert_str_eq(text(json_array_get(processes, 0), "roles"), "api,engine");
    ck_assert_str_eq(text(json_array_get(processes, 1), "program"), "saga-relay");
    ck_assert(json_is_true(json_object_get(json_array_get(processes, 1), "live")));
    ck_assert(!needs_attention(answer.body, "process-gone"));
    answer_free(&answer);
    check_services();
    static const struct pg_statement age = {"age", "UPDATE process SET seen_at = now() - interval '31 s' WHERE program = 'saga-relay'"};
    static const struct pg_statement stall = {"stall", "UPDATE saga SET state = 'STALLED' WHERE definition = 'lonely'"};
    struct err err;
    process_kill(world.relay);
    world.relay = 0;
    ck_assert(pg_call(world.pg, &age, NULL, NULL, &err)); /* half a minute later */
    ck_assert(pg_call(world.pg, &stall, NULL, NULL, &err));
    answer = await_attention("process-gone");
    answer_free(&answer);
    answer = await_attention("sagas-stalled"); /* what was looked up between the two updates may be shown for a while */
    ck_assert(needs_attention(answer.body, "process-gone"));
    ck_assert(needs_attention(answer.body, "sagas-stalled"));
    ck_assert_int_eq(number_at(answer.body, "live", "STALLED"), 1);
    answer_free(&answer);
    free(waiting);
    world_close(&world);
}
END_TEST

START_TEST(it_listens_and_says_so_while_kafka_is_away)
{
    static const char *const nowhere[] = {"--kafka-brokers", "127.0.0.1:1", NULL};
    world_open(&world);
    world_start_orchestrator(&world, NULL, nowhere);
    struct answer answer = world_get(&world, "/healthz");
    ck_assert_int_eq(answer.status, 200);
    answer_free(&answer);
    answer = world_get(&world, "/readyz");
    ck_assert_int_eq(answer.status, 503);
    answer_free(&answer);
    check_problem(world_post(&world, "/v1/sagas", "{\"definition\":\"order\"}"), "start", 503, "unavailable", NULL);
    world_close(&world);
}
END_TEST

static const TTest **const tests[] = {
    &bad_input_gets_a_problem_with_its_place_and_makes_no_saga,
    &a_saga_by_http_from_definition_to_history,
    &an_idempotency_key_starts_one_saga,
    &a_definition_is_verified,
    &a_saga_is_cancelled_once,
    &one_trace_goes_through_the_logs_of_all_processes,
    &metrics_count_what_happened_and_promtool_finds_nothing,
    &the_overview_tells_what_needs_a_person_what_lives_and_what_happened,
    &it_listens_and_says_so_while_kafka_is_away,
    NULL,
};
static const struct suite_case cases[] = {{"api", tests, 120}};
SUITE_MAIN("api", cases)
