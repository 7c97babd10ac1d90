/* A program's row in the table `process` of the orchestrator's schema: others see there that it lives. A crash leaves the
 * row; nobody says for it any more that it lives, and after an hour somebody removes it. One thread. */
#ifndef PRESENCE_PRESENCE_H
#define PRESENCE_PRESENCE_H

#include <stdbool.h>

#include "base/uuid.h"
#include "pg/pg.h"

/* How often to say so: one who has not for 30 s is taken for gone. */
#define PRESENCE_EVERY_MS 10000

struct presence {
    struct uuid id;
    const char *program, *roles; /* roles: "api,engine,relay", as people shall read it */
    char host[256];
};

/* The texts are kept. */
void presence_init(struct presence *presence, const char *program, const char *roles);
/* Whether the schema has the table at all: a service's own has not. */
MUST_CHECK bool presence_wanted(struct pg *pg, bool *wanted, struct err *err);
MUST_CHECK bool presence_say(struct pg *pg, const struct presence *presence, bool healthy, struct err *err);
/* At a clean end. */
MUST_CHECK bool presence_leave(struct pg *pg, const struct presence *presence, struct err *err);

#endif
