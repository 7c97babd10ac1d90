/* ./run bench --smoke: every phase runs, its checks hold, and its last line is the whole result. Never its times. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "suite.h"

#define LINE_MAX_LEN 65536

/* Runs the command; returns the last line of its standard output, which the caller frees. */
static char *last_line(const char *command)
{
    static char line[LINE_MAX_LEN];
    char *last = NULL;
    FILE *pipe = popen(command, "re");
    ck_assert_ptr_nonnull(pipe);
    while (fgets(line, sizeof line, pipe)) {
        free(last);
        last = mem_strdup(line);
    }
    ck_assert_int_eq(pclose(pipe), 0);
    ck_assert_ptr_nonnull(last);
    return last;
}

static void check_numbers(const json_t *object, const char *const *names)
{
    for (; *names; names++) {
        const json_t *value = json_object_get(object, *names);
        ck_assert_msg(json_is_number(value), "%s is missing", *names);
        ck_assert_msg(json_number_value(value) > 0, "%s is not above 0", *names);
    }
}

START_TEST(the_short_benchmark_counts_and_checks_everything)
{
    static const char *const numbers[] = {
        "sagas_per_s", "flood_completed_per_s", "compensated_per_s", "start_p50_ms", "start_p99_ms", "e2e_p50_ms",
        "e2e_p99_ms", "half_rate_e2e_p50_ms", "half_rate_e2e_p99_ms", "wal_bytes_per_saga", "sql_statements_per_saga",
        "commits_per_saga", "limit_per_s", "ratio_to_limit", "limit_e2e_p50_ms", "lone_ratio", NULL};
    static const char *const processes[] = {"saga-orchestrator", "bench-worker", "kafka", "postgresql", NULL};
    struct err err;
    char *line = last_line("cd '" SAGA_SOURCE_DIR "' && SAGA_PRESET='" SAGA_PRESET "' SAGA_BENCH_DIR='" SAGA_BENCH_DIR
                           "' ./run bench --smoke");
    json_t *result = json_read(line, strlen(line), &err);
    ck_assert_msg(result != NULL, "%s: %s", err.text, line);
    check_numbers(result, numbers);
    check_numbers(json_object_get(result, "cpu_s_per_1000"), processes);
    check_numbers(json_object_get(result, "rss_mb"), processes);
    ck_assert_uint_gt(json_object_size(json_object_get(result, "statement_ms_per_1000")), 5);
    ck_assert(json_number_value(json_object_get(result, "kafka_msgs_per_saga")) >= 6); /* sent twice is not a fault */
    ck_assert_int_eq(json_integer_value(json_object_get(result, "seq_scans")), 0);    /* no plan of a hot statement slips */
    json_decref(result);
    free(line);
}
END_TEST

static const TTest **const tests[] = {&the_short_benchmark_counts_and_checks_everything, NULL};
static const struct suite_case cases[] = {{"bench", tests, 300}};
SUITE_MAIN("bench", cases)
