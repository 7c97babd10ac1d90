#include "store/store.h"

extern const struct pg_migration orchestrator_migrations[];

bool store_migrate(struct pg *pg, int *applied, struct err *err)
{
    return pg_migrate(pg, orchestrator_migrations, applied, err);
}

bool store_check_schema(struct pg *pg, struct err *err)
{
    static const struct pg_statement applied = {"schema_version", "SELECT coalesce(max(version), 0) FROM migration"};
    struct pg_rows *rows = NULL;
    int last = 0;
    for (const struct pg_migration *m = orchestrator_migrations; m->version; m++)
        last = m->version;
    if (!pg_call(pg, &applied, NULL, &rows, err)) {
        if (err->kind == ERR_REFUSED)
            err_set(err, ERR_RETRY, "the schema is not there: run 'saga-orchestrator migrate'");
        return false;
    }
    int version = (int)pg_get_int(rows, 0, 0);
    pg_rows_free(rows);
    if (version == last)
        return true;
    return err_set(err, version < last ? ERR_RETRY : ERR_FATAL,
                   version < last ? "the schema is at version %d, not %d: run 'saga-orchestrator migrate'"
                                  : "the schema is at version %d; this program knows %d",
                   version, last);
}
