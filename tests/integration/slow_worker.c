/* A service whose only action takes long, and says so now and then. */
#include <time.h>

#include "saga/worker.h"

extern const struct pg_migration slow_migrations[];

#define BEATS 4

static enum worker_outcome crawl(struct worker_call *call)
{
    for (int i = 0; i < BEATS; i++) {
        nanosleep(&(struct timespec){.tv_nsec = 50 * 1000 * 1000}, NULL); /* the work */
        worker_heartbeat(call);
    }
    return json_is_true(json_object_get(call->input, "fails")) ? worker_fail(call, "no", "not after all") : WORKER_SUCCEEDED;
}

int main(int argc, char **argv)
{
    static const struct worker_handler handlers[] = {{"crawl", crawl}, {NULL, NULL}};
    const struct worker_spec spec = {"slow-worker", "a service for tests: takes long", "slow", handlers, slow_migrations};
    return worker_main(&spec, argc, argv);
}
