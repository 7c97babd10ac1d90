/* Counts what the API answers, by route and status. Any thread. */
#ifndef API_TRAFFIC_H
#define API_TRAFFIC_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

struct route;
struct traffic;

/* `routes` are the caller's for good. */
struct traffic *traffic_new(const struct route *routes, size_t routes_n);
void traffic_free(struct traffic *traffic);
/* `route` NULL: there was none for the path. */
void traffic_count(struct traffic *traffic, const struct route *route, int status, int64_t ms);
/* As metrics, in the form of base/metric.h. */
void traffic_write(struct traffic *traffic, struct buf *out);

#endif
