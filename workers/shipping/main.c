/* saga-worker-shipping: makes shipments, and cancels them. */
#include "saga/worker.h"

extern const struct pg_migration shipping_migrations[];

static const struct pg_statement insert = {
    "shipping_insert", "INSERT INTO shipment (id, saga_id, country, address)"
                       " SELECT $1, $2, country, $4 FROM zone WHERE country = $3"};
static const struct pg_statement call_off = {"shipping_call_off", "UPDATE shipment SET cancelled = true WHERE id = $1"};

static enum worker_outcome ship(struct worker_call *call)
{
    const char *country, *address;
    if (!worker_text(call, "country", &country) || !worker_text(call, "address", &address))
        return worker_bad_input(call);
    struct uuid id = uuid_v7();
    struct pg_params params = {0};
    struct pg_rows *rows = NULL;
    pg_param_uuid(&params, &id);
    pg_param_uuid(&params, &call->saga_id);
    pg_param_text(&params, PG_TEXT, country);
    pg_param_text(&params, PG_TEXT, address);
    bool ok = worker_query(call, &insert, &params, &rows);
    pg_params_free(&params);
    if (!ok)
        return WORKER_DATABASE;
    bool made = pg_rows_affected(rows) == 1;
    pg_rows_free(rows);
    if (!made)
        return worker_fail(call, "undeliverable", "no carrier delivers to '%s'", country);
    char text[UUID_TEXT_MAX];
    worker_output(call, json_pack("{s:s}", "shipment_id", uuid_format(&id, text)));
    return WORKER_SUCCEEDED;
}

static enum worker_outcome cancel(struct worker_call *call)
{
    struct uuid id;
    const char *text = json_string_value(json_object_get(call->output, "shipment_id"));
    if (!text || !uuid_parse(text, &id))
        return worker_fail(call, "bad_input", "/output/shipment_id: expected a UUID");
    struct pg_params params = {0};
    pg_param_uuid(&params, &id);
    bool ok = worker_query(call, &call_off, &params, NULL);
    pg_params_free(&params);
    return ok ? WORKER_SUCCEEDED : WORKER_DATABASE;
}

int main(int argc, char **argv)
{
    static const struct worker_handler handlers[] = {{"ship", ship}, {"cancel", cancel}, {NULL, NULL}};
    const struct worker_spec spec = {"saga-worker-shipping", "example service: makes shipments", "shipping", handlers,
                                     shipping_migrations};
    return worker_main(&spec, argc, argv);
}
