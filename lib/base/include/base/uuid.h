/* UUIDs; new ones are version 7 (RFC 9562 section 5.7): they sort by their time of making. Any thread. */
#ifndef BASE_UUID_H
#define BASE_UUID_H

#include <stdbool.h>
#include <stdint.h>

#define UUID_TEXT_MAX 37

struct uuid {
    uint8_t bytes[16];
};

/* Strictly increasing within a process. */
struct uuid uuid_v7(void);
/* The milliseconds since 1970 in a version 7 UUID. */
int64_t uuid_v7_ms(const struct uuid *id);
/* The least version 7 UUID of that millisecond: a bound for ids by time. */
struct uuid uuid_v7_first(int64_t ms);
/* Accepts only the canonical form of 36 characters, in either case. */
bool uuid_parse(const char *text, struct uuid *id);
/* Lower case; returns `out`. */
char *uuid_format(const struct uuid *id, char out[UUID_TEXT_MAX]);
int uuid_compare(const struct uuid *a, const struct uuid *b);
bool uuid_equal(const struct uuid *a, const struct uuid *b);
/* For tables in memory: the last bytes, which are random in a UUID of ours. */
uint32_t uuid_hash(const struct uuid *id);

#endif
