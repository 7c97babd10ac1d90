/* lib/pg on a real server: values, batches, errors with their decision, migrations. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "pg/pg.h"
#include "servers.h"
#include "suite.h"

static struct pg *open_pg(const char *schema)
{
    return pg_new(servers_database_url(), schema, "test", PG_HOT);
}

#define OK(call) ck_assert_msg((call), "%s: %s", #call, err.text)

START_TEST(values_round_trip)
{
    static const struct pg_statement one = {
        "one", "SELECT $1::bool, $2::int, $3::bigint, $4::text, $5::json, $6::uuid, $7::timestamptz, $8::text,"
               " pg_current_xact_id(), $9::timestamptz"};
    struct err err;
    struct pg *pg = open_pg("public");
    struct uuid id = uuid_v7();
    struct pg_params params = {0};
    struct pg_rows *rows = NULL;
    pg_param_int(&params, PG_BOOL, 1);
    pg_param_int(&params, PG_INT4, -5);
    pg_param_int(&params, PG_INT8, INT64_MIN);
    pg_param_text(&params, PG_TEXT, "é\"'");
    pg_param_text(&params, PG_JSON, "{\"b\": 1.50, \"a\": 2}");
    pg_param_uuid(&params, &id);
    pg_param_time(&params, 1769853600123);
    pg_param_text(&params, PG_TEXT, NULL);
    pg_param_time(&params, 0);
    OK(pg_call(pg, &one, &params, &rows, &err));
    ck_assert(pg_get_bool(rows, 0, 0));
    ck_assert_int_eq(pg_get_int(rows, 0, 1), -5);
    ck_assert_int_eq(pg_get_int(rows, 0, 2), INT64_MIN);
    ck_assert_str_eq(pg_get_text(rows, 0, 3, NULL), "é\"'");
    ck_assert_str_eq(pg_get_text(rows, 0, 4, NULL), "{\"b\": 1.50, \"a\": 2}");
    struct uuid back = pg_get_uuid(rows, 0, 5);
    ck_assert(uuid_equal(&id, &back));
    ck_assert_int_eq(pg_get_time(rows, 0, 6), 1769853600123);
    ck_assert_ptr_null(pg_get_text(rows, 0, 7, NULL));
    ck_assert_int_gt(pg_get_int(rows, 0, 8), 0);
    ck_assert_int_eq(pg_get_time(rows, 0, 9), 0);
    pg_rows_free(rows);
    pg_params_free(&params);
    pg_free(pg);
}
END_TEST

START_TEST(arrays_round_trip)
{
    static const struct pg_statement many = {
        "many", "SELECT * FROM unnest($1::uuid[], $2::text[], $3::int[], $4::timestamptz[]) AS t(a, b, c, d)"};
    struct err err;
    struct pg *pg = open_pg("public");
    struct pg_params params = {0};
    struct pg_rows *rows = NULL;
    for (int round = 0; round < 3; round++) {
        struct uuid ids[50];
        pg_params_reset(&params);
        struct pg_column *a = pg_param_array(&params, PG_UUID), *b = pg_param_array(&params, PG_TEXT);
        struct pg_column *c = pg_param_array(&params, PG_INT4), *d = pg_param_array(&params, PG_TIME);
        for (int i = 0; i < 50; i++) {
            ids[i] = uuid_v7();
            pg_add_uuid(a, &ids[i]);
            pg_add_text(b, i % 3 ? "text" : NULL);
            pg_add_int(c, i);
            pg_add_time(d, i ? 1000 * i : 0);
        }
        OK(pg_call(pg, &many, &params, &rows, &err));
        ck_assert_uint_eq(pg_rows_count(rows), 50);
        for (size_t i = 0; i < 50; i++) {
            struct uuid id = pg_get_uuid(rows, i, 0);
            ck_assert(uuid_equal(&id, &ids[i]));
            ck_assert_int_eq(pg_is_null(rows, i, 1), i % 3 == 0);
            ck_assert_int_eq(pg_get_int(rows, i, 2), (int64_t)i);
            ck_assert_int_eq(pg_get_time(rows, i, 3), (int64_t)i * 1000);
        }
        pg_rows_free(rows);
    }
    pg_params_reset(&params);
    for (int type = PG_UUID, i = 0; i < 4; i++)
        pg_param_array(&params, i == 0 ? (enum pg_type)type : i == 1 ? PG_TEXT : i == 2 ? PG_INT4 : PG_TIME);
    OK(pg_call(pg, &many, &params, &rows, &err)); /* no elements at all */
    ck_assert_uint_eq(pg_rows_count(rows), 0);
    pg_rows_free(rows);
    pg_params_free(&params);
    pg_free(pg);
}
END_TEST

START_TEST(big_batches_do_not_stall)
{
    static const struct pg_statement echo = {"echo", "SELECT $1::text"};
    struct err err;
    struct pg *pg = open_pg("public");
    size_t size = 8 * 1024 * 1024;
    char *text = mem_alloc(size + 1);
    memset(text, 'x', size);
    struct pg_params params = {0};
    pg_param_text(&params, PG_TEXT, text);
    struct pg_call calls[8];
    for (int i = 0; i < 8; i++)
        calls[i] = (struct pg_call){&echo, &params, NULL};
    OK(pg_run(pg, calls, 8, &err));
    for (int i = 0; i < 8; i++) {
        size_t len;
        pg_get_text(calls[i].rows, 0, 0, &len);
        ck_assert_uint_eq(len, size);
        pg_rows_free(calls[i].rows);
    }
    pg_params_free(&params);
    free(text);
    pg_free(pg);
}
END_TEST

START_TEST(errors_carry_the_decision_and_leave_the_connection_usable)
{
    static const struct pg_statement divide = {"divide", "SELECT 1 / $1::int"};
    static const struct pg_statement fine = {"fine", "SELECT 7"};
    static const struct pg_statement wrong = {"wrong", "SELECT FROM nothing WHERE"};
    static const struct pg_statement die = {"die", "SELECT pg_terminate_backend(pg_backend_pid())"};
    struct err err;
    struct pg *pg = open_pg("public");
    struct pg_params zero = {0};
    struct pg_rows *rows = NULL;
    pg_param_int(&zero, PG_INT4, 0);
    struct pg_call calls[] = {{&PG_BEGIN, NULL, NULL}, {&divide, &zero, NULL}, {&fine, NULL, NULL}, {&PG_COMMIT, NULL, NULL}};
    for (int round = 0; round < 2; round++) {
        ck_assert(!pg_run(pg, calls, 4, &err));
        ck_assert_int_eq(err.kind, ERR_REFUSED);
        ck_assert_str_eq(err.code, "22012");
        ck_assert(!err.in_doubt);
        ck_assert_ptr_null(calls[2].rows);
    }
    ck_assert(!pg_call(pg, &wrong, NULL, NULL, &err));
    ck_assert_str_eq(err.code, "42601");
    OK(pg_call(pg, &fine, NULL, &rows, &err));
    ck_assert_int_eq(pg_get_int(rows, 0, 0), 7);
    pg_rows_free(rows);
    ck_assert(!pg_call(pg, &die, NULL, NULL, &err));
    ck_assert_int_eq(err.kind, ERR_RETRY);
    OK(pg_call(pg, &fine, NULL, NULL, &err)); /* on a new connection */
    struct pg_call lost[] = {{&PG_BEGIN, NULL, NULL}, {&die, NULL, NULL}, {&PG_COMMIT, NULL, NULL}};
    ck_assert(!pg_run(pg, lost, 3, &err));
    ck_assert_int_eq(err.kind, ERR_RETRY);
    pg_params_free(&zero);
    pg_free(pg);
}
END_TEST

START_TEST(a_server_that_is_away_is_passing_and_a_refusal_is_not)
{
    struct err err;
    struct pg *away = pg_new("postgresql://saga@127.0.0.1:1/saga", "public", "test", PG_HOT);
    ck_assert(!pg_connect(away, &err));
    ck_assert_int_eq(err.kind, ERR_RETRY);
    pg_free(away);
    char *url = mem_strdup(servers_database_url());
    memcpy(strrchr(url, '/'), "/nono", 5);
    struct pg *missing = pg_new(url, "public", "test", PG_HOT);
    ck_assert(!pg_connect(missing, &err));
    ck_assert_int_eq(err.kind, ERR_FATAL);
    pg_free(missing);
    free(url);
}
END_TEST

static const struct pg_migration migrations[] = {
    {1, "first", "CREATE TABLE thing (id int PRIMARY KEY); INSERT INTO thing VALUES (1)"},
    {2, "second", "ALTER TABLE thing ADD name text; INSERT INTO thing VALUES (2, 'b')"},
    {0, NULL, NULL},
};

struct migrator {
    const char *schema;
    int applied;
    bool ok;
};

static void *run_migrator(void *argument)
{
    struct migrator *m = argument;
    struct err err;
    struct pg *pg = open_pg(m->schema);
    m->ok = pg_migrate(pg, migrations, &m->applied, &err);
    pg_free(pg);
    return NULL;
}

START_TEST(migrations_run_once_even_from_several_sides)
{
    static const struct pg_statement count = {"count", "SELECT count(*) FROM thing"};
    struct err err;
    char *schema = servers_unique_name();
    struct migrator all[4];
    pthread_t threads[4];
    servers_database_url();
    for (int i = 0; i < 4; i++) {
        all[i] = (struct migrator){.schema = schema};
        pthread_create(&threads[i], NULL, run_migrator, &all[i]);
    }
    int applied = 0;
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        ck_assert(all[i].ok);
        applied += all[i].applied;
    }
    ck_assert_int_eq(applied, 2);
    struct pg *pg = open_pg(schema);
    struct pg_rows *rows = NULL;
    OK(pg_call(pg, &count, NULL, &rows, &err));
    ck_assert_int_eq(pg_get_int(rows, 0, 0), 2);
    pg_rows_free(rows);
    const struct pg_migration older[] = {migrations[0], {0, NULL, NULL}};
    ck_assert(!pg_migrate(pg, older, &applied, &err));
    ck_assert_int_eq(err.kind, ERR_FATAL);
    pg_free(pg);
    free(schema);
}
END_TEST

static const TTest **const tests[] = {
    &values_round_trip,
    &arrays_round_trip,
    &big_batches_do_not_stall,
    &errors_carry_the_decision_and_leave_the_connection_usable,
    &a_server_that_is_away_is_passing_and_a_refusal_is_not,
    &migrations_run_once_even_from_several_sides,
    NULL,
};
static const struct suite_case cases[] = {{"pg", tests, 60}};
SUITE_MAIN("pg", cases)
