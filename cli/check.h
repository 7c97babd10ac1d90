/* What can become of a definition's sagas, without any server. */
#ifndef CLI_CHECK_H
#define CLI_CHECK_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/* Prints what the verifier says after looking at so many states, as JSON or for people. False when the definition is not valid, which
 * is printed under the name `file` to standard error, or breaks an invariant. */
bool check_definition(json_t *source, const char *file, size_t states, bool json);

#endif
