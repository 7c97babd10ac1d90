/* The connection. Statements of a batch travel in libpq's pipeline mode; while they are being sent, results are read, so
 * that neither side waits for the other with both socket buffers full. */
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "pg_private.h"

#define PREPARED_MAX 64

struct pg {
    char *url, *schema, *application;
    enum pg_profile profile;
    PGconn *conn;
    uint64_t connects;
    const struct pg_statement *prepared[PREPARED_MAX];
    size_t prepared_n;
};

struct pg *pg_new(const char *url, const char *schema, const char *application, enum pg_profile profile)
{
    struct pg *pg = mem_alloc(sizeof *pg);
    pg->url = mem_strdup(url);
    pg->schema = mem_strdup(schema);
    pg->application = mem_strdup(application);
    pg->profile = profile;
    return pg;
}

void pg_disconnect(struct pg *pg)
{
    PQfinish(pg->conn);
    pg->conn = NULL;
    pg->prepared_n = 0;
}

void pg_free(struct pg *pg)
{
    if (!pg)
        return;
    pg_disconnect(pg);
    free(pg->url);
    free(pg->schema);
    free(pg->application);
    free(pg);
}

bool pg_connected(const struct pg *pg)
{
    return pg->conn && PQstatus(pg->conn) == CONNECTION_OK;
}

uint64_t pg_connects(const struct pg *pg)
{
    return pg->connects;
}

bool pg_in_transaction(const struct pg *pg)
{
    return pg_connected(pg) && PQtransactionStatus(pg->conn) == PQTRANS_INTRANS;
}

const char *pg_schema(const struct pg *pg)
{
    return pg->schema;
}

/* Passing: the connection (08), a conflict (40), resources (53), shutdown (57P), a cancelled or timed-out statement or
 * transaction (57014, 25P), a standby that has not taken over yet (25006), a lock that was not to be had (55P03). */
static enum err_kind kind_of(const char *state)
{
    static const char *const passing[] = {"08", "40", "53", "57P", "57014", "25P", "25006", "55P03"};
    for (size_t i = 0; i < sizeof passing / sizeof passing[0]; i++) {
        if (strncmp(state, passing[i], strlen(passing[i])) == 0)
            return ERR_RETRY;
    }
    return ERR_REFUSED;
}

static bool result_error(struct err *err, const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *text = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    if (!state) /* made by libpq itself: the connection */
        return err_set(err, ERR_RETRY, "PostgreSQL: %s", PQresultErrorMessage(result));
    return err_set_code(err, kind_of(state), state, "PostgreSQL: %s", text ? text : "error");
}

static bool connection_error(struct pg *pg, struct err *err)
{
    char text[256];
    snprintf(text, sizeof text, "%s", pg->conn ? PQerrorMessage(pg->conn) : "out of memory");
    text[strcspn(text, "\n")] = '\0';
    pg_disconnect(pg);
    return err_set(err, ERR_RETRY, "PostgreSQL: %s", text);
}

bool pg_script(struct pg *pg, const char *sql, struct err *err)
{
    if (!PQexitPipelineMode(pg->conn) || PQsetnonblocking(pg->conn, 0) != 0)
        return connection_error(pg, err);
    PGresult *result = PQexec(pg->conn, sql);
    ExecStatusType status = PQresultStatus(result);
    bool ok = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
    if (!ok)
        result_error(err, result);
    PQclear(result);
    if (PQsetnonblocking(pg->conn, 1) != 0 || !PQenterPipelineMode(pg->conn))
        return connection_error(pg, err);
    return ok;
}

/* Whether calls[at] is prepared already or will be by an earlier call of the same batch. */
static bool is_prepared(const struct pg *pg, const struct pg_call *calls, size_t at)
{
    for (size_t i = 0; i < pg->prepared_n; i++) {
        if (pg->prepared[i] == calls[at].statement)
            return true;
    }
    for (size_t i = 0; i < at; i++) {
        if (calls[i].statement == calls[at].statement)
            return true;
    }
    return false;
}

static bool send_prepare(struct pg *pg, const struct pg_call *call)
{
    size_t n = call->params ? call->params->n : 0;
    Oid types[PG_PARAMS_MAX];
    for (size_t i = 0; i < n; i++)
        types[i] = pg_type_oid(call->params->columns[i].type, call->params->columns[i].array);
    return PQsendPrepare(pg->conn, call->statement->name, call->statement->sql, (int)n, types);
}

static bool send_call(struct pg *pg, const struct pg_call *call)
{
    const char *values[PG_PARAMS_MAX];
    int lengths[PG_PARAMS_MAX], formats[PG_PARAMS_MAX];
    size_t n = call->params ? call->params->n : 0;
    for (size_t i = 0; i < n; i++) {
        const struct pg_column *column = &call->params->columns[i];
        pg_column_close(column);
        values[i] = column->null ? NULL : buf_text(&column->data);
        lengths[i] = (int)column->data.len;
        formats[i] = 1;
    }
    return PQsendQueryPrepared(pg->conn, call->statement->name, (int)n, values, lengths, formats, 1);
}

/* Waits until the socket is readable, or writable too while there is something to send. */
static bool wait_socket(struct pg *pg, bool flushed)
{
    struct pollfd fd = {.fd = PQsocket(pg->conn), .events = (short)(POLLIN | (flushed ? 0 : POLLOUT))};
    int ready;
    do
        ready = poll(&fd, 1, 60000);
    while (ready < 0 && errno == EINTR);
    return ready > 0 && (!(fd.revents & (POLLIN | POLLERR | POLLHUP)) || PQconsumeInput(pg->conn));
}

/* Waits for the next result; NULL in *result marks the end of one statement. */
static bool next_result(struct pg *pg, PGresult **result)
{
    for (;;) {
        int unsent = PQflush(pg->conn);
        if (unsent < 0)
            return false;
        if (!PQisBusy(pg->conn)) {
            *result = PQgetResult(pg->conn);
            return true;
        }
        if (!wait_socket(pg, unsent == 0))
            return false;
    }
}

/* Reads one statement's result, with its closing NULL. False when the connection is lost. */
static bool read_statement(struct pg *pg, PGresult **result)
{
    PGresult *end = NULL;
    if (!next_result(pg, result) || !*result)
        return false;
    if (PQresultStatus(*result) == PGRES_PIPELINE_SYNC)
        return true;
    bool ok = next_result(pg, &end) && !end;
    PQclear(end);
    return ok && PQstatus(pg->conn) == CONNECTION_OK;
}

static bool is_good(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_PIPELINE_SYNC;
}

static void free_rows(struct pg_call *calls, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        pg_rows_free(calls[i].rows);
        calls[i].rows = NULL;
    }
}

static void note_prepared(struct pg *pg, const struct pg_statement *statement)
{
    if (pg->prepared_n == PREPARED_MAX)
        abort(); /* more statements than one connection ever needs */
    pg->prepared[pg->prepared_n++] = statement;
}

/* `prepare` tells which calls have a Prepare before them. */
static bool send_all(struct pg *pg, const struct pg_call *calls, size_t n, bool *prepare)
{
    for (size_t i = 0; i < n; i++) {
        prepare[i] = !is_prepared(pg, calls, i);
        if (prepare[i] && !send_prepare(pg, &calls[i]))
            return false;
        if (!send_call(pg, &calls[i]))
            return false;
    }
    return PQpipelineSync(pg->conn);
}

/* Reads every result up to the Sync; keeps the first error. False when the connection is lost. */
static bool read_all(struct pg *pg, struct pg_call *calls, size_t n, const bool *prepare, bool *failed, struct err *err)
{
    for (size_t i = 0; i < n; i++) {
        for (int part = prepare[i] ? 0 : 1; part < 2; part++) {
            PGresult *result = NULL;
            bool alive = read_statement(pg, &result);
            bool good = alive && is_good(result);
            if (alive && !good && !*failed) {
                result_error(err, result);
                *failed = true;
            }
            if (good && part == 0)
                note_prepared(pg, calls[i].statement);
            if (good && part == 1)
                calls[i].rows = (struct pg_rows *)result;
            else
                PQclear(result);
            if (!alive)
                return false;
        }
    }
    PGresult *sync = NULL;
    bool ok = read_statement(pg, &sync);
    PQclear(sync);
    return ok;
}

static bool ends_in_commit(const struct pg *pg, const struct pg_call *calls, size_t n)
{
    if (calls[n - 1].statement == &PG_COMMIT)
        return true;
    return PQtransactionStatus(pg->conn) == PQTRANS_IDLE && calls[0].statement != &PG_BEGIN;
}

#define CALLS_MAX 16

static bool run(struct pg *pg, struct pg_call *calls, size_t n, struct err *err)
{
    bool prepare[CALLS_MAX];
    bool failed = false;
    bool commits = ends_in_commit(pg, calls, n);
    bool alive = send_all(pg, calls, n, prepare) && read_all(pg, calls, n, prepare, &failed, err);
    if (!alive) {
        connection_error(pg, err);
        err->in_doubt = commits;
    }
    if (!alive || failed)
        free_rows(calls, n);
    return alive && !failed;
}

/* A process that freezes must not hold its locks for ever, and a server that vanishes must be noticed. */
static const char session_settings[] =
    "SET client_min_messages = warning; SET idle_in_transaction_session_timeout = '10s'; SET jit = off;"
    "SET lock_timeout = '10s'; SET statement_timeout = '30s';";
/* Row estimates of fresh and fast-growing tables mislead the planner into scans of whole tables. */
static const char hot_settings[] = "SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_seqscan = off;"
                                   "SET plan_cache_mode = force_generic_plan;";

static bool set_schema(struct pg *pg, struct err *err)
{
    static const struct pg_statement statement = {"set_schema", "SELECT set_config('search_path', quote_ident($1), false)"};
    struct pg_params params = {0};
    pg_param_text(&params, PG_TEXT, pg->schema);
    struct pg_call call = {&statement, &params, NULL};
    bool ok = run(pg, &call, 1, err);
    pg_rows_free(call.rows);
    pg_params_free(&params);
    return ok;
}

static bool prepare_session(struct pg *pg, struct err *err)
{
    return pg_script(pg, session_settings, err) && (pg->profile != PG_HOT || pg_script(pg, hot_settings, err)) &&
           set_schema(pg, err);
}

/* A server that answers and says no (password, missing database) will say so again: a person must act. */
static enum err_kind connect_failure_kind(PGconn *conn)
{
    const char *text = PQerrorMessage(conn);
    bool refused = strstr(text, "authentication failed") || strstr(text, "does not exist") ||
                   strstr(text, "invalid") || strstr(text, "no password supplied");
    bool passing = strstr(text, "starting up") || strstr(text, "Connection refused") || strstr(text, "No such file");
    return refused && !passing ? ERR_FATAL : ERR_RETRY;
}

bool pg_connect(struct pg *pg, struct err *err)
{
    if (pg_connected(pg))
        return true;
    pg_disconnect(pg);
    const char *names[] = {"dbname", "fallback_application_name", "connect_timeout", "keepalives_idle",
                           "keepalives_interval", "keepalives_count", "tcp_user_timeout", NULL};
    const char *values[] = {pg->url, pg->application, "5", "10", "5", "3", "20000", NULL};
    pg->conn = PQconnectdbParams(names, values, 1);
    if (PQstatus(pg->conn) != CONNECTION_OK) {
        enum err_kind kind = connect_failure_kind(pg->conn);
        connection_error(pg, err);
        err->kind = kind;
        return false;
    }
    pg->connects++;
    if (prepare_session(pg, err))
        return true;
    pg_disconnect(pg);
    return false;
}

/* Leaves no open transaction behind a failure. */
static void roll_back(struct pg *pg)
{
    if (!pg_connected(pg) || PQtransactionStatus(pg->conn) == PQTRANS_IDLE)
        return;
    struct err ignored;
    struct pg_call rollback = {&PG_ROLLBACK, NULL, NULL};
    if (!run(pg, &rollback, 1, &ignored))
        pg_disconnect(pg);
    pg_rows_free(rollback.rows);
}

/* A batch with too much in one column is refused before anything is sent, so that it is halved. */
static bool check_sizes(const struct pg_call *calls, size_t calls_n, struct err *err)
{
    for (size_t i = 0; i < calls_n; i++) {
        for (size_t k = 0; calls[i].params && k < calls[i].params->n; k++) {
            if (calls[i].params->columns[k].data.failed)
                return err_set_code(err, ERR_REFUSED, "54000", "a parameter of %s is too large", calls[i].statement->name);
        }
    }
    return true;
}

static void check_calls(struct pg_call *calls, size_t calls_n)
{
    if (calls_n == 0 || calls_n > CALLS_MAX)
        abort(); /* a caller's mistake, not an input */
    for (size_t i = 0; i < calls_n; i++)
        calls[i].rows = NULL;
}

bool pg_try(struct pg *pg, struct pg_call *calls, size_t calls_n, struct err *err)
{
    check_calls(calls, calls_n);
    if (!pg_connected(pg) || PQtransactionStatus(pg->conn) == PQTRANS_IDLE)
        return err_set(err, ERR_RETRY, "PostgreSQL: the transaction was lost");
    return check_sizes(calls, calls_n, err) && run(pg, calls, calls_n, err);
}

bool pg_run(struct pg *pg, struct pg_call *calls, size_t calls_n, struct err *err)
{
    check_calls(calls, calls_n);
    if (!pg_connect(pg, err))
        return false;
    if (check_sizes(calls, calls_n, err) && run(pg, calls, calls_n, err))
        return true;
    roll_back(pg);
    return false;
}

bool pg_call(struct pg *pg, const struct pg_statement *statement, const struct pg_params *params,
             struct pg_rows **rows, struct err *err)
{
    struct pg_call call = {statement, params, NULL};
    if (!pg_run(pg, &call, 1, err))
        return false;
    if (rows)
        *rows = call.rows;
    else
        pg_rows_free(call.rows);
    return true;
}
