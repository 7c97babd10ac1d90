/* saga-worker-inventory: reserves stock, and releases it again. */
#include "saga/worker.h"

extern const struct pg_migration inventory_migrations[];

static const struct pg_statement take = {
    "inventory_take", "WITH taken AS (UPDATE stock SET available = available - $2 WHERE sku = $1 AND available >= $2 RETURNING sku)"
                      " INSERT INTO reservation (id, saga_id, sku, qty) SELECT $3, $4, sku, $2 FROM taken"};
static const struct pg_statement look = {"inventory_look", "SELECT available FROM stock WHERE sku = $1"};
static const struct pg_statement give_back = {
    "inventory_give_back", "WITH released AS (UPDATE reservation SET released = true WHERE id = $1 AND NOT released RETURNING sku, qty)"
                           " UPDATE stock SET available = available + qty FROM released WHERE stock.sku = released.sku"};

/* Why nothing could be taken. */
static enum worker_outcome refuse(struct worker_call *call, const char *sku, int64_t qty)
{
    struct pg_params params = {0};
    struct pg_rows *rows = NULL;
    pg_param_text(&params, PG_TEXT, sku);
    bool ok = worker_query(call, &look, &params, &rows);
    pg_params_free(&params);
    if (!ok)
        return WORKER_DATABASE;
    bool known = pg_rows_count(rows) == 1;
    long long left = known ? (long long)pg_get_int(rows, 0, 0) : 0;
    pg_rows_free(rows);
    if (!known)
        return worker_fail(call, "unknown_sku", "there is no article '%s'", sku);
    return worker_fail(call, "out_of_stock", "%lld wanted, %lld left", (long long)qty, left);
}

static enum worker_outcome reserve(struct worker_call *call)
{
    const char *sku;
    int64_t qty;
    if (!worker_text(call, "sku", &sku) || !worker_integer(call, "qty", 1, 1000000, &qty))
        return worker_bad_input(call);
    struct uuid id = uuid_v7();
    struct pg_params params = {0};
    struct pg_rows *rows = NULL;
    pg_param_text(&params, PG_TEXT, sku);
    pg_param_int(&params, PG_INT8, qty);
    pg_param_uuid(&params, &id);
    pg_param_uuid(&params, &call->saga_id);
    bool ok = worker_query(call, &take, &params, &rows);
    pg_params_free(&params);
    if (!ok)
        return WORKER_DATABASE;
    bool taken = pg_rows_affected(rows) == 1;
    pg_rows_free(rows);
    if (!taken)
        return refuse(call, sku, qty);
    char text[UUID_TEXT_MAX];
    worker_output(call, json_pack("{s:s}", "reservation_id", uuid_format(&id, text)));
    return WORKER_SUCCEEDED;
}

static enum worker_outcome release(struct worker_call *call)
{
    struct uuid id;
    const char *text = json_string_value(json_object_get(call->output, "reservation_id"));
    if (!text || !uuid_parse(text, &id))
        return worker_fail(call, "bad_input", "/output/reservation_id: expected a UUID");
    struct pg_params params = {0};
    pg_param_uuid(&params, &id);
    bool ok = worker_query(call, &give_back, &params, NULL);
    pg_params_free(&params);
    return ok ? WORKER_SUCCEEDED : WORKER_DATABASE;
}

int main(int argc, char **argv)
{
    static const struct worker_handler handlers[] = {{"reserve", reserve}, {"release", release}, {NULL, NULL}};
    const struct worker_spec spec = {"saga-worker-inventory", "example service: reserves stock", "inventory", handlers,
                                     inventory_migrations};
    return worker_main(&spec, argc, argv);
}
