/* Durations that were measured, for their percentiles. One thread at a time. */
#ifndef BENCH_SAMPLES_H
#define BENCH_SAMPLES_H

#include <stddef.h>
#include <stdint.h>

struct samples {
    int64_t *us;
    size_t n, cap;
};

void samples_add(struct samples *samples, int64_t us);
/* In milliseconds: the value below which the fraction `q` of them lies; 0 without samples. Sorts them. */
double samples_ms(struct samples *samples, double q);
void samples_free(struct samples *samples);

#endif
