/* lib/base/metric: histograms and their text. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/metric.h"
#include "suite.h"

START_TEST(a_value_is_counted_in_all_buckets_from_its_own_up)
{
    struct histogram histogram = {.shape = &histogram_durations};
    const int64_t values[] = {0, 5, 6, 1000, 3600000, 3600001};
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        histogram_observe(&histogram, values[i]);
    struct buf out = buf_new(8192);
    metric_family(&out, "x_seconds", "histogram", "How long");
    metric_histogram(&out, "x_seconds", METRIC_LABELS({"step", "a"}), &histogram);
    static const char *const lines[] = {
        "# HELP x_seconds How long\n# TYPE x_seconds histogram\nx_seconds_bucket{step=\"a\",le=\"0.005\"} 2\n",
        "x_seconds_bucket{step=\"a\",le=\"0.01\"} 3\n", "x_seconds_bucket{step=\"a\",le=\"1\"} 4\n",
        "x_seconds_bucket{step=\"a\",le=\"3600\"} 5\n", "x_seconds_bucket{step=\"a\",le=\"+Inf\"} 6\n",
        "x_seconds_sum{step=\"a\"} 7201.012\n", "x_seconds_count{step=\"a\"} 6\n"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        ck_assert_msg(strstr(buf_text(&out), lines[i]) != NULL, "no %s in %s", lines[i], buf_text(&out));
    buf_free(&out);
}
END_TEST

START_TEST(quantiles_are_as_near_as_the_buckets)
{
    struct histogram histogram = {.shape = &histogram_fine};
    ck_assert_double_eq(histogram_quantile(&histogram, 0.5), -1);
    for (size_t i = 1; i < histogram_fine.bounds_n; i++) {
        ck_assert_int_gt(histogram_fine.bounds[i], histogram_fine.bounds[i - 1]);
        ck_assert(i < 12 || (double)histogram_fine.bounds[i] < 1.43 * (double)histogram_fine.bounds[i - 1]);
    }
    ck_assert_uint_le(histogram_fine.bounds_n, HISTOGRAM_BOUNDS_MAX);
    for (int64_t ms = 1; ms <= 1000; ms++)
        histogram_observe(&histogram, ms);
    ck_assert_double_eq_tol(histogram_quantile(&histogram, 0.5), 500, 5);
    ck_assert_double_eq_tol(histogram_quantile(&histogram, 0.99), 990, 40);
    ck_assert_double_eq_tol(histogram_quantile(&histogram, 0.001), 1, 0.01);
    histogram_observe(&histogram, INT64_MAX / 2);
    ck_assert_double_eq(histogram_quantile(&histogram, 1), (double)histogram_fine.bounds[histogram_fine.bounds_n - 1]);
}
END_TEST

START_TEST(values_and_labels_are_written_exactly)
{
    struct buf out = buf_new(8192);
    metric_value(&out, "a_total", NULL, 9007199254740991.0 / 16);
    metric_value(&out, "b", METRIC_LABELS({"q", "say \"x\\y\"\n"}, {"r", "2"}), 0.25);
    ck_assert_str_eq(buf_text(&out), "a_total 562949953421312\nb{q=\"say \\\"x\\\\y\\\"\\n\",r=\"2\"} 0.25\n");
    buf_free(&out);
}
END_TEST

static double value_of(const struct buf *text, const char *name)
{
    char line[100];
    snprintf(line, sizeof line, "\n%s ", name);
    const char *at = strstr(buf_text(text), line);
    ck_assert_msg(at != NULL, "no %s in %s", name, buf_text(text));
    return atof(at + strlen(line));
}

START_TEST(the_process_tells_of_itself)
{
    struct buf out = buf_new(8192);
    metric_process(&out);
    double now_s = (double)clock_real_ms() / 1e3, start_s = value_of(&out, "process_start_time_seconds");
    ck_assert_double_lt(start_s, now_s + 0.02); /* counted in hundredths */
    ck_assert_double_gt(start_s, now_s - 60);
    ck_assert_double_ge(value_of(&out, "process_open_fds"), 3);
    ck_assert_double_gt(value_of(&out, "process_max_fds"), 3);
    ck_assert_double_gt(value_of(&out, "process_resident_memory_bytes"), 100000);
    ck_assert_double_gt(value_of(&out, "process_virtual_memory_bytes"), value_of(&out, "process_resident_memory_bytes"));
    ck_assert_double_ge(value_of(&out, "process_cpu_seconds_total"), 0);
    buf_free(&out);
}
END_TEST

static const TTest **const tests[] = {
    &a_value_is_counted_in_all_buckets_from_its_own_up,
    &quantiles_are_as_near_as_the_buckets,
    &values_and_labels_are_written_exactly,
    &the_process_tells_of_itself,
    NULL,
};
static const struct suite_case cases[] = {{"metric", tests, 0}};
SUITE_MAIN("metric", cases)
