/* saga-worker-payment: charges accounts, and refunds. */
#include "saga/worker.h"

extern const struct pg_migration payment_migrations[];

static const struct pg_statement debit = {
    "payment_debit",
    "WITH debited AS (UPDATE account SET balance = balance - $2 WHERE id = $1 AND NOT blocked AND balance >= $2"
    "  AND charge_max >= $2 AND outage_attempts <= $5 RETURNING id)"
    " INSERT INTO charge (id, saga_id, account, amount) SELECT $3, $4, id, $2 FROM debited"};
static const struct pg_statement look = {
    "payment_look", "SELECT blocked, balance < $2, charge_max < $2, outage_attempts FROM account WHERE id = $1"};
static const struct pg_statement credit = {
    "payment_credit", "WITH refunded AS (UPDATE charge SET refunded = true WHERE id = $1 AND NOT refunded RETURNING account, amount)"
                      " UPDATE account SET balance = balance + amount FROM refunded WHERE account.id = refunded.account"};

static enum worker_outcome decline(struct worker_call *call, const char *account, const struct pg_rows *rows)
{
    if (!pg_rows_count(rows))
        return worker_fail(call, "unknown_account", "there is no account '%s'", account);
    if (pg_get_bool(rows, 0, 0))
        return worker_fail(call, "card_declined", "the account is blocked");
    if (pg_get_bool(rows, 0, 1))
        return worker_fail(call, "card_declined", "the balance is too low");
    if (pg_get_bool(rows, 0, 2))
        return worker_fail(call, "card_declined", "the amount is above the account's limit");
    return worker_again(call, 0, "bank_unreachable", "the bank did not answer");
}

/* Why nothing was charged. */
static enum worker_outcome refuse(struct worker_call *call, const char *account, int64_t amount)
{
    struct pg_params params = {0};
    struct pg_rows *rows = NULL;
    pg_param_text(&params, PG_TEXT, account);
    pg_param_int(&params, PG_INT8, amount);
    bool ok = worker_query(call, &look, &params, &rows);
    pg_params_free(&params);
    enum worker_outcome outcome = ok ? decline(call, account, rows) : WORKER_DATABASE;
    pg_rows_free(rows);
    return outcome;
}

static enum worker_outcome charge(struct worker_call *call)
{
    const char *account;
    int64_t amount;
    if (!worker_text(call, "account", &account) || !worker_integer(call, "amount", 1, 100000000, &amount))
        return worker_bad_input(call);
    struct uuid id = uuid_v7();
    struct pg_params params = {0};
    struct pg_rows *rows = NULL;
    pg_param_text(&params, PG_TEXT, account);
    pg_param_int(&params, PG_INT8, amount);
    pg_param_uuid(&params, &id);
    pg_param_uuid(&params, &call->saga_id);
    pg_param_int(&params, PG_INT4, call->attempt);
    bool ok = worker_query(call, &debit, &params, &rows);
    pg_params_free(&params);
    if (!ok)
        return WORKER_DATABASE;
    bool charged = pg_rows_affected(rows) == 1;
    pg_rows_free(rows);
    if (!charged)
        return refuse(call, account, amount);
    char text[UUID_TEXT_MAX];
    worker_output(call, json_pack("{s:s}", "charge_id", uuid_format(&id, text)));
    return WORKER_SUCCEEDED;
}

static enum worker_outcome refund(struct worker_call *call)
{
    struct uuid id;
    const char *text = json_string_value(json_object_get(call->output, "charge_id"));
    if (!text || !uuid_parse(text, &id))
        return worker_fail(call, "bad_input", "/output/charge_id: expected a UUID");
    struct pg_params params = {0};
    pg_param_uuid(&params, &id);
    bool ok = worker_query(call, &credit, &params, NULL);
    pg_params_free(&params);
    return ok ? WORKER_SUCCEEDED : WORKER_DATABASE;
}

int main(int argc, char **argv)
{
    static const struct worker_handler handlers[] = {{"charge", charge}, {"refund", refund}, {NULL, NULL}};
    const struct worker_spec spec = {"saga-worker-payment", "example service: charges accounts", "payment", handlers,
                                     payment_migrations};
    return worker_main(&spec, argc, argv);
}
