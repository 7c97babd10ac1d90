#include "service/carrier.h"

#include <poll.h>
#include <string.h>

#include "base/log.h"

#define PAUSE_MIN_MS 50
#define PAUSE_MAX_MS 1000
#define SLOW_TRIES 3

/* A statement that always outlasts its time limit would hold up its batch for ever. */
static bool is_too_slow(const struct err *err, int *tries)
{
    return strcmp(err->code, "57014") == 0 && ++*tries >= SLOW_TRIES;
}

static void note_waiting(const struct carrier *carrier, const struct err *err, bool *waiting)
{
    atomic_store(carrier->healthy, false);
    if (!*waiting)
        log_line(LOG_WARN, "batch.waiting", LOG_STR("batch", carrier->name), LOG_ERR(err));
    *waiting = true;
}

/* Until it is done, refused, or asked to stop. */
static bool attempt_until_decided(const struct carrier *carrier, size_t first, size_t n, struct err *err)
{
    int pause_ms = PAUSE_MIN_MS, slow_tries = 0;
    bool waiting = false, ok;
    while (!(ok = carrier->attempt(carrier->context, first, n, err)) && err->kind != ERR_REFUSED) {
        if (is_too_slow(err, &slow_tries)) {
            err->kind = ERR_REFUSED;
            break;
        }
        if (carrier->stopping(carrier->context))
            return false;
        if (pause_ms > PAUSE_MIN_MS)
            note_waiting(carrier, err, &waiting);
        poll(NULL, 0, pause_ms);
        pause_ms = pause_ms * 2 < PAUSE_MAX_MS ? pause_ms * 2 : PAUSE_MAX_MS;
    }
    atomic_store(carrier->healthy, true);
    if (waiting && ok)
        log_line(LOG_INFO, "batch.recovered", LOG_STR("batch", carrier->name));
    return ok;
}

static bool carry(const struct carrier *carrier, size_t first, size_t n)
{
    struct err err = {0};
    if (n == 0 || attempt_until_decided(carrier, first, n, &err))
        return true;
    if (err.kind != ERR_REFUSED)
        return false; /* asked to stop */
    if (n == 1)
        return carrier->set_aside(carrier->context, first, &err);
    size_t half = n / 2;
    return carry(carrier, first, half) && carry(carrier, first + half, n - half);
}

bool carrier_carry(const struct carrier *carrier, size_t n)
{
    return carry(carrier, 0, n);
}
