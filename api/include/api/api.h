/* The HTTP API over the store and the engine. */
#ifndef API_API_H
#define API_API_H

#include <stdbool.h>

#include "base/err.h"
#include "engine/engine.h"

struct api;

struct api_config {
    const char *listen; /* "127.0.0.1:8080"; port 0: any free one */
    const char *database_url;
    const char *schema;
    int readers; /* threads, each with a connection, for what is read from the database */
};

/* Listens at once; until it has an engine, whatever needs one answers 503. The texts must outlive it. NULL with ERR_FATAL
 * when the address cannot be had. */
struct api *api_start(const struct api_config *config, struct err *err);
/* The engine must outlive the API. Any thread. */
void api_set_engine(struct api *api, struct engine *engine);
/* The port that it listens on. */
int api_port(const struct api *api);
/* Takes no new connections, waits for the answers under way (the engine must have been stopped, so that its starts and
 * watches are answered), frees. NULL is fine. */
void api_stop(struct api *api);
/* Takes no new connections; those that are open may ask on. First step of a clean end. */
void api_quiesce(struct api *api);

#endif
