#include "presence/presence.h"

#include <string.h>
#include <unistd.h>

static const struct pg_statement has_table = {"presence_wanted", "SELECT to_regclass('process') IS NOT NULL"};
static const struct pg_statement forget = {"presence_forget", "DELETE FROM process WHERE seen_at < now() - interval '1 hour'"};
static const struct pg_statement say = {
    "presence_say", "INSERT INTO process (id, program, version, host, pid, roles, healthy) VALUES ($1, $2, $3, $4, $5, $6, $7)"
                    " ON CONFLICT (id) DO UPDATE SET healthy = excluded.healthy, seen_at = now()"};
static const struct pg_statement leave = {"presence_leave", "DELETE FROM process WHERE id = $1"};

void presence_init(struct presence *presence, const char *program, const char *roles)
{
    *presence = (struct presence){.id = uuid_v7(), .program = program, .roles = roles};
    if (gethostname(presence->host, sizeof presence->host - 1) != 0)
        strcpy(presence->host, "unknown");
}

bool presence_wanted(struct pg *pg, bool *wanted, struct err *err)
{
    struct pg_rows *rows = NULL;
    if (!pg_call(pg, &has_table, NULL, &rows, err))
        return false;
    *wanted = pg_get_bool(rows, 0, 0);
    pg_rows_free(rows);
    return true;
}

bool presence_say(struct pg *pg, const struct presence *presence, bool healthy, struct err *err)
{
    struct pg_params params = {0};
    pg_param_uuid(&params, &presence->id);
    pg_param_text(&params, PG_TEXT, presence->program);
    pg_param_text(&params, PG_TEXT, SAGA_VERSION);
    pg_param_text(&params, PG_TEXT, presence->host);
    pg_param_int(&params, PG_INT4, getpid());
    pg_param_text(&params, PG_TEXT, presence->roles);
    pg_param_int(&params, PG_BOOL, healthy);
    struct pg_call calls[] = {{&PG_NO_WAIT, NULL, NULL}, {&forget, NULL, NULL}, {&say, &params, NULL}};
    bool ok = pg_run(pg, calls, 3, err);
    pg_params_free(&params);
    for (size_t i = 0; i < 3; i++)
        pg_rows_free(calls[i].rows);
    return ok;
}

bool presence_leave(struct pg *pg, const struct presence *presence, struct err *err)
{
    struct pg_params params = {0};
    struct pg_rows *rows = NULL;
    pg_param_uuid(&params, &presence->id);
    bool ok = pg_call(pg, &leave, &params, &rows, err);
    pg_params_free(&params);
    pg_rows_free(rows);
    return ok;
}
