/* One request to the API (the only caller of libcurl). */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include <jansson.h>

#include "base/err.h"

/* Sends `body` (NULL: none) and gives the status and the answer's JSON (the caller drops it). ERR_RETRY when the server
 * does not answer, ERR_REFUSED when it answers something that is not JSON. */
MUST_CHECK bool client_call(const char *url, const char *method, const char *path, const json_t *body, int *status,
                            json_t **answer, struct err *err);

#endif
