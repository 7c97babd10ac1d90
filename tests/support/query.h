/* Looking into the database. */
#ifndef QUERY_H
#define QUERY_H

#include "pg/pg.h"

/* The number in the first column of the first row; the test fails when there is none. */
int64_t query_number(struct pg *pg, const struct pg_statement *statement);

#endif
