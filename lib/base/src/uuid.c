#include "base/uuid.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"

static void put_ms(struct uuid *id, int64_t ms)
{
    for (int i = 0; i < 6; i++)
        id->bytes[i] = (uint8_t)((uint64_t)ms >> (40 - 8 * i));
}

static void random_fill(void *out, size_t len)
{
    if (getrandom(out, len, 0) != (ssize_t)len)
        abort(); /* cannot fail for so few bytes once the machine is up */
}

/* Random numbers come from the kernel a page at a time: a system call for each id would show under load. */
static void random_take(uint8_t *out, size_t len)
{
    static uint8_t pool[256]; /* getrandom() never returns less for up to 256 bytes */
    static size_t left;
    if (left < len) {
        random_fill(pool, sizeof pool);
        left = sizeof pool;
    }
    left -= len;
    memcpy(out, pool + left, len);
}

/* The 12 bits of rand_a count within a millisecond (RFC 9562 section 6.2, method 1). */
struct uuid uuid_v7(void)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static int64_t last_ms;
    static unsigned counter;
    struct uuid id;
    pthread_mutex_lock(&lock);
    int64_t now = clock_real_ms();
    if (now > last_ms) {
        last_ms = now;
        counter = 0;
    } else if (++counter > 0xfff) {
        last_ms++;
        counter = 0;
    }
    put_ms(&id, last_ms);
    id.bytes[6] = (uint8_t)(0x70 | (counter >> 8));
    id.bytes[7] = (uint8_t)counter;
    random_take(id.bytes + 8, 8);
    pthread_mutex_unlock(&lock);
    id.bytes[8] = (uint8_t)((id.bytes[8] & 0x3f) | 0x80);
    return id;
}

int64_t uuid_v7_ms(const struct uuid *id)
{
    int64_t ms = 0;
    for (int i = 0; i < 6; i++)
        ms = (ms << 8) | id->bytes[i];
    return ms;
}

struct uuid uuid_v7_first(int64_t ms)
{
    struct uuid id = {0};
    put_ms(&id, ms);
    id.bytes[6] = 0x70;
    id.bytes[8] = 0x80;
    return id;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static bool dash_at(size_t i)
{
    return i == 8 || i == 13 || i == 18 || i == 23;
}

bool uuid_parse(const char *text, struct uuid *id)
{
    struct uuid parsed;
    size_t byte = 0;
    if (strnlen(text, UUID_TEXT_MAX) != UUID_TEXT_MAX - 1)
        return false;
    for (size_t i = 0; i < UUID_TEXT_MAX - 1;) {
        if (dash_at(i)) {
            if (text[i++] != '-')
                return false;
            continue;
        }
        int high = hex_value(text[i]), low = hex_value(text[i + 1]);
        if (high < 0 || low < 0)
            return false;
        parsed.bytes[byte++] = (uint8_t)(high << 4 | low);
        i += 2;
    }
    *id = parsed;
    return true;
}

char *uuid_format(const struct uuid *id, char out[UUID_TEXT_MAX])
{
    static const char digits[] = "0123456789abcdef";
    size_t at = 0;
    for (size_t byte = 0; byte < 16; byte++) {
        if (dash_at(at))
            out[at++] = '-';
        out[at++] = digits[id->bytes[byte] >> 4];
        out[at++] = digits[id->bytes[byte] & 15];
    }
    out[at] = '\0';
    return out;
}

int uuid_compare(const struct uuid *a, const struct uuid *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes);
}

bool uuid_equal(const struct uuid *a, const struct uuid *b)
{
    return uuid_compare(a, b) == 0;
}

uint32_t uuid_hash(const struct uuid *id)
{
    uint32_t hash;
    memcpy(&hash, id->bytes + 12, sizeof hash);
    return hash;
}
