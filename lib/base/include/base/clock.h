/* The clocks, durations and timestamps. Any thread. */
#ifndef BASE_CLOCK_H
#define BASE_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Milliseconds since 1970, for what is stored or shown. */
int64_t clock_real_ms(void);
/* Milliseconds and microseconds of a clock that never jumps, for deadlines inside a process. */
int64_t clock_mono_ms(void);
int64_t clock_mono_us(void);

#define CLOCK_TEXT_MAX 32
/* RFC 3339 in UTC with milliseconds, "2026-01-31T10:00:00.123Z", into `out`; returns `out`. */
char *clock_format(int64_t real_ms, char out[CLOCK_TEXT_MAX]);
/* Reads what clock_format writes (any number of fraction digits, Z only). */
bool clock_parse(const char *text, int64_t *real_ms);

/* "250ms", "5s", "10m", "2h", "7d", one unit, whole numbers: the form durations have in definitions and options.
 * False when it is something else or longer than 10 years. */
bool duration_parse(const char *text, int64_t *ms);

#endif
