/* Brings a schema up to date. Each migration and its row in `migration` commit together, so a crash between two of them
 * leaves a schema that the next run continues from. */
#include "pg_private.h"

static const struct pg_statement take_lock = {"migrate_lock", "SELECT pg_advisory_xact_lock(7236427195)"};
static const struct pg_statement name_schema = {"migrate_schema", "SELECT set_config('saga.schema', $1, true)"};
static const struct pg_statement find_applied = {"migrate_applied", "SELECT coalesce(max(version), 0) FROM migration"};
static const struct pg_statement note_applied = {
    "migrate_note", "INSERT INTO migration (version, name) VALUES ($1, $2)"};

static const char make_schema[] =
    "DO $$ BEGIN EXECUTE format('CREATE SCHEMA IF NOT EXISTS %I', current_setting('saga.schema')); END $$;"
    "CREATE TABLE IF NOT EXISTS migration (version int PRIMARY KEY, name text NOT NULL,"
    " applied_at timestamptz NOT NULL DEFAULT now())";

static bool open_locked(struct pg *pg, int *version, struct err *err)
{
    struct pg_params params = {0};
    pg_param_text(&params, PG_TEXT, pg_schema(pg));
    struct pg_call calls[] = {{&PG_BEGIN, NULL, NULL}, {&take_lock, NULL, NULL}, {&name_schema, &params, NULL}};
    bool ok = pg_run(pg, calls, 3, err);
    for (size_t i = 0; i < 3; i++)
        pg_rows_free(calls[i].rows);
    pg_params_free(&params);
    struct pg_rows *rows = NULL;
    ok = ok && pg_script(pg, make_schema, err) && pg_call(pg, &find_applied, NULL, &rows, err);
    if (ok)
        *version = (int)pg_get_int(rows, 0, 0);
    pg_rows_free(rows);
    return ok;
}

static bool apply(struct pg *pg, const struct pg_migration *migration, struct err *err)
{
    struct pg_params params = {0};
    pg_param_int(&params, PG_INT4, migration->version);
    pg_param_text(&params, PG_TEXT, migration->name);
    bool ok = pg_script(pg, migration->sql, err) && pg_call(pg, &note_applied, &params, NULL, err);
    pg_params_free(&params);
    return ok;
}

static const struct pg_migration *next_after(const struct pg_migration *migrations, int version)
{
    while (migrations->version && migrations->version <= version)
        migrations++;
    return migrations->version ? migrations : NULL;
}

static bool is_newer(const struct pg_migration *migrations, int version)
{
    int last = 0;
    for (; migrations->version; migrations++)
        last = migrations->version;
    return version > last;
}

/* One migration in its own transaction; *done when there was none left. */
static bool migrate_one(struct pg *pg, const struct pg_migration *migrations, bool *done, struct err *err)
{
    int version = 0;
    if (!open_locked(pg, &version, err))
        return false;
    if (is_newer(migrations, version))
        return err_set(err, ERR_FATAL, "schema %s is at version %d, newer than this program knows", pg_schema(pg), version);
    const struct pg_migration *next = next_after(migrations, version);
    if (next && !apply(pg, next, err))
        return false;
    *done = !next;
    return pg_call(pg, &PG_COMMIT, NULL, NULL, err);
}

bool pg_migrate(struct pg *pg, const struct pg_migration *migrations, int *applied, struct err *err)
{
    int count = 0;
    if (!pg_connect(pg, err))
        return false;
    for (;;) {
        bool done = false;
        if (!migrate_one(pg, migrations, &done, err)) {
            pg_disconnect(pg); /* ends the transaction and frees the lock, whatever state it was in */
            return false;
        }
        if (done)
            break;
        count++;
    }
    *applied = count;
    return true;
}
