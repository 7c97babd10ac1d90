#include "postgres.h"

#include <arpa/inet.h>
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"

#define SCHEMAS_MAX 8
#define PG_EPOCH_MS 946684800000LL
#define TRIP_US 150           /* half a round trip, on the mean */
#define BETWEEN_US 15         /* from one statement of a batch to the next */
#define LOCK_LOOK_US 200
#define DEADLOCK_US 1000000   /* deadlock_timeout */
#define LOCK_TIMEOUT_US 10000000
#define IDLE_TIMEOUT_US 10000000 /* idle_in_transaction_session_timeout */
#define LOST_SHARE 0.002      /* of the answers, with their connection */
#define SLOW_SHARE 0.002      /* of the round trips */
#define SLOW_US 300000

struct undo {
    struct row *row;
    struct image *pending;
    struct tx *owner;
};

struct tx {
    int64_t xid; /* 0 until it has one */
    struct schema *schema;
    struct undo *undo;
    size_t undo_n, undo_cap;
    size_t savepoint;
    bool failed;  /* only ROLLBACK is heard */
    const struct tx *waits_for;
    struct tx *next; /* of those that run */
};

struct pg {
    struct session session;
    struct process *process;
    char *application;
    bool connected;
    uint64_t connects;
    int64_t answered_us; /* the last statement's end */
    struct pg *next;
};

struct pg_rows {
    struct cell *cells;
    size_t rows_n, columns_n, cap, affected;
};

static struct {
    struct schema *schemas[SCHEMAS_MAX];
    size_t schemas_n;
    struct tx *running;
    int64_t last_xid;
    struct pg *all;
    int64_t epoch;
    int64_t away_until_us;
    bool calm;
    sim_commit_hook *on_row;
    void (*on_end)(int64_t xid);
} server = {.last_xid = 1000, .epoch = 1};

/* ---- cells and images ---- */

struct cell cell_int(int64_t n)
{
    return (struct cell){.n = n};
}

struct cell cell_time(int64_t ms)
{
    return (struct cell){.null = !ms, .n = ms};
}

struct cell cell_id(const struct uuid *id)
{
    return (struct cell){.id = *id};
}

struct cell cell_text(const char *text)
{
    /* stored copies are made by copy_cell */
    return (struct cell){.null = !text, .text = text ? (char *)(uintptr_t)text : NULL, .len = text ? strlen(text) : 0};
}

int cell_compare(const struct cell *a, const struct cell *b)
{
    if (a->null || b->null)
        return (int)b->null - (int)a->null;
    if (a->n != b->n)
        return a->n < b->n ? -1 : 1;
    int order = uuid_compare(&a->id, &b->id);
    size_t least = a->len < b->len ? a->len : b->len;
    if (!order && least)
        order = memcmp(a->text, b->text, least);
    return order ? order : (a->len > b->len) - (a->len < b->len);
}

bool cell_equal(const struct cell *a, const struct cell *b)
{
    return cell_compare(a, b) == 0;
}

static struct cell copy_cell(const struct cell *cell)
{
    struct cell copy = *cell;
    if (copy.text)
        copy.text = mem_strndup(cell->text, cell->len);
    return copy;
}

static struct image *new_image(const struct table *table, const struct cell *cells)
{
    struct image *image = mem_alloc(sizeof *image);
    for (size_t i = 0; i < table->cells_n; i++)
        image->cells[i] = copy_cell(&cells[i]);
    return image;
}

static void free_image(struct image *image)
{
    for (size_t i = 0; image && i < CELLS_MAX; i++)
        free(image->cells[i].text);
    free(image);
}

static uint32_t hash_of(const struct cell *cell)
{
    uint64_t hash = hash_bytes(cell->id.bytes, sizeof cell->id.bytes, (uint64_t)cell->n);
    if (cell->text)
        hash = hash_bytes(cell->text, cell->len, hash);
    return (uint32_t)(hash ^ hash >> 32);
}

/* ---- schemas ---- */

static struct schema *new_schema(const char *name)
{
    static const struct {
        const char *name;
        size_t cells_n;
    } shapes[TABLES_N] = {{"definition", 5}, {"saga", 12}, {"saga_key", 2}, {"step", 12},
                          {"history", 3},    {"outbox", 9}, {"inbox", 6},    {"effect", 4}};
    struct schema *schema = mem_alloc(sizeof *schema);
    snprintf(schema->name, sizeof schema->name, "%s", name);
    for (size_t i = 0; i < TABLES_N; i++) {
        schema->tables[i].name = shapes[i].name;
        schema->tables[i].cells_n = shapes[i].cells_n;
    }
    return schema;
}

struct schema *sim_schema(const char *name)
{
    for (size_t i = 0; i < server.schemas_n; i++) {
        if (strcmp(server.schemas[i]->name, name) == 0)
            return server.schemas[i];
    }
    if (server.schemas_n == SCHEMAS_MAX)
        sim_fail("the simulator has no room for another schema");
    return server.schemas[server.schemas_n++] = new_schema(name);
}

struct schema *sim_schema_at(size_t i)
{
    return i < server.schemas_n ? server.schemas[i] : NULL;
}

/* ---- transactions ---- */

static struct tx *tx_begin(struct session *session)
{
    struct tx *tx = mem_alloc(sizeof *tx);
    tx->schema = session->schema;
    tx->next = server.running;
    server.running = tx;
    return session->tx = tx;
}

static void tx_leave(struct session *session)
{
    struct tx **at = &server.running;
    while (*at != session->tx)
        at = &(*at)->next;
    *at = session->tx->next;
    session->tx = NULL; /* the struct stays: others may still compare with it */
}

/* The struct stays: others may wait for it. */
static void drop_if_dead(struct row *row)
{
    if (row->committed || row->owner)
        return;
    struct row **at = &row->table->buckets[row->hash % BUCKETS];
    while (*at != row)
        at = &(*at)->next;
    *at = row->next;
}

static void undo_to(struct tx *tx, size_t mark)
{
    while (tx->undo_n > mark) {
        struct undo *undo = &tx->undo[--tx->undo_n];
        if (undo->row->pending != undo->pending)
            free_image(undo->row->pending);
        undo->row->pending = undo->pending;
        undo->row->owner = undo->owner;
        drop_if_dead(undo->row);
    }
}

static void tx_rollback(struct session *session)
{
    if (!session->tx)
        return;
    undo_to(session->tx, 0);
    free(session->tx->undo);
    session->tx->undo = NULL;
    tx_leave(session);
}

static void tell_row(struct tx *tx, const struct undo *undo)
{
    enum table_name name = (enum table_name)(undo->row->table - tx->schema->tables);
    if (server.on_row)
        server.on_row(tx->schema, name, undo->row->committed, undo->row->pending, tx->xid);
}

static void tx_commit(struct session *session)
{
    struct tx *tx = session->tx;
    for (size_t i = 0; i < tx->undo_n; i++) {
        if (!tx->undo[i].owner) /* the first that this transaction did to the row */
            tell_row(tx, &tx->undo[i]);
    }
    if (tx->undo_n && server.on_end)
        server.on_end(tx->xid);
    for (size_t i = 0; i < tx->undo_n; i++) {
        struct row *row = tx->undo[i].row;
        if (tx->undo[i].owner)
            free_image(tx->undo[i].pending); /* replaced within the transaction */
        if (row->owner != tx)
            continue;
        free_image(row->committed);
        row->committed = row->pending;
        row->pending = NULL;
        row->owner = NULL;
        drop_if_dead(row);
    }
    free(tx->undo);
    tx->undo = NULL;
    tx_leave(session);
}

void tx_save(struct session *session)
{
    session->tx->savepoint = session->tx->undo_n;
}

void tx_return(struct session *session)
{
    undo_to(session->tx, session->tx->savepoint);
    session->tx->failed = false;
}

int64_t sim_xid(struct session *session)
{
    if (!session->tx->xid)
        session->tx->xid = ++server.last_xid;
    return session->tx->xid;
}

int64_t sim_xmin(void)
{
    int64_t least = server.last_xid + 1;
    for (const struct tx *tx = server.running; tx; tx = tx->next) {
        if (tx->xid && tx->xid < least)
            least = tx->xid;
    }
    return least;
}

int64_t sim_server_ms(void)
{
    return clock_real_ms() - (sim_process() ? sim_process()->skew_us / 1000 : 0);
}

bool sql_error(struct session *session, const char *state, const char *text)
{
    bool passing = strncmp(state, "40", 2) == 0 || strcmp(state, "55P03") == 0 || strncmp(state, "57P", 3) == 0;
    return err_set_code(session->err, passing ? ERR_RETRY : ERR_REFUSED, state, "PostgreSQL: %s", text);
}

/* ---- rows ---- */

const struct image *row_seen(const struct session *session, const struct row *row)
{
    return row->owner && row->owner == session->tx ? row->pending : row->committed;
}

bool row_is_locked(const struct session *session, const struct row *row)
{
    return row->owner && row->owner != session->tx;
}

static bool has_keys(const struct image *image, const struct cell *key, size_t keys_n)
{
    for (size_t i = 0; image && i < keys_n; i++) {
        if (!cell_equal(&image->cells[i], &key[i]))
            return false;
    }
    return image != NULL;
}

struct row *row_next(struct session *session, enum table_name name, const struct cell *key, const struct row *row)
{
    uint32_t hash = hash_of(key);
    struct row *next = row ? row->next : session->schema->tables[name].buckets[hash % BUCKETS];
    while (next && (next->hash != hash || !(has_keys(next->committed, key, 1) || has_keys(next->pending, key, 1))))
        next = next->next;
    return next;
}

struct row *row_find(struct session *session, enum table_name name, const struct cell *key, size_t keys_n)
{
    for (struct row *row = NULL; (row = row_next(session, name, key, row));) {
        if (has_keys(row_seen(session, row), key, keys_n))
            return row;
    }
    return NULL;
}

static bool waits_in_circle(const struct tx *tx)
{
    const struct tx *at = tx->waits_for;
    for (int steps = 0; at && steps < 100; steps++, at = at->waits_for) {
        if (at == tx)
            return true;
    }
    return false;
}

static bool wait_for_owner(struct session *session, const struct row *row)
{
    struct tx *mine = session->tx;
    const struct tx *owner = row->owner;
    int64_t since_us = sim_now_us();
    const char *state = NULL;
    mine->waits_for = owner;
    while (row->owner == owner && !state && session->pg->connected) {
        sim_sleep(sim_spread(LOCK_LOOK_US));
        int64_t waited_us = sim_now_us() - since_us;
        if (waited_us > DEADLOCK_US && waits_in_circle(mine))
            state = "40P01";
        else if (waited_us > LOCK_TIMEOUT_US)
            state = "55P03";
    }
    mine->waits_for = NULL;
    if (!session->pg->connected)
        state = "57P01";
    return !state || sql_error(session, state, "gave up waiting for a lock");
}

static void remember(struct session *session, struct row *row)
{
    struct tx *tx = session->tx;
    if (tx->undo_n == tx->undo_cap) {
        tx->undo_cap = tx->undo_cap ? 2 * tx->undo_cap : 16;
        tx->undo = mem_grow(tx->undo, tx->undo_cap, sizeof *tx->undo);
    }
    tx->undo[tx->undo_n++] = (struct undo){row, row->pending, row->owner};
    sim_xid(session);
}

bool row_lock(struct session *session, struct row *row, const struct image **seen)
{
    while (row_is_locked(session, row)) {
        if (!wait_for_owner(session, row))
            return false;
    }
    *seen = row_seen(session, row);
    if (!*seen || row->owner == session->tx)
        return true;
    remember(session, row);
    row->owner = session->tx;
    row->pending = new_image(row->table, row->committed->cells);
    *seen = row->pending;
    return true;
}

void row_write(struct session *session, struct row *row, const struct cell *cells)
{
    remember(session, row);
    row->owner = session->tx;
    row->pending = cells ? new_image(row->table, cells) : NULL;
}

bool row_insert(struct session *session, enum table_name name, const struct cell *cells, size_t keys_n, bool *inserted)
{
    struct table *table = &session->schema->tables[name];
    for (struct row *row = NULL; keys_n && (row = row_next(session, name, cells, row));) {
        if (!has_keys(row->committed, cells, keys_n) && !has_keys(row->pending, cells, keys_n))
            continue;
        if (row_is_locked(session, row)) {
            if (!wait_for_owner(session, row))
                return false;
            row = NULL; /* look again from the beginning */
            continue;
        }
        *inserted = false;
        if (row_seen(session, row))
            return true;
    }
    struct row *row = mem_alloc(sizeof *row);
    row->table = table;
    row->hash = hash_of(&cells[0]);
    row->next = table->buckets[row->hash % BUCKETS];
    table->buckets[row->hash % BUCKETS] = row;
    row_write(session, row, cells);
    *inserted = true;
    return true;
}

const struct image *sim_committed(struct schema *schema, enum table_name name, struct cursor *cursor)
{
    const struct table *table = &schema->tables[name];
    do {
        cursor->row = cursor->row ? cursor->row->next : NULL;
        while (!cursor->row && cursor->bucket < BUCKETS)
            cursor->row = table->buckets[cursor->bucket++];
    } while (cursor->row && !cursor->row->committed);
    return cursor->row ? cursor->row->committed : NULL;
}

void sim_on_commit(sim_commit_hook *row, void (*end)(int64_t xid))
{
    server.on_row = row;
    server.on_end = end;
}

/* ---- connections ---- */

static void lose(struct pg *pg)
{
    pg->connected = false;
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
    pg->session = (struct session){.pg = pg, .schema = sim_schema(schema)};
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
    return pg->connected;
}

uint64_t pg_connects(const struct pg *pg)
{
    return pg->connects;
}

bool pg_in_transaction(const struct pg *pg)
{
    return pg->connected && pg->session.tx && !pg->session.tx->failed;
}

bool pg_connect(struct pg *pg, struct err *err)
{
    if (pg->connected)
        return true;
    sim_sleep(sim_spread(4 * TRIP_US));
    if (sim_now_us() < server.away_until_us)
        return err_set(err, ERR_RETRY, "PostgreSQL: connection refused");
    pg->connected = true;
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
    if (session->tx && !session->pg->connected)
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
        if (!session->pg->connected)
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
                session->tx->failed = true;
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
    if (!pg->connected || (!server.calm && sim_chance(LOST_SHARE / 2)))
        return connection_lost(pg, err, commits);
    bool ok = execute_all(&pg->session, kept, n, err);
    travel();
    pg->answered_us = sim_now_us();
    if (!pg->connected || (!server.calm && sim_chance(LOST_SHARE / 2))) {
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
    if (!pg->connected || !pg->session.tx)
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
    if (pg->connected)
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
