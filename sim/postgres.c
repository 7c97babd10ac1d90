/* Connections and statements: pg/pg.h for simulated processes. */
#include "postgres.h"

#include <arpa/inet.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "simulation.h"

#define PG_EPOCH_MS 946684800000LL
#define TRIP_US 150           /* half a round trip, on the mean */
#define BETWEEN_US 15         /* from one statement of a batch to the next */
#define IDLE_TIMEOUT_US 10000000 /* idle_in_transaction_session_timeout */
#define LOST_SHARE 0.002      /* of the answers, with their connection */
#define SLOW_SHARE 0.002      /* of the round trips */
#define SLOW_US 300000

struct pg {
    struct session session;
    struct process *process;
    char *application;
    uint64_t connects;
    int64_t answered_us; /* the last statement's end */
    struct pg *next;
};

struct pg_rows {
    struct cell *cells;
    size_t rows_n, columns_n, cap, affected;
};

static struct {
    struct pg *all;
    int64_t epoch;
    int64_t away_until_us;
    bool calm;
} server = {.epoch = 1};

/* ---- connections ---- */

static void lose(struct pg *pg)
{
    pg->session.connected = false;
    tx_rollback(&pg->session);
}

static void on_kill(struct process *process)
{
    for (struct pg **at = &server.all; *at;) {
        struct pg *pg = *at;
        if (pg->process != process) {
            at = &pg->next;
            continue;
        }
        lose(pg);
        *at = pg->next;
    }
}

struct pg *pg_new(const char *url, const char *schema, const char *application, enum pg_profile profile)
{
    (void)url, (void)profile;
    static bool hooked;
    if (!hooked)
        sched_on_kill(on_kill);
    hooked = true;
    struct pg *pg = mem_alloc(sizeof *pg);
    pg->session = (struct session){.schema = sim_schema(schema)};
    pg->process = sim_process();
    pg->application = mem_strdup(application);
    pg->next = server.all;
    server.all = pg;
    return pg;
}

void pg_disconnect(struct pg *pg)
{
    lose(pg);
}

void pg_free(struct pg *pg)
{
    if (!pg)
        return;
    lose(pg);
    struct pg **at = &server.all;
    while (*at != pg)
        at = &(*at)->next;
    *at = pg->next;
    free(pg->application);
    free(pg);
}

bool pg_connected(const struct pg *pg)
{
    return pg->session.connected;
}

uint64_t pg_connects(const struct pg *pg)
{
    return pg->connects;
}

bool pg_in_transaction(const struct pg *pg)
{
    return pg->session.connected && pg->session.tx && !pg->session.failed;
}

bool pg_connect(struct pg *pg, struct err *err)
{
    if (pg->session.connected)
        return true;
    sim_sleep(sim_spread(4 * TRIP_US));
    if (sim_now_us() < server.away_until_us)
        return err_set(err, ERR_RETRY, "PostgreSQL: connection refused");
    pg->session.connected = true;
    pg->connects++;
    pg->answered_us = sim_now_us();
    return true;
}

static void travel(void)
{
    sim_sleep(!server.calm && sim_chance(SLOW_SHARE) ? sim_spread(SLOW_US) : sim_spread(TRIP_US));
    sim_danger("the database's door");
}

static bool connection_lost(struct pg *pg, struct err *err, bool in_doubt)
{
    lose(pg);
    err_set(err, ERR_RETRY, "PostgreSQL: server closed the connection unexpectedly");
    err->in_doubt = in_doubt;
    return false;
}

/* ---- statements ---- */

static struct cell read_value(enum pg_type type, const char *data, size_t len)
{
    struct cell cell = {0};
    uint32_t small;
    uint64_t large;
    switch (type) {
    case PG_BOOL:
        cell.n = *data;
        return cell;
    case PG_INT4:
        memcpy(&small, data, sizeof small);
        cell.n = (int32_t)ntohl(small);
        return cell;
    case PG_INT8:
    case PG_XID8:
    case PG_TIME:
        memcpy(&large, data, sizeof large);
        cell.n = (int64_t)be64toh(large);
        if (type == PG_TIME)
            cell.n = cell.n / 1000 + PG_EPOCH_MS;
        return cell;
    case PG_TID:
        memcpy(&small, data, sizeof small);
        cell.n = (int64_t)((uint64_t)ntohl(small) << 16 | (uint64_t)((unsigned char)data[4] << 8 | (unsigned char)data[5]));
        return cell;
    case PG_UUID:
        memcpy(cell.id.bytes, data, sizeof cell.id.bytes);
        return cell;
    case PG_TEXT:
    case PG_JSON:
        cell.text = mem_strndup(data, len);
        cell.len = len;
        return cell;
    }
    return cell;
}

static void read_array(const struct pg_column *column, struct arg *arg)
{
    const char *at = column->data.data + 20;
    arg->n = (size_t)column->count;
    arg->cells = mem_array(arg->n + 1, sizeof *arg->cells);
    for (size_t i = 0; i < arg->n; i++) {
        uint32_t len;
        memcpy(&len, at, sizeof len);
        len = ntohl(len);
        at += 4;
        if (len == UINT32_MAX) {
            arg->cells[i].null = true;
            continue;
        }
        arg->cells[i] = read_value(column->type, at, len);
        at += len;
    }
}

static void read_args(const struct pg_params *params, struct args *args)
{
    args->n = params ? params->n : 0;
    for (size_t i = 0; i < args->n; i++) {
        const struct pg_column *column = &params->columns[i];
        struct arg *arg = &args->of[i];
        if (column->array) {
            read_array(column, arg);
            continue;
        }
        arg->n = 1;
        arg->cells = mem_array(1, sizeof *arg->cells);
        if (column->null)
            arg->cells[0].null = true;
        else
            arg->cells[0] = read_value(column->type, column->data.data, column->data.len);
    }
}

static void free_args(struct args *args)
{
    for (size_t i = 0; i < args->n; i++) {
        for (size_t k = 0; k < args->of[i].n; k++)
            free(args->of[i].cells[k].text);
        free(args->of[i].cells);
    }
}

static const struct model *model_of(const struct pg_statement *statement)
{
    for (const struct model *model = sim_models; model->name; model++) {
        if (strcmp(model->name, statement->name) != 0)
            continue;
        uint32_t sum = (uint32_t)hash_bytes(statement->sql, strlen(statement->sql), 0);
        if (sum != model->sum)
            sim_fail("the SQL of %s was changed: its model must do the same, then its sum is 0x%08x", statement->name, sum);
        return model;
    }
    sim_fail("the simulator has no model of the statement %s", statement->name);
}

/* One statement inside a transaction. */
static bool execute(struct session *session, const struct pg_call *call, struct pg_rows *rows)
{
    struct args args;
    read_args(call->params, &args);
    bool ok = model_of(call->statement)->run(session, &args, rows);
    free_args(&args);
    if (session->tx && !session->connected)
        tx_rollback(session);
    return ok;
}

static bool is_begin(const struct pg_statement *statement)
{
    return strncmp(statement->sql, "BEGIN", 5) == 0;
}

/* The statements of one batch; *own says that its transaction ends with it. */
static bool execute_all(struct session *session, struct pg_call *calls, size_t n, struct err *err)
{
    bool own = !session->tx && !is_begin(calls[0].statement);
    bool snapshot = strstr(calls[0].statement->sql, "REPEATABLE READ") != NULL; /* nothing comes in between */
    session->err = err;
    if (own)
        tx_begin(session);
    for (size_t i = 0; i < n; i++) {
        const struct pg_statement *statement = calls[i].statement;
        if (i && !snapshot)
            sim_sleep(sim_spread(BETWEEN_US));
        if (!session->connected)
            return sql_error(session, "57P01", "terminating connection");
        calls[i].rows = mem_alloc(sizeof *calls[i].rows);
        if (is_begin(statement)) {
            tx_begin(session);
        } else if (statement == &PG_COMMIT) {
            tx_commit(session);
        } else if (statement == &PG_ROLLBACK) {
            tx_rollback(session);
        } else if (statement != &PG_NO_WAIT && !execute(session, &calls[i], calls[i].rows)) {
            if (session->tx)
                session->failed = true;
            if (session->tx && own)
                tx_rollback(session);
            return false;
        }
    }
    if (own && session->tx)
        tx_commit(session);
    return true;
}

static bool ends_in_commit(const struct pg *pg, const struct pg_call *calls, size_t n)
{
    return calls[n - 1].statement == &PG_COMMIT || (!pg->session.tx && calls[0].statement != &PG_BEGIN);
}

static void free_rows(struct pg_call *calls, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        pg_rows_free(calls[i].rows);
        calls[i].rows = NULL;
    }
}

static bool run(struct pg *pg, struct pg_call *calls, size_t n, struct err *err)
{
    struct pg_call kept[16]; /* results come with the answer only */
    bool commits = ends_in_commit(pg, calls, n);
    memcpy(kept, calls, n * sizeof *calls);
    if (pg->session.tx && sim_now_us() - pg->answered_us > IDLE_TIMEOUT_US)
        return connection_lost(pg, err, commits); /* the server has ended it */
    travel();
    if (!pg->session.connected || (!server.calm && sim_chance(LOST_SHARE / 2)))
        return connection_lost(pg, err, commits);
    bool ok = execute_all(&pg->session, kept, n, err);
    travel();
    pg->answered_us = sim_now_us();
    if (!pg->session.connected || (!server.calm && sim_chance(LOST_SHARE / 2))) {
        free_rows(kept, n);
        return connection_lost(pg, err, commits);
    }
    if (!ok) {
        free_rows(kept, n);
        return false;
    }
    memcpy(calls, kept, n * sizeof *calls);
    return true;
}

bool pg_try(struct pg *pg, struct pg_call *calls, size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++)
        calls[i].rows = NULL;
    if (!pg->session.connected || !pg->session.tx)
        return err_set(err, ERR_RETRY, "PostgreSQL: the transaction was lost");
    return run(pg, calls, n, err);
}

bool pg_run(struct pg *pg, struct pg_call *calls, size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++)
        calls[i].rows = NULL;
    *err = (struct err){0};
    if (!pg_connect(pg, err))
        return false;
    if (run(pg, calls, n, err))
        return true;
    if (pg->session.connected)
        tx_rollback(&pg->session);
    return false;
}

bool pg_call(struct pg *pg, const struct pg_statement *statement, const struct pg_params *params, struct pg_rows **rows,
             struct err *err)
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

bool pg_migrate(struct pg *pg, const struct pg_migration *migrations, int *applied, struct err *err)
{
    (void)migrations; /* the tables are here */
    *applied = 0;
    return pg_connect(pg, err);
}

/* ---- results ---- */

struct cell *sim_result(struct pg_rows *rows, size_t n)
{
    rows->columns_n = n;
    if (rows->rows_n == rows->cap) {
        rows->cap = rows->cap ? 2 * rows->cap : 8;
        rows->cells = mem_grow(rows->cells, rows->cap * n, sizeof *rows->cells);
    }
    struct cell *row = &rows->cells[rows->rows_n++ * n];
    for (size_t i = 0; i < n; i++)
        row[i] = (struct cell){.null = true};
    return row;
}

void sim_affected(struct pg_rows *rows, size_t n)
{
    rows->affected = n;
}

void pg_rows_free(struct pg_rows *rows)
{
    if (!rows)
        return;
    for (size_t i = 0; i < rows->rows_n * rows->columns_n; i++)
        free(rows->cells[i].text);
    free(rows->cells);
    free(rows);
}

static const struct cell *cell_at(const struct pg_rows *rows, size_t row, int column)
{
    if (row >= rows->rows_n || (size_t)column >= rows->columns_n)
        sim_fail("a result has no column %d of row %zu", column, row);
    return &rows->cells[row * rows->columns_n + (size_t)column];
}

size_t pg_rows_count(const struct pg_rows *rows)
{
    return rows->rows_n;
}

size_t pg_rows_affected(const struct pg_rows *rows)
{
    return rows->affected;
}

bool pg_is_null(const struct pg_rows *rows, size_t row, int column)
{
    return cell_at(rows, row, column)->null;
}

bool pg_get_bool(const struct pg_rows *rows, size_t row, int column)
{
    return cell_at(rows, row, column)->n != 0;
}

int64_t pg_get_int(const struct pg_rows *rows, size_t row, int column)
{
    return cell_at(rows, row, column)->n;
}

const char *pg_get_text(const struct pg_rows *rows, size_t row, int column, size_t *len)
{
    const struct cell *cell = cell_at(rows, row, column);
    if (len)
        *len = cell->len;
    return cell->null ? NULL : cell->text;
}

struct uuid pg_get_uuid(const struct pg_rows *rows, size_t row, int column)
{
    return cell_at(rows, row, column)->id;
}

int64_t pg_get_time(const struct pg_rows *rows, size_t row, int column)
{
    return cell_at(rows, row, column)->n;
}

uint64_t pg_get_tid(const struct pg_rows *rows, size_t row, int column)
{
    return (uint64_t)cell_at(rows, row, column)->n;
}

/* ---- the world's hand ---- */

void sim_postgres_crash(int64_t away_us)
{
    sim_trace("PostgreSQL crashes, away for %lld us", (long long)away_us);
    for (struct pg *pg = server.all; pg; pg = pg->next)
        lose(pg);
    server.epoch++;
    server.away_until_us = sim_now_us() + away_us;
}

void sim_postgres_cut(void)
{
    size_t n = 0;
    for (struct pg *pg = server.all; pg; pg = pg->next)
        n++;
    n = sim_below(n);
    for (struct pg *pg = server.all; pg; pg = pg->next) {
        if (n--)
            continue;
        sim_trace("the connection of %s is cut", pg->application);
        lose(pg);
    }
}

void sim_postgres_calm(void)
{
    server.calm = true;
}

int64_t sim_postgres_epoch(void)
{
    return server.epoch;
}
