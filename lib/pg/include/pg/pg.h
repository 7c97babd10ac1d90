/* The only caller of libpq. Statements are constants, prepared once on each connection; parameters and results are
 * binary; several statements go out together and cost one round trip. A connection belongs to one thread at a time. */
#ifndef PG_PG_H
#define PG_PG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/uuid.h"

enum pg_type { PG_BOOL, PG_INT4, PG_INT8, PG_TEXT, PG_JSON, PG_UUID, PG_TIME, PG_XID8, PG_TID };

/* A constant statement; its address is its identity. */
struct pg_statement {
    const char *name; /* unique in the program; shows in pg_prepared_statements */
    const char *sql;  /* $1, $2, ...; table names without schema */
};

#define PG_PARAMS_MAX 24
struct pg_column {
    enum pg_type type;
    bool array;
    bool null;
    int32_t count;
    bool has_null;
    struct buf data;
};

/* The parameters of one execution, filled in order. Reusable after pg_params_reset. */
struct pg_params {
    struct pg_column columns[PG_PARAMS_MAX];
    size_t n;
};

void pg_params_reset(struct pg_params *params);
void pg_params_free(struct pg_params *params);
/* One value each. Texts may be NULL (SQL NULL) and are copied. */
void pg_param_int(struct pg_params *params, enum pg_type type, int64_t value); /* PG_BOOL, PG_INT4, PG_INT8, PG_XID8 */
void pg_param_text(struct pg_params *params, enum pg_type type, const char *text); /* PG_TEXT, PG_JSON */
void pg_param_uuid(struct pg_params *params, const struct uuid *id);
void pg_param_time(struct pg_params *params, int64_t real_ms); /* 0: NULL */
/* The next parameter is an array; its elements are added in any interleaving with those of other arrays. The pointer is
 * good until the parameters are reset. */
struct pg_column *pg_param_array(struct pg_params *params, enum pg_type type);
void pg_add_int(struct pg_column *array, int64_t value);
void pg_add_text(struct pg_column *array, const char *text);
void pg_add_bytes(struct pg_column *array, const char *text, size_t len);
void pg_add_uuid(struct pg_column *array, const struct uuid *id);
void pg_add_time(struct pg_column *array, int64_t real_ms); /* 0: NULL */
void pg_add_tid(struct pg_column *array, uint64_t tid);
void pg_add_null(struct pg_column *array);

/* The rows of one execution. */
struct pg_rows;
void pg_rows_free(struct pg_rows *rows); /* NULL is fine */
size_t pg_rows_count(const struct pg_rows *rows);
/* How many rows an INSERT, UPDATE or DELETE touched. */
size_t pg_rows_affected(const struct pg_rows *rows);
/* Values by position in the select list. NULL gives 0, NULL or the empty UUID. Texts live as long as the rows. */
bool pg_is_null(const struct pg_rows *rows, size_t row, int column);
bool pg_get_bool(const struct pg_rows *rows, size_t row, int column);
int64_t pg_get_int(const struct pg_rows *rows, size_t row, int column); /* int4, int8, xid8 by its size */
const char *pg_get_text(const struct pg_rows *rows, size_t row, int column, size_t *len); /* text, json; len may be NULL */
struct uuid pg_get_uuid(const struct pg_rows *rows, size_t row, int column);
int64_t pg_get_time(const struct pg_rows *rows, size_t row, int column); /* milliseconds since 1970 */
uint64_t pg_get_tid(const struct pg_rows *rows, size_t row, int column);

/* HOT: plans are pinned to index look-ups, for statements that run all the time on tables whose statistics change under
 * them. ADHOC: the planner is free. */
enum pg_profile { PG_HOT, PG_ADHOC };

struct pg;
/* Makes the handle; connects on first use. `schema` becomes the search path. Texts are copied. */
struct pg *pg_new(const char *url, const char *schema, const char *application, enum pg_profile profile);
void pg_free(struct pg *pg); /* NULL is fine; an open transaction is rolled back by the server */
/* Connects when not connected. ERR_RETRY when the server is away, ERR_FATAL when it refuses for good (password,
 * database). */
MUST_CHECK bool pg_connect(struct pg *pg, struct err *err);
bool pg_connected(const struct pg *pg);
/* How many connections the handle has made: when it has changed, the one before was lost or dropped. */
uint64_t pg_connects(const struct pg *pg);
/* A transaction was begun and neither ended nor failed. */
bool pg_in_transaction(const struct pg *pg);
/* Drops the connection; the next call makes a new one. */
void pg_disconnect(struct pg *pg);

/* One statement of a batch. */
struct pg_call {
    const struct pg_statement *statement;
    const struct pg_params *params; /* NULL: none */
    struct pg_rows *rows;           /* out; the caller frees it */
};

/* The words of a transaction, for batches. Without them a batch is a transaction of its own. */
extern const struct pg_statement PG_BEGIN, PG_COMMIT, PG_ROLLBACK;
/* Within a transaction or batch: its commit does not wait for the disk, so that a crash of the server may undo it. */
extern const struct pg_statement PG_NO_WAIT;

/* Sends the calls together, then reads their results: one round trip. All or nothing: on failure no `rows` is set, an
 * open transaction is rolled back, and `err` says what to do; err->in_doubt when a commit may have happened. */
MUST_CHECK bool pg_run(struct pg *pg, struct pg_call *calls, size_t calls_n, struct err *err);
/* As pg_run inside an open transaction, but a failing statement leaves it open, good for ROLLBACK TO a savepoint only. */
MUST_CHECK bool pg_try(struct pg *pg, struct pg_call *calls, size_t calls_n, struct err *err);
/* pg_run of one call. */
MUST_CHECK bool pg_call(struct pg *pg, const struct pg_statement *statement, const struct pg_params *params,
                        struct pg_rows **rows, struct err *err);

/* A step of a schema's history. Once landed it never changes. */
struct pg_migration {
    int version;
    const char *name;
    const char *sql; /* may hold several statements */
};

/* Creates the handle's schema if it is missing and brings it up to the last of the migrations (ordered, ends with version
 * 0), under a lock, in one transaction each. `applied` counts those that ran now. ERR_FATAL when the schema is newer than
 * the program. */
MUST_CHECK bool pg_migrate(struct pg *pg, const struct pg_migration *migrations, int *applied, struct err *err);

#endif
