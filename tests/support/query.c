#include "query.h"

#include <check.h>

int64_t query_number(struct pg *pg, const struct pg_statement *statement)
{
    struct pg_rows *rows = NULL;
    struct err err;
    ck_assert_msg(pg_call(pg, statement, NULL, &rows, &err), "%s: %s", statement->name, err.text);
    ck_assert_uint_ge(pg_rows_count(rows), 1);
    int64_t number = pg_get_int(rows, 0, 0);
    pg_rows_free(rows);
    return number;
}
