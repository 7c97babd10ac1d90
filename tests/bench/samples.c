#include "samples.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void samples_add(struct samples *samples, int64_t us)
{
    if (samples->n == samples->cap) {
        samples->cap = samples->cap ? samples->cap * 2 : 1024;
        samples->us = mem_grow(samples->us, samples->cap, sizeof *samples->us);
    }
    samples->us[samples->n++] = us;
}

static int by_value(const void *a, const void *b)
{
    const int64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

double samples_ms(struct samples *samples, double q)
{
    if (!samples->n)
        return 0;
    qsort(samples->us, samples->n, sizeof *samples->us, by_value);
    size_t at = (size_t)(q * (double)samples->n);
    return (double)samples->us[at < samples->n ? at : samples->n - 1] / 1000;
}

void samples_free(struct samples *samples)
{
    free(samples->us);
    *samples = (struct samples){0};
}
