/* The simulated PostgreSQL: sessions, transactions, row locks and what is visible to whom. A row has the image that is committed
 * and, while a transaction has changed it, that transaction's image; whoever else wants to write it waits. What the statements
 * do is in sql.c. One server holds the schemas of all programs. */
#ifndef SIM_POSTGRES_H
#define SIM_POSTGRES_H

#include "pg/pg.h"
#include "simulation.h"

/* A value: of a column, of a parameter, of a result. */
struct cell {
    bool null;
    int64_t n; /* numbers, flags, times (milliseconds, 0 is never null here), xids */
    struct uuid id;
    char *text;
    size_t len;
};
#define CELLS_MAX 14

struct image {
    struct cell cells[CELLS_MAX];
};

struct tx;
struct row {
    struct image *committed; /* NULL: it is not there for others */
    struct image *pending;   /* the owner's; NULL: the owner has deleted it */
    struct tx *owner;        /* NULL: nobody writes it */
    struct row *next;        /* of the same bucket */
    struct table *table;
    uint32_t hash;
};

/* Rows are found by the hash of their first cell. */
#define BUCKETS 1024
struct table {
    const char *name;
    size_t cells_n;
    struct row *buckets[BUCKETS];
};

enum table_name {
    T_DEFINITION, /* name, version, source, canonical, created */
    T_SAGA,
    T_SAGA_KEY, /* the unique index on the idempotency key: key, saga */
    T_STEP,
    T_HISTORY,
    T_OUTBOX,
    T_INBOX,
    T_EFFECT, /* what the handlers did: saga, step, kind, number in the order of commits */
    TABLES_N,
};
enum { D_NAME, D_VERSION, D_SOURCE, D_CANONICAL, D_CREATED };
enum { S_ID, S_DEFINITION, S_VERSION, S_STATE, S_CANCELLED, S_KEY, S_INPUT, S_CREATED, S_ENDED, S_DEADLINE, S_WAKE, S_TRACE };
enum { K_KEY, K_SAGA };
enum { P_SAGA, P_POSITION, P_STATE, P_ROUND, P_ATTEMPT, P_PAUSED, P_DUE, P_COMMAND, P_OUTPUT, P_ERROR, P_WAIVED, P_XID };
enum { H_SAGA, H_SEQ, H_ENTRIES };
enum { O_ID, O_TOPIC, O_KEY, O_HEADERS, O_VALUE, O_LEASE, O_XID, O_CREATED, O_TID };
enum { I_SAGA, I_STEP, I_KIND, I_ROUND, I_VERDICT, I_REPLY };
enum { E_SAGA, E_STEP, E_KIND, E_NUMBER };

struct schema {
    char name[64];
    struct table tables[TABLES_N];
};
/* By name; made on first use. */
struct schema *sim_schema(const char *name);
struct schema *sim_schema_at(size_t i); /* NULL behind the last */

/* What a connection is on the server's side. */
struct session {
    struct pg *pg;
    struct schema *schema;
    struct tx *tx; /* NULL outside of one */
    struct err *err; /* of the statement that runs */
};
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

/* ---- rows, for the models ---- */

struct cell cell_int(int64_t n);
struct cell cell_time(int64_t ms); /* 0: NULL */
struct cell cell_id(const struct uuid *id);
struct cell cell_text(const char *text); /* NULL: NULL; copied when it is stored or returned */
bool cell_equal(const struct cell *a, const struct cell *b);
int cell_compare(const struct cell *a, const struct cell *b); /* NULL first */

/* The row's image as the session sees it; NULL: it is not there. */
const struct image *row_seen(const struct session *session, const struct row *row);
/* The next row whose first cell is `key` behind `row` (NULL: the first), seen or not. */
struct row *row_next(struct session *session, enum table_name table, const struct cell *key, const struct row *row);
/* The row that the session sees and whose first `keys_n` cells are these. */
struct row *row_find(struct session *session, enum table_name table, const struct cell *key, size_t keys_n);
/* Waits until the session may write the row: *seen is what it is then, NULL when it is gone. False: given up. */
bool row_lock(struct session *session, struct row *row, const struct image **seen);
/* Whether another transaction has it. */
bool row_is_locked(const struct session *session, const struct row *row);
/* The row, locked, gets new cells; NULL: it is deleted. */
void row_write(struct session *session, struct row *row, const struct cell *cells);
/* A row whose first `keys_n` cells are unique. *inserted is false when there is one already. False: given up waiting. */
bool row_insert(struct session *session, enum table_name table, const struct cell *cells, size_t keys_n, bool *inserted);
bool sql_error(struct session *session, const char *state, const char *text);

/* The transaction's number (pg_current_xact_id), and the oldest that runs (pg_snapshot_xmin). */
int64_t sim_xid(struct session *session);
int64_t sim_xmin(void);
/* now(), in milliseconds. */
int64_t sim_server_ms(void);

/* Savepoints: one name, one at a time. */
void tx_save(struct session *session);
void tx_return(struct session *session);

/* ---- the world's hand ---- */

/* All rows of a table that are committed, for the checks: NULL behind the last. Begin with a cursor of zeros. */
struct cursor {
    const struct row *row;
    size_t bucket; /* the next one */
};
const struct image *sim_committed(struct schema *schema, enum table_name table, struct cursor *cursor);
/* Called at each commit that changed something, before the images are exchanged, for each row. */
typedef void sim_commit_hook(struct schema *schema, enum table_name table, const struct image *before, const struct image *after,
                             int64_t xid);
void sim_on_commit(sim_commit_hook *row, void (*end)(int64_t xid));
/* The server crashes: every session is lost, nobody gets in for so long. */
void sim_postgres_crash(int64_t away_us);
/* One connection is cut. */
void sim_postgres_cut(void);
/* From now on no answer is lost and nothing is slow. */
void sim_postgres_calm(void);
/* Where the simulated server began; changes with each crash. */
int64_t sim_postgres_epoch(void);

#endif
