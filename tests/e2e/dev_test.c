/* saga-orchestrator dev: a saga runs with no servers at hand, and everything it started ends with it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "process.h"
#include "servers.h"
#include "suite.h"
#include "world.h"

static const char *const body =
    "{\"definition\":\"order\",\"input\":{\"sku\":\"book\",\"qty\":1,\"account\":\"slow-bank\",\"amount\":100,\"country\":\"DE\","
    "\"address\":\"Hauptstr. 1\"}}";

/* The server removes this file when it ends in order. */
static bool cluster_runs(const char *data)
{
    char *path = mem_printf("%s/postgres/postmaster.pid", data);
    bool there = access(path, F_OK) == 0;
    free(path);
    return there;
}

START_TEST(a_saga_runs_without_servers)
{
    struct world world = {.name = servers_unique_name()};
    char *data = mem_printf("%s/dev-%s", SAGA_TEST_DIR, world.name);
    for (int run = 0; run < 2; run++) { /* the second time the cluster is there already */
        world_start_dev(&world, data);
        world_apply_example(&world);
        struct answer answer = world_post(&world, "/v1/sagas?wait=60s", body);
        ck_assert_int_eq(answer.status, 201);
        ck_assert_str_eq(json_string_value(json_object_get(answer.body, "state")), "COMPLETED");
        answer_free(&answer);
        ck_assert(cluster_runs(data));
        ck_assert_int_eq(process_stop(world.orchestrator, 30), 0);
        ck_assert(!cluster_runs(data));
    }
    free(world.name);
    free(world.url);
    free(data);
}
END_TEST

static const TTest **const tests[] = {&a_saga_runs_without_servers, NULL};
static const struct suite_case cases[] = {{"dev", tests, 180}};
SUITE_MAIN("dev", cases)
