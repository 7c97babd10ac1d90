#include "base/clock.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define DURATION_MAX_MS (3650LL * 24 * 3600 * 1000)

static int64_t read_us(clockid_t id)
{
    struct timespec now;
    clock_gettime(id, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

int64_t clock_real_ms(void)
{
    return read_us(CLOCK_REALTIME) / 1000;
}

int64_t clock_mono_ms(void)
{
    return read_us(CLOCK_MONOTONIC) / 1000;
}

int64_t clock_mono_us(void)
{
    return read_us(CLOCK_MONOTONIC);
}

static char *put_digits(char *out, int number, int digits, char after)
{
    for (int i = digits - 1; i >= 0; i--, number /= 10)
        out[i] = (char)('0' + number % 10);
    out[digits] = after;
    return out + digits + 1;
}

/* By hand, since every message and every entry of history has one. */
char *clock_format(int64_t real_ms, char out[CLOCK_TEXT_MAX])
{
    int64_t ms = ((real_ms % 1000) + 1000) % 1000;
    time_t seconds = (time_t)((real_ms - ms) / 1000);
    struct tm tm;
    if (!gmtime_r(&seconds, &tm) || tm.tm_year + 1900 > 9999 || tm.tm_year + 1900 < 0)
        memset(&tm, 0, sizeof tm);
    char *at = put_digits(out, tm.tm_year + 1900, 4, '-');
    at = put_digits(at, tm.tm_mon + 1, 2, '-');
    at = put_digits(at, tm.tm_mday, 2, 'T');
    at = put_digits(at, tm.tm_hour, 2, ':');
    at = put_digits(at, tm.tm_min, 2, ':');
    at = put_digits(at, tm.tm_sec, 2, '.');
    *put_digits(at, (int)ms, 3, 'Z') = '\0';
    return out;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The digits of a pattern such as "0000-00-00T00:00:00" stand where they must. */
static bool has_shape(const char *text, const char *shape)
{
    for (size_t i = 0; shape[i]; i++) {
        if (shape[i] == '0' ? !is_digit(text[i]) : text[i] != shape[i])
            return false;
    }
    return true;
}

bool clock_parse(const char *text, int64_t *real_ms)
{
    if (!has_shape(text, "0000-00-00T00:00:00"))
        return false;
    struct tm tm = {0};
    if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min,
               &tm.tm_sec) != 6)
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    struct tm wanted = tm;
    time_t seconds = timegm(&tm);
    if (tm.tm_mday != wanted.tm_mday || tm.tm_hour != wanted.tm_hour || tm.tm_min != wanted.tm_min)
        return false; /* timegm moved a date that does not exist */
    const char *rest = text + 19;
    int64_t ms = 0;
    if (*rest == '.') {
        int64_t weight = 100;
        rest++;
        if (!is_digit(*rest))
            return false;
        for (; is_digit(*rest); rest++, weight /= 10)
            ms += (*rest - '0') * weight;
    }
    if (strcmp(rest, "Z") != 0)
        return false;
    *real_ms = (int64_t)seconds * 1000 + ms;
    return true;
}

static int64_t unit_ms(const char *unit)
{
    static const struct {
        const char *name;
        int64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(unit, units[i].name) == 0)
            return units[i].ms;
    }
    return 0;
}

bool duration_parse(const char *text, int64_t *ms)
{
    int64_t number = 0;
    size_t digits = 0;
    for (; is_digit(text[digits]); digits++) {
        if (digits >= 12)
            return false;
        number = number * 10 + (text[digits] - '0');
    }
    int64_t unit = unit_ms(text + digits);
    if (digits == 0 || unit == 0 || number > DURATION_MAX_MS / unit)
        return false;
    *ms = number * unit;
    return true;
}
