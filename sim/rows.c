/* Tables, transactions and locks. */
#include "rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "simulation.h"

#define SCHEMAS_MAX 8
#define BUCKETS_MIN 64
#define LOCK_LOOK_US 200
#define DEADLOCK_US 1000000 /* deadlock_timeout */
#define LOCK_TIMEOUT_US 10000000

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
    const struct tx *waits_for;
    struct tx *next; /* of those that run */
};

static struct {
    struct schema *schemas[SCHEMAS_MAX];
    size_t schemas_n;
    struct tx *running;
    int64_t last_xid;
    sim_commit_hook *on_row;
    void (*on_end)(void);
} server = {.last_xid = 1000};

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
    /* what is stored is copied by new_image */
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
    return a->null == b->null && (a->null || (a->n == b->n && a->len == b->len && uuid_equal(&a->id, &b->id) &&
                                              (!a->len || memcmp(a->text, b->text, a->len) == 0)));
}

/* With its texts behind it. */
static struct image *new_image(const struct table *table, const struct cell *cells)
{
    size_t texts = 0, head = table->cells_n * sizeof cells[0];
    for (size_t i = 0; i < table->cells_n; i++)
        texts += cells[i].text ? cells[i].len + 1 : 0;
    struct image *image = mem_grow(NULL, head + texts, 1);
    char *at = (char *)image + head;
    memcpy(image->cells, cells, head);
    for (size_t i = 0; i < table->cells_n; i++) {
        if (!cells[i].text)
            continue;
        image->cells[i].text = memcpy(at, cells[i].text, cells[i].len);
        at[cells[i].len] = '\0';
        at += cells[i].len + 1;
    }
    return image;
}

void image_copy(struct image *to, const struct row *row, const struct image *from)
{
    memcpy(to->cells, from->cells, row->table->cells_n * sizeof to->cells[0]);
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
    } shapes[TABLES_N] = {
        [T_DEFINITION] = {"definition", D_CELLS}, [T_SAGA] = {"saga", S_CELLS},       [T_SAGA_KEY] = {"saga_key", K_CELLS}, [T_SAGA_LIVE] = {"saga_live", L_CELLS},
        [T_STEP] = {"step", P_CELLS},             [T_HISTORY] = {"history", H_CELLS}, [T_OUTBOX] = {"outbox", O_CELLS},
        [T_ENTITY_LOCK] = {"entity_lock", B_CELLS}, [T_CLAIM] = {"entity_claim", C_CELLS}, [T_TOUCH] = {"entity_touch", U_CELLS},
        [T_INBOX] = {"inbox", I_CELLS},           [T_CLOCK] = {"entity_clock", N_CELLS},
        [T_EFFECT] = {"effect", E_CELLS}};
    struct schema *schema = mem_alloc(sizeof *schema);
    snprintf(schema->name, sizeof schema->name, "%s", name);
    for (size_t i = 0; i < TABLES_N; i++) {
        schema->tables[i] = (struct table){.name = shapes[i].name, .cells_n = shapes[i].cells_n, .buckets_n = BUCKETS_MIN};
        schema->tables[i].buckets = mem_array(BUCKETS_MIN, sizeof(struct row *));
    }
    schema->tables[T_HISTORY].counts = true;
    schema->tables[T_SAGA].number = S_WAKE, schema->tables[T_SAGA].id = S_ID;
    schema->tables[T_OUTBOX].number = O_XID, schema->tables[T_OUTBOX].id = O_ID;
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

void tx_begin(struct session *session)
{
    struct tx *tx = mem_alloc(sizeof *tx);
    tx->schema = session->schema;
    tx->next = server.running;
    server.running = tx;
    session->tx = tx;
    session->failed = false;
}

static void tx_leave(struct session *session)
{
    struct tx **at = &server.running;
    while (*at != session->tx)
        at = &(*at)->next;
    *at = session->tx->next;
    session->tx = NULL; /* the struct stays: others may still compare with it */
}

static struct row **bucket_of(struct table *table, uint32_t hash)
{
    return &table->buckets[hash & (table->buckets_n - 1)];
}

/* Rows of one bucket stay in their order: somebody may be walking along them. */
static void grow(struct table *table)
{
    struct table old = *table;
    table->buckets_n = 4 * old.buckets_n;
    table->buckets = mem_array(table->buckets_n, sizeof *table->buckets);
    struct row ***tails = mem_array(table->buckets_n, sizeof *tails);
    for (size_t i = 0; i < table->buckets_n; i++)
        tails[i] = &table->buckets[i];
    for (size_t i = 0; i < old.buckets_n; i++) {
        for (struct row *row = old.buckets[i], *next; row; row = next) {
            struct row ***tail = &tails[row->hash & (table->buckets_n - 1)];
            next = row->next;
            row->next = NULL;
            **tail = row;
            *tail = &row->next;
        }
    }
    free(tails);
    free(old.buckets);
}

static struct row *new_row(struct table *table, const struct cell *cells)
{
    struct row *row = mem_alloc(sizeof *row);
    if (table->rows_n++ == table->buckets_n)
        grow(table);
    row->table = table;
    row->hash = hash_of(&cells[0]);
    row->next = *bucket_of(table, row->hash);
    *bucket_of(table, row->hash) = row;
    return row;
}

/* ---- rows in order ---- */

static bool stands_at(const struct image *image, const struct place *place)
{
    const struct table *table = place->row->table;
    return image && !image->cells[table->number].null && image->cells[table->number].n == place->n &&
           uuid_equal(&image->cells[table->id].id, &place->id);
}

static int place_compare(const struct place *a, const struct place *b)
{
    return a->n != b->n ? (a->n < b->n ? -1 : 1) : uuid_compare(&a->id, &b->id);
}

/* Drops the places that nobody stands at, from time to time. */
static void tidy(struct table *table)
{
    size_t kept = 0;
    if (table->order_n < table->tidy_at)
        return;
    for (size_t i = 0; i < table->order_n; i++) {
        const struct place *place = &table->order[i];
        if (stands_at(place->row->committed, place) || stands_at(place->row->pending, place))
            table->order[kept++] = *place;
    }
    table->order_n = kept;
    table->tidy_at = 2 * kept + 64;
}

static void put_in_order(struct row *row, const struct image *image)
{
    struct table *table = row->table;
    if (!table->number || !image || image->cells[table->number].null)
        return;
    struct place place = {image->cells[table->number].n, image->cells[table->id].id, row};
    size_t at = table->order_n;
    while (at && place_compare(&place, &table->order[at - 1]) < 0) /* most come last, or nearly so */
        at--;
    for (size_t i = at; i && place_compare(&place, &table->order[i - 1]) == 0; i--) {
        if (table->order[i - 1].row == row)
            return;
    }
    if (table->order_n == table->order_cap) {
        table->order_cap = table->order_cap ? 2 * table->order_cap : 64;
        table->order = mem_grow(table->order, table->order_cap, sizeof *table->order);
    }
    memmove(&table->order[at + 1], &table->order[at], (table->order_n - at) * sizeof *table->order);
    table->order[at] = place;
    table->order_n++;
}

/* The struct stays: others may wait for it. */
static void drop_if_dead(struct row *row)
{
    if (row->committed || row->owner)
        return;
    struct row **at = bucket_of(row->table, row->hash);
    while (*at != row)
        at = &(*at)->next;
    *at = row->next;
    row->table->rows_n--;
}

static void undo_to(struct tx *tx, size_t mark)
{
    while (tx->undo_n > mark) {
        struct undo *undo = &tx->undo[--tx->undo_n];
        if (undo->row->pending != undo->pending)
            free(undo->row->pending);
        undo->row->pending = undo->pending;
        undo->row->owner = undo->owner;
        put_in_order(undo->row, undo->pending);
        drop_if_dead(undo->row);
    }
}

void tx_rollback(struct session *session)
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

void tx_commit(struct session *session)
{
    struct tx *tx = session->tx;
    for (size_t i = 0; i < tx->undo_n; i++) {
        if (!tx->undo[i].owner) /* the first that this transaction did to the row */
            tell_row(tx, &tx->undo[i]);
    }
    if (tx->undo_n && server.on_end)
        server.on_end();
    for (size_t i = 0; i < tx->undo_n; i++) {
        struct row *row = tx->undo[i].row;
        if (tx->undo[i].owner)
            free(tx->undo[i].pending); /* replaced within the transaction */
        if (row->owner != tx)
            continue;
        free(row->committed);
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
    session->failed = false;
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
    struct row *next = row ? row->next : *bucket_of(&session->schema->tables[name], hash);
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

struct row *row_in_order(struct session *session, enum table_name name, size_t *at)
{
    struct table *table = &session->schema->tables[name];
    if (*at == 0)
        tidy(table);
    while (*at < table->order_n) {
        const struct place *place = &table->order[(*at)++];
        if (stands_at(row_seen(session, place->row), place))
            return place->row;
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
    while (row->owner == owner && !state && session->connected) {
        sim_sleep(sim_spread(LOCK_LOOK_US));
        int64_t waited_us = sim_now_us() - since_us;
        if (waited_us > DEADLOCK_US && waits_in_circle(mine))
            state = "40P01";
        else if (waited_us > LOCK_TIMEOUT_US)
            state = "55P03";
    }
    mine->waits_for = NULL;
    if (!session->connected)
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
    put_in_order(row, row->pending);
}

/* All that come behind it were numbered before it. */
static bool ends_before(const struct row *row, const struct cell *cells)
{
    const struct image *image = row->committed ? row->committed : row->pending;
    return row->table->counts && image->cells[1].n < cells[1].n;
}

bool row_insert(struct session *session, enum table_name name, const struct cell *cells, size_t keys_n, bool *inserted)
{
    for (struct row *row = NULL; keys_n && (row = row_next(session, name, cells, row)) && !ends_before(row, cells);) {
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
    row_write(session, new_row(&session->schema->tables[name], cells), cells);
    *inserted = true;
    return true;
}

void row_place(struct schema *schema, enum table_name name, const struct cell *cells)
{
    struct table *table = &schema->tables[name];
    struct row *row = new_row(table, cells);
    row->committed = new_image(table, cells);
}

const struct image *sim_committed(struct schema *schema, enum table_name name, struct cursor *cursor)
{
    const struct table *table = &schema->tables[name];
    do {
        cursor->row = cursor->row ? cursor->row->next : NULL;
        while (!cursor->row && cursor->bucket < table->buckets_n)
            cursor->row = table->buckets[cursor->bucket++];
    } while (cursor->row && !cursor->row->committed);
    return cursor->row ? cursor->row->committed : NULL;
}

void sim_on_commit(sim_commit_hook *row, void (*end)(void))
{
    server.on_row = row;
    server.on_end = end;
}
