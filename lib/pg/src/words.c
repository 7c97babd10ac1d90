#include "pg/pg.h"

const struct pg_statement PG_BEGIN = {"begin", "BEGIN"};
const struct pg_statement PG_COMMIT = {"commit", "COMMIT"};
const struct pg_statement PG_ROLLBACK = {"rollback", "ROLLBACK"};
const struct pg_statement PG_NO_WAIT = {"no_wait", "SELECT set_config('synchronous_commit', 'off', true)"};
