/* What the files of lib/pg share. */
#ifndef PG_PRIVATE_H
#define PG_PRIVATE_H

#include "pg/pg.h"

#define PG_EPOCH_MS 946684800000LL /* 2000-01-01, where the server's timestamps begin */
#define PG_ARRAY_HEADER 20

unsigned pg_type_oid(enum pg_type type, bool array);
/* Completes an array's header; idempotent. */
void pg_column_close(const struct pg_column *column);

/* Runs a constant string of several statements without parameters, as migrations are. */
MUST_CHECK bool pg_script(struct pg *pg, const char *sql, struct err *err);
const char *pg_schema(const struct pg *pg);

#endif
