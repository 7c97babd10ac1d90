#include "service/carrier.h"

#include <poll.h>

#include "base/log.h"

#define PAUSE_MIN_MS 50
#define PAUSE_MAX_MS 1000

/* Passing errors are retried without end: the server is away, or this batch met another one. */
static bool attempt_until_decided(const struct carrier *carrier, size_t first, size_t n, struct err *err)
{
    int pause_ms = PAUSE_MIN_MS;
    bool waiting = false, ok;
    while (!(ok = carrier->attempt(carrier->context, first, n, err)) && err->kind == ERR_RETRY) {
        if (atomic_load(carrier->stopping))
            return false;
        if (pause_ms > PAUSE_MIN_MS) {
            atomic_store(carrier->healthy, false);
            if (!waiting)
                log_line(LOG_WARN, "batch.waiting", LOG_STR("batch", carrier->name), LOG_ERR(err));
            waiting = true;
        }
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
    if (err.kind == ERR_RETRY)
        return false; /* asked to stop */
    if (n == 1) {
        log_line(LOG_ERROR, "batch.set_aside", LOG_STR("batch", carrier->name), LOG_ERR(&err));
        carrier->set_aside(carrier->context, first, &err);
        return true;
    }
    size_t half = n / 2;
    return carry(carrier, first, half) && carry(carrier, first + half, n - half);
}

bool carrier_carry(const struct carrier *carrier, size_t n)
{
    return carry(carrier, 0, n);
}
