/* Headers as the JSON object of strings that an outbox keeps. Private to lib/wire. */
#ifndef WIRE_HEADERS_H
#define WIRE_HEADERS_H

#include "base/buf.h"

/* Adds a member to an object that was opened with '{'. */
void headers_add(struct buf *out, const char *name, const char *value);
void headers_add_number(struct buf *out, const char *name, long long number);

#endif
