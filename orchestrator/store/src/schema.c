#include "store/store.h"

extern const struct pg_migration orchestrator_migrations[];

bool store_migrate(struct pg *pg, int *applied, struct err *err)
{
    return pg_migrate(pg, orchestrator_migrations, applied, err);
}
