/* The simulated PostgreSQL: connections that are slow or lost, and statements. What they do is in sql.c, what they do it to in rows.c.
 * One server holds the schemas of all programs. */
#ifndef SIM_POSTGRES_H
#define SIM_POSTGRES_H

#include "pg/pg.h"
#include "rows.h"

struct args {
    size_t n;
    struct arg {
        size_t n; /* elements; 1 for a single value */
        struct cell *cells;
    } of[PG_PARAMS_MAX];
};
/* A statement as the simulator does it. False with session->err. Rows are added with sim_result. */
struct model {
    const char *name;
    uint32_t sum; /* of its SQL: a statement that was changed must be looked at here again */
    bool (*run)(struct session *session, const struct args *args, struct pg_rows *rows);
};
extern const struct model sim_models[]; /* ends with a NULL name */
/* A result row of `n` cells, all NULL. */
struct cell *sim_result(struct pg_rows *rows, size_t n);
void sim_affected(struct pg_rows *rows, size_t n);

/* ---- the world's hand ---- */

/* The server crashes: every session is lost, nobody gets in for so long. */
void sim_postgres_crash(int64_t away_us);
/* One connection is cut. */
void sim_postgres_cut(void);
/* From now on no answer is lost and nothing is slow. */
void sim_postgres_calm(void);
/* Where the simulated server began; changes with each crash. */
int64_t sim_postgres_epoch(void);

#endif
