/* The one carrier of batches. What the database refuses (ERR_REFUSED) halves the batch until the culprit is alone, and the
 * culprit is set aside, visibly, so that the others go on. Any other error is waited out: a server that is away, or one
 * that lets nobody in until a person has acted, is no item's fault. */
#ifndef SERVICE_CARRIER_H
#define SERVICE_CARRIER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct carrier {
    void *context;
    /* Does all of the items [first, first + n) in one transaction, or none. */
    bool (*attempt)(void *context, size_t first, size_t n, struct err *err);
    /* The item can never be done; logs why. False when it could not be set aside before the end was asked for. */
    bool (*set_aside)(void *context, size_t item, const struct err *err);
    const char *name;               /* for logs */
    bool (*stopping)(void *context); /* ends the waiting */
    atomic_bool *healthy;           /* false while it waits */
};

/* False when it was asked to stop before all was done; the rest will come again. */
bool carrier_carry(const struct carrier *carrier, size_t n);

#endif
