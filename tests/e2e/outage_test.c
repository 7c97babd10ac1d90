/* PostgreSQL and Kafka go away in the middle and come back: starts are refused meanwhile, running sagas wait, everything
 * goes on by itself. This test has servers of its own, since it stops them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "books.h"
#include "suite.h"

enum { SAGAS = 60 };

static struct world world;
static int started;

static void servers(const char *command)
{
    char *line = mem_printf("%s/servers.sh %s %s %s >/dev/null 2>&1", SAGA_SCRIPTS, command, getenv("SAGA_TEST_SERVERS_DIR"),
                            strcmp(command, "up") == 0 ? "0 0" : "");
    ck_assert_msg(system(line) == 0, "%s", line);
    free(line);
}

static int start_saga(void)
{
    char body[400];
    bool fails = started % 3 == 0;
    snprintf(body, sizeof body,
             "{\"definition\":\"order\",\"idempotency_key\":\"key-%d\",\"input\":{\"sku\":\"book\",\"qty\":1,\"account\":\"%s\","
             "\"amount\":100,\"country\":\"%s\",\"address\":\"Hauptstr. 1\"}}",
             started, started % 4 == 1 ? "slow-bank" : "alice", fails ? "XX" : "DE");
    struct answer answer = world_post(&world, "/v1/sagas", body);
    int status = answer.status;
    answer_free(&answer);
    return status;
}

/* Starts sagas until `n` are accepted; every other answer must be 503. */
static void start_sagas(int n, int within_s)
{
    int64_t deadline = clock_mono_ms() + within_s * 1000;
    while (started < n && clock_mono_ms() < deadline) {
        int status = start_saga();
        ck_assert_msg(status == 201 || status == 200 || status == 503, "status %d", status);
        if (status == 503)
            usleep(100000);
        else
            started++;
    }
    ck_assert_int_eq(started, n);
}

static void await_status(const char *path, int status, int within_s)
{
    int64_t deadline = clock_mono_ms() + within_s * 1000;
    int seen = 0;
    while (seen != status && clock_mono_ms() < deadline) {
        struct answer answer = world_get(&world, path);
        seen = answer.status;
        answer_free(&answer);
        if (seen != status)
            usleep(100000);
    }
    ck_assert_int_eq(seen, status);
}

static void check_all_ended(void)
{
    static const struct pg_statement all = {"all", "SELECT count(*) FROM saga"};
    books_await_rest(&world, 120);
    ck_assert_int_eq(query_number(world.pg, &all), started);
    books_check(&world);
}

START_TEST(postgresql_goes_away_and_comes_back)
{
    world_open(&world);
    world_start_all(&world);
    start_sagas(SAGAS / 2, 30);
    servers("crash-postgres");
    ck_assert_int_eq(start_saga(), 503);
    await_status("/readyz", 503, 20);
    servers("up");
    start_sagas(SAGAS, 60);
    await_status("/readyz", 200, 60);
    check_all_ended();
    world_close(&world);
}
END_TEST

START_TEST(kafka_goes_away_and_comes_back)
{
    world_open(&world);
    world_start_all(&world);
    start_sagas(SAGAS / 2, 30);
    servers("crash-kafka");
    int status = 0;
    int64_t deadline = clock_mono_ms() + 60000;
    while (status != 503 && clock_mono_ms() < deadline) { /* what is accepted until it is noticed waits in the outbox */
        status = start_saga();
        started += status == 201;
        usleep(100000);
    }
    ck_assert_int_eq(status, 503);
    await_status("/readyz", 503, 20);
    servers("up");
    await_status("/readyz", 200, 90);
    start_sagas(started + SAGAS / 2, 60);
    check_all_ended();
    world_close(&world);
}
END_TEST

static const TTest **const tests[] = {
    &postgresql_goes_away_and_comes_back,
    &kafka_goes_away_and_comes_back,
    NULL,
};
static const struct suite_case cases[] = {{"outage", tests, 300}};
SUITE_MAIN("outage", cases)
