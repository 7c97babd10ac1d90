/* Proof: 500 sagas, 200 of them made to fail, while orchestrator, relay and workers are killed (kill -9) at random moments
 * and come back. None is lost, none takes effect twice, whatever is undone is undone in reverse. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "books.h"
#include "process.h"
#include "suite.h"

enum { SAGAS = 500, FAILING = 200, KILLS_MIN = 30, PARTS = 5 };

static struct world world;
static unsigned seed;

static int dice(int n)
{
    return (int)((unsigned)rand_r(&seed) % (unsigned)n);
}

static void kill_one(void)
{
    int part = dice(PARTS);
    if (part == 0) {
        process_kill(world.orchestrator);
        world_start_orchestrator(&world, NULL, NULL);
    } else if (part == 1) {
        process_kill(world.relay);
        world_start_relay(&world, NULL);
    } else {
        enum world_service service = (enum world_service)(part - 2);
        process_kill(world.workers[service]);
        world_start_worker(&world, service, NULL);
    }
}

/* Two of five fail, at each of the steps in turn; some of the others need several attempts. */
static void write_body(int i, char *out, size_t size)
{
    bool fails = i % 5 < 2;
    int where = i / 5 % 3;
    snprintf(out, size,
             "{\"definition\":\"order\",\"idempotency_key\":\"key-%d\",\"input\":{\"sku\":\"%s\",\"qty\":1,\"account\":\"%s\","
             "\"amount\":100,\"country\":\"%s\",\"address\":\"Hauptstr. %d\"}}",
             i, fails && where == 0 ? "unicorn" : "book",
             fails && where == 1 ? "mallory" : i % 11 == 4 ? "slow-bank" : "alice", fails && where == 2 ? "XX" : "DE", i);
}

/* As a client would: the same key again until there is an answer. */
static void start_saga(int i)
{
    char body[400];
    write_body(i, body, sizeof body);
    int64_t deadline = clock_mono_ms() + 60000;
    for (int status = 0; status != 200 && status != 201;) {
        ck_assert_msg(clock_mono_ms() < deadline, "saga %d was not accepted (%d)", i, status);
        struct answer answer = world_post(&world, "/v1/sagas", body);
        status = answer.status;
        answer_free(&answer);
        ck_assert_msg(status == 0 || status == 200 || status == 201 || status == 503, "saga %d: status %d", i, status);
        if (status == 0 || status == 503)
            usleep(20000);
    }
}

static int64_t in_state(const struct pg_statement *statement)
{
    return query_number(world.pg, statement);
}

START_TEST(killed_at_any_moment_nothing_is_lost_and_nothing_happens_twice)
{
    static const struct pg_statement all = {"all", "SELECT count(*) FROM saga"};
    static const struct pg_statement completed = {"completed", "SELECT count(*) FROM saga WHERE state = 'COMPLETED'"};
    static const struct pg_statement compensated = {"compensated", "SELECT count(*) FROM saga WHERE state = 'COMPENSATED'"};
    const char *given = getenv("SAGA_TEST_SEED");
    seed = given ? (unsigned)strtoul(given, NULL, 10) : (unsigned)clock_real_ms();
    printf("kill test: SAGA_TEST_SEED=%u\n", seed);
    world_open(&world);
    world_start_all(&world);
    world_start_relay(&world, NULL);
    int kills = 0;
    for (int i = 0; i < SAGAS; i++) {
        start_saga(i);
        if (dice(25) == 0) {
            usleep((useconds_t)dice(30000));
            kill_one();
            kills++;
        }
    }
    while (kills++ < KILLS_MIN) {
        usleep((useconds_t)dice(300000));
        kill_one();
    }
    books_await_rest(&world, 120);
    ck_assert_int_eq(in_state(&all), SAGAS);
    ck_assert_int_eq(in_state(&compensated), FAILING);
    ck_assert_int_eq(in_state(&completed), SAGAS - FAILING);
    books_check(&world);
    world_close(&world);
}
END_TEST

static const TTest **const tests[] = {
    &killed_at_any_moment_nothing_is_lost_and_nothing_happens_twice,
    NULL,
};
static const struct suite_case cases[] = {{"kill", tests, 300}};
SUITE_MAIN("kill", cases)
