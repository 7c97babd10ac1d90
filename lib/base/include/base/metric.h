/* Histograms, and metrics in the text form that Prometheus reads (exposition format 0.0.4). Nothing here locks: who shares
 * a histogram between threads guards it. */
#ifndef BASE_METRIC_H
#define BASE_METRIC_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define HISTOGRAM_BOUNDS_MAX 64

/* Upper bounds (inclusive) of the buckets, ascending, in whole units of which `per_unit` make one of the unit that is shown. */
struct histogram_shape {
    const int64_t *bounds;
    size_t bounds_n;
    double per_unit;
};
/* Observed in milliseconds, shown in seconds: from 5 ms to an hour. */
extern const struct histogram_shape histogram_durations;
/* Observed in microseconds, shown in seconds: from 0.25 ms to 10 s. */
extern const struct histogram_shape histogram_short_durations;
/* The same, each bound 1.4 times the one before: from 1 ms to 6 days. Kept in databases: a change needs a migration. */
extern const struct histogram_shape histogram_fine;
/* Observed and shown as numbers: from 1 to 1,000. */
extern const struct histogram_shape histogram_sizes;

struct histogram {
    const struct histogram_shape *shape;
    uint64_t counts[HISTOGRAM_BOUNDS_MAX + 1]; /* each value in one; the last is above all bounds */
    int64_t sum;
};
/* A negative value counts as 0, since a sum must not fall. */
void histogram_observe(struct histogram *histogram, int64_t value);
/* The value below which the share `q` (0 to 1) of all values lies, as nearly as the buckets tell, in units of the bounds; -1
 * when there are no values. */
double histogram_quantile(const struct histogram *histogram, double q);

struct metric_label {
    const char *name; /* ends a list by NULL */
    const char *value;
};
/* metric_value(out, "saga_ended_total", METRIC_LABELS({"state", "COMPLETED"}), n) */
#define METRIC_LABELS(...) ((const struct metric_label[]){__VA_ARGS__, {NULL, NULL}})

/* Begins a family: its samples follow, all of them, before the next one begins. `type` is counter, gauge or histogram. */
void metric_family(struct buf *out, const char *name, const char *type, const char *help);
/* `labels` NULL: none. */
void metric_value(struct buf *out, const char *name, const struct metric_label *labels, double value);
void metric_histogram(struct buf *out, const char *name, const struct metric_label *labels, const struct histogram *histogram);
/* The standard family of process_* metrics. */
void metric_process(struct buf *out);

#endif
