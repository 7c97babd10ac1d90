/* A saga's history as lines for people. */
#ifndef CLI_TIMELINE_H
#define CLI_TIMELINE_H

#include <jansson.h>

/* Prints one line an event: milliseconds since the start, what happened, step, attempt, reason. `entries` is the array of
 * the API's history. */
void timeline_print(const json_t *entries);

#endif
