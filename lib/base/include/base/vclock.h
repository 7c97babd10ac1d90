/* Vector clocks of what sagas do to entities (business objects): for each entity a counter of each service, kept in that service's
 * own database and counted up with each effect, so that a service's numbers are the order of effects there. A clock names the
 * entities that it speaks of, also those of which it knows nothing yet: {"order:7": {"payment": 3}, "customer:2": {}}.
 * As a JSON value, so that it goes as it is into headers, histories and columns. Any thread, on values that the thread owns. */
#ifndef BASE_VCLOCK_H
#define BASE_VCLOCK_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define VCLOCK_ENTITIES_MAX 8
#define VCLOCK_KEY_MAX 200      /* bytes of an entity's key */
#define VCLOCK_SERVICES_MAX 128 /* of one entity */
#define VCLOCK_SERVICE_MAX 63   /* bytes of a service's name */
#define VCLOCK_TEXT_MAX (64u * 1024) /* fits beside the largest value of a message */

/* Reads what has come from outside. NULL with ERR_REFUSED when it is no clock or is larger than the bounds above; else the caller owns the result. */
MUST_CHECK json_t *vclock_read(const char *text, size_t len, struct err *err);
/* 0: it does not know. */
int64_t vclock_get(const json_t *clock, const char *entity, const char *service);
/* Puts one component; false, with nothing changed, when there is no room for one more. */
bool vclock_set(json_t *clock, const char *entity, const char *service, int64_t number);
/* The maximum of both, component by component, into `into`, but only of the entities that it names. Tells whether it has changed. */
bool vclock_merge(json_t *into, json_t *other);

#endif
