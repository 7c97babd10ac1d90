/* The simulated PostgreSQL's tables, transactions and locks, and what is visible to whom. A row has the image that is committed and,
 * while a transaction has changed it, that transaction's image; whoever else wants to write it waits. */
#ifndef SIM_ROWS_H
#define SIM_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/uuid.h"

/* A value: of a column, of a parameter, of a result. */
struct cell {
    bool null;
    int64_t n; /* numbers, flags, times (milliseconds, 0 is never null here), xids */
    struct uuid id;
    char *text;
    size_t len;
};
#define CELLS_MAX 24

/* Of a row; it has no more cells than its table. */
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

/* A row at its place in the order of a number and an id. */
struct place {
    int64_t n;
    struct uuid id;
    struct row *row;
};

/* Rows are found by the hash of their first cell, those of some tables also in the order of two of their cells. */
struct table {
    const char *name;
    size_t cells_n;
    struct row **buckets;
    size_t buckets_n, rows_n; /* as many buckets as rows or more */
    bool counts;              /* the second cell numbers the rows of a first one: whatever comes later has a higher number */
    int number, id;           /* the cells of the order; 0, 0: there is none */
    struct place *order;      /* sorted; rows that have left their places may still stand there */
    size_t order_n, order_cap, tidy_at;
};

enum table_name {
    T_DEFINITION, /* name, version, source, canonical, created */
    T_SAGA,
    T_SAGA_KEY, /* the unique index on the idempotency key: key, saga */
    T_SAGA_LIVE, /* the unique index on the keys of those that live: key, definition, saga */
    T_STEP,
    T_ENTITY_LOCK,
    T_CLAIM,
    T_TOUCH,
    T_HISTORY,
    T_OUTBOX,
    T_INBOX,
    T_CLOCK, /* a service's counters of entities */
    T_EFFECT, /* what the handlers did: saga, step, kind, number in the order of commits */
    TABLES_N,
};
enum { D_NAME, D_VERSION, D_SOURCE, D_CANONICAL, D_CREATED, D_CELLS };
enum { S_ID, S_DEFINITION, S_VERSION, S_STATE, S_CANCELLED, S_KEY, S_INPUT, S_CREATED, S_ENDED, S_DEADLINE, S_WAKE, S_TRACE, S_PAUSED, S_START, S_ABOUT, S_LABELS, S_PARENT, S_PARENT_STEP, S_ORDER, S_PARENT_ROUND, S_CLOCK, S_CELLS };
enum { B_BUCKET, B_CELLS };
enum { C_KEY, C_SEQ, C_SAGA, C_CELLS };
enum { U_KEY, U_SAGA, U_STEP, U_KIND, U_SERVICE, U_NUMBER, U_CELLS };
enum { L_KEY, L_DEFINITION, L_SAGA, L_CELLS };
enum { K_KEY, K_SAGA, K_CELLS };
enum { P_SAGA, P_POSITION, P_STATE, P_ROUND, P_ATTEMPT, P_PAUSED, P_DUE, P_COMMAND, P_OUTPUT, P_ERROR, P_WAIVED, P_PROBING, P_XID, P_CELLS };
enum { H_SAGA, H_SEQ, H_ENTRIES, H_CELLS };
enum { O_ID, O_TOPIC, O_KEY, O_HEADERS, O_VALUE, O_LEASE, O_XID, O_CREATED, O_TID, O_CELLS };
enum { I_SAGA, I_STEP, I_KIND, I_ROUND, I_VERDICT, I_REPLY, I_CLOCK, I_CELLS };
enum { N_KEY, N_NUMBER, N_CELLS };
enum { E_SAGA, E_STEP, E_KIND, E_NUMBER, E_CELLS };

struct schema {
    char name[64];
    struct table tables[TABLES_N];
};
/* By name; made on first use. */
struct schema *sim_schema(const char *name);
struct schema *sim_schema_at(size_t i); /* NULL behind the last */

/* What a connection is on the server's side. */
struct session {
    bool connected;
    struct schema *schema;
    struct tx *tx;   /* NULL outside of one */
    bool failed;     /* the transaction: only ROLLBACK is heard */
    struct err *err; /* of the statement that runs */
};
/* ---- values ---- */

struct cell cell_int(int64_t n);
struct cell cell_time(int64_t ms); /* 0: NULL */
struct cell cell_id(const struct uuid *id);
struct cell cell_text(const char *text); /* NULL: NULL; copied when it is stored or returned */
bool cell_equal(const struct cell *a, const struct cell *b);
int cell_compare(const struct cell *a, const struct cell *b); /* NULL first */

/* ---- rows ---- */

/* The row's image as the session sees it; NULL: it is not there. */
const struct image *row_seen(const struct session *session, const struct row *row);
/* The next row whose first cell is `key` behind `row` (NULL: the first), seen or not; the row that came last is the first. */
struct row *row_next(struct session *session, enum table_name table, const struct cell *key, const struct row *row);
/* The row that the session sees and whose first `keys_n` cells are these, of several the newest. */
struct row *row_find(struct session *session, enum table_name table, const struct cell *key, size_t keys_n);
/* The next row in the table's order, of those that the session sees and whose number is not null. Begin with *at = 0, and write no
 * other number or id in between. */
struct row *row_in_order(struct session *session, enum table_name table, size_t *at);
/* Waits until the session may write the row: *seen is what it is then, NULL when it is gone. False: given up. */
bool row_lock(struct session *session, struct row *row, const struct image **seen);
/* Copies what a row's image has, and nothing behind it. */
void image_copy(struct image *to, const struct row *row, const struct image *from);
/* Whether another transaction has it. */
bool row_is_locked(const struct session *session, const struct row *row);
/* The row, locked, gets new cells; NULL: it is deleted. */
void row_write(struct session *session, struct row *row, const struct cell *cells);
/* A row whose first `keys_n` cells are unique. *inserted is false when there is one already. False: given up waiting. */
bool row_insert(struct session *session, enum table_name table, const struct cell *cells, size_t keys_n, bool *inserted);
/* A row that a migration has put there. */
void row_place(struct schema *schema, enum table_name table, const struct cell *cells);
bool sql_error(struct session *session, const char *state, const char *text);

/* ---- transactions ---- */

/* The transaction's number (pg_current_xact_id), and the oldest that runs (pg_snapshot_xmin). */
int64_t sim_xid(struct session *session);
int64_t sim_xmin(void);
/* now(), in milliseconds. */
int64_t sim_server_ms(void);

void tx_begin(struct session *session);
void tx_commit(struct session *session);
void tx_rollback(struct session *session); /* outside of one: nothing */
/* Savepoints: one name, one at a time. */
void tx_save(struct session *session);
void tx_return(struct session *session);

/* ---- for the checks ---- */

/* All rows of a table that are committed, for the checks: NULL behind the last. Begin with a cursor of zeros. */
struct cursor {
    const struct row *row;
    size_t bucket; /* the next one */
};
const struct image *sim_committed(struct schema *schema, enum table_name table, struct cursor *cursor);
/* Called at each commit that changed something, before the images are exchanged, for each row. */
typedef void sim_commit_hook(struct schema *schema, enum table_name table, const struct image *before, const struct image *after,
                             int64_t xid);
void sim_on_commit(sim_commit_hook *row, void (*end)(void));

#endif
