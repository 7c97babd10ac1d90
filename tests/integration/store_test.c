/* orchestrator/store on a real PostgreSQL: sagas survive the way to the database and back. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "presence/presence.h"
#include "query.h"
#include "servers.h"
#include "store/store.h"
#include "suite.h"

#define OK(call) ck_assert_msg((call), "%s: %s", #call, err.text)

static struct pg *pg;
static struct err err;
static struct arena arena;
static struct catalog *catalog;

static void open_store(void)
{
    char *schema = servers_unique_name();
    int applied;
    pg = pg_new(servers_database_url(), schema, "store_test", PG_HOT);
    OK(store_migrate(pg, &applied, &err));
    ck_assert_int_gt(applied, 0);
    catalog = catalog_new();
    free(schema);
}

static void close_store(void)
{
    catalog_free(catalog);
    arena_free(&arena);
    pg_free(pg);
}

static struct definition *definition_of(const char *timeout)
{
    char *text = arena_printf(&arena,
                              "{\"name\":\"order\",\"steps\":["
                              "{\"name\":\"a\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\",\"timeout\":\"%s\"},"
                              "{\"name\":\"b\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\"}]}",
                              timeout);
    struct problems problems = {0};
    json_t *source = json_read(text, strlen(text), &err);
    struct definition *definition = definition_read(source, &problems);
    json_decref(source);
    ck_assert_ptr_nonnull(definition);
    return definition;
}

static void put_definition(const char *timeout, int expected_version, bool expected_new)
{
    struct definition *definition = definition_of(timeout);
    int version = 0;
    bool created = false;
    OK(store_put_definition(pg, definition, &version, &created, &err));
    ck_assert_int_eq(version, expected_version);
    ck_assert_int_eq(created, expected_new);
    definition_free(definition);
}

START_TEST(definitions_have_versions)
{
    open_store();
    put_definition("1s", 1, true);
    put_definition("1s", 1, false);
    put_definition("2s", 2, true);
    put_definition("1s", 3, true);
    struct store_definition *all, one;
    size_t n;
    bool found;
    OK(store_list_definitions(pg, &arena, "", 10, &all, &n, &err));
    ck_assert_uint_eq(n, 1);
    ck_assert_int_eq(all[0].version, 3);
    OK(store_get_definition(pg, &arena, "order", 2, &one, &found, &err));
    ck_assert(found);
    ck_assert_ptr_nonnull(strstr(one.source, "2s"));
    OK(store_get_definition(pg, &arena, "order", 9, &one, &found, &err));
    ck_assert(!found);
    const struct definition *compiled = catalog_get(catalog, pg, "order", 0, &err);
    ck_assert_int_eq(compiled->version, 3);
    ck_assert_ptr_eq(catalog_get(catalog, pg, "order", 3, &err), compiled);
    ck_assert_ptr_null(catalog_get(catalog, pg, "nothing", 0, &err));
    ck_assert_int_eq(err.kind, ERR_REFUSED);
    close_store();
}
END_TEST

/* Applies the event and gives every command an outbox row. */
static struct store_change apply(struct saga *saga, const struct event *event, int64_t now_ms)
{
    struct effects effects = {.arena = &arena, .new_id = uuid_v7};
    struct store_change change = {.saga = saga};
    machine_apply(saga, event, now_ms, &effects);
    change.history = effects.history;
    for (const struct command *command = effects.commands; command; command = command->next) {
        struct store_message *message = arena_alloc(&arena, sizeof *message);
        *message = (struct store_message){.id = command->id, .topic = "t", .key = "k", .headers = "{}",
                                          .value = command->value, .value_len = command->value_len};
        message->next = (struct store_message *)(uintptr_t)change.messages;
        change.messages = message;
    }
    return change;
}

static struct saga *new_saga(void)
{
    const struct definition *definition = catalog_get(catalog, pg, "order", 0, &err);
    struct saga *saga = arena_alloc(&arena, sizeof *saga);
    *saga = (struct saga){.id = uuid_v7(), .definition = definition, .input = "{\"n\":19.99}", .input_len = 11};
    saga->steps = arena_array(&arena, definition->steps_n, sizeof *saga->steps);
    return saga;
}

static struct store_change start(struct saga *saga, int64_t now_ms, const char *key)
{
    struct store_change change = apply(saga, &(struct event){.type = EVENT_START}, now_ms);
    change.is_new = true;
    change.saga->idempotency_key = key;
    return change;
}

static bool save(struct store_change *changes, size_t n)
{
    return store_save(pg, changes, n, &(struct store_terms){0}, &err);
}

static struct saga *load_one(const struct uuid *id)
{
    struct saga *sagas;
    size_t n;
    OK(store_load(pg, &arena, catalog, id, 1, &sagas, &n, &err));
    ck_assert_uint_eq(n, 1);
    return sagas;
}

START_TEST(a_saga_survives_the_way_to_the_database_and_back)
{
    open_store();
    put_definition("1s", 1, true);
    struct saga *saga = new_saga();
    struct uuid id = saga->id;
    struct store_change change = start(saga, clock_real_ms(), "key-1");
    OK(save(&change, 1));
    saga = load_one(&id);
    ck_assert_int_eq(saga->steps[0].state, STEP_RUNNING);
    ck_assert_int_eq(saga->version, 1);
    ck_assert_str_eq(saga->input, "{\"n\":19.99}");
    ck_assert_int_gt(saga->wake_ms, 0);
    bool waits[1];
    OK(store_unreleased(pg, &id, (const int[]){0}, 1, waits, &err));
    ck_assert(waits[0]);
    OK(store_withdraw(pg, &id, (const int[]){0}, 1, waits, &err));
    ck_assert(waits[0]);
    OK(store_unreleased(pg, &id, (const int[]){0}, 1, waits, &err));
    ck_assert(!waits[0]);
    change = apply(saga, &(struct event){.type = EVENT_REPLY, .round = 1, .attempt = 1, .outcome = OUTCOME_SUCCEEDED,
                                         .output = "{\"id\":7}", .output_len = 8}, clock_real_ms());
    OK(store_save(pg, &change, 1, &(struct store_terms){.begun = true}, &err));
    saga = load_one(&id);
    ck_assert_int_eq(saga->steps[0].state, STEP_SUCCEEDED);
    ck_assert_str_eq(saga->steps[0].output, "{\"id\":7}");
    ck_assert_int_eq(saga->steps[1].state, STEP_RUNNING);
    ck_assert_int_eq(saga->steps[1].attempt, 1);
    change = apply(saga, &(struct event){.type = EVENT_REPLY, .step = 1, .round = 1, .attempt = 1,
                                         .outcome = OUTCOME_FAILED, .error = "{\"code\":\"no\"}"}, clock_real_ms());
    OK(save(&change, 1));

    struct store_saga_view view, *list;
    struct store_step_row steps[2];
    bool found;
    size_t n;
    OK(store_get_saga(pg, &arena, &id, &view, &found, &err));
    ck_assert(found);
    ck_assert_str_eq(view.state, "COMPENSATING");
    OK(store_get_steps(pg, &arena, &id, steps, 2, &err));
    ck_assert_str_eq(steps[0].state, "COMPENSATING");
    ck_assert_str_eq(steps[1].state, "FAILED");
    ck_assert_str_eq(steps[1].error, "{\"code\":\"no\"}");
    int64_t id_ms = uuid_v7_ms(&id);
    const struct {
        struct store_filter filter;
        size_t n;
    } lists[] = {
        {{0}, 1},
        {{.state = "COMPENSATING", .definition = "order"}, 1},
        {{.state = "COMPLETED"}, 0},
        {{.definition = "other"}, 0},
        {{.before = &id}, 0},
        {{.from_ms = id_ms, .to_ms = id_ms + 1}, 1},
        {{.from_ms = id_ms + 1}, 0},
        {{.to_ms = id_ms}, 0},
        {{.to_ms = id_ms + 1, .before = &id}, 0},
    };
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        OK(store_list_sagas(pg, &arena, &lists[i].filter, 10, &list, &n, &err));
        ck_assert_msg(n == lists[i].n, "list %zu: %zu", i, n);
    }
    const char **entries;
    int64_t seq;
    OK(store_get_history(pg, &arena, &id, 0, 10, &entries, &n, &seq, &err));
    ck_assert_uint_eq(n, 3);
    ck_assert_int_eq(seq, 3);
    ck_assert_ptr_nonnull(strstr(entries[2], "\"event\":\"compensation_sent\",\"step\":\"a\",\"attempt\":1"));
    json_t *parsed = json_read(entries[2], strlen(entries[2]), &err);
    ck_assert_uint_eq(json_array_size(parsed), 3);
    json_decref(parsed);
    close_store();
}
END_TEST

static int64_t count_scans(void)
{
    static const struct pg_statement scans = {
        "scans", "SELECT coalesce(sum(seq_scan), 0)::bigint FROM pg_stat_user_tables WHERE schemaname = current_schema()"
                 " AND relname IN ('saga', 'step', 'history', 'outbox')"};
    static const struct pg_statement flush = {"flush", "SELECT pg_stat_force_next_flush()"};
    OK(pg_call(pg, &flush, NULL, NULL, &err));
    return query_number(pg, &scans);
}

START_TEST(a_batch_writes_many_sagas_at_once_and_scans_no_table)
{
    enum { N = 200 };
    open_store();
    put_definition("1s", 1, true);
    int64_t scans_before = count_scans(); /* an index that is built scans its table */
    struct store_change changes[N];
    struct uuid ids[N + 1];
    for (int i = 0; i < N; i++) {
        struct saga *saga = new_saga();
        ids[i] = saga->id;
        changes[i] = start(saga, clock_real_ms(), NULL);
    }
    ids[N] = uuid_v7(); /* one that does not exist */
    OK(save(changes, N));
    for (int round = 0; round < 2; round++) {
        struct saga *sagas;
        size_t n;
        OK(store_load(pg, &arena, catalog, ids, N + 1, &sagas, &n, &err));
        ck_assert_uint_eq(n, N);
        for (size_t i = 0; i < n; i++)
            changes[i] = apply(&sagas[i], &(struct event){.type = EVENT_REPLY, .step = round, .round = 1, .attempt = 1,
                                                          .outcome = OUTCOME_SUCCEEDED, .output = "{}", .output_len = 2},
                               clock_real_ms());
        OK(save(changes, n));
    }
    struct store_glance glances[N + 1];
    OK(store_glance(pg, ids, N + 1, glances, &err));
    ck_assert(glances[0].found && glances[0].settled && glances[0].version == 3);
    ck_assert(glances[N - 1].found && !glances[N].found);
    struct uuid due[10];
    size_t n;
    int64_t next;
    OK(store_due(pg, clock_real_ms() + 3600000, due, 10, &n, &next, &err));
    ck_assert_uint_eq(n, 0); /* all have ended */
    ck_assert_int_gt(scans_before, 0);
    ck_assert_int_eq(count_scans(), scans_before);
    close_store();
}
END_TEST

START_TEST(due_sagas_are_found_in_order)
{
    open_store();
    put_definition("1s", 1, true);
    struct uuid ids[3], due[2];
    int64_t now = clock_real_ms(), next;
    for (int i = 0; i < 3; i++) {
        struct saga *saga = new_saga();
        ids[i] = saga->id;
        struct store_change change = start(saga, now - 1000 * i, NULL);
        OK(save(&change, 1));
    }
    size_t n;
    OK(store_due(pg, now, due, 2, &n, &next, &err));
    ck_assert_uint_eq(n, 2);
    ck_assert(uuid_equal(&due[0], &ids[2]) && uuid_equal(&due[1], &ids[1]));
    ck_assert_int_eq(next, now + 1000);
    OK(store_due(pg, now - 5000, due, 2, &n, &next, &err));
    ck_assert_uint_eq(n, 0);
    close_store();
}
END_TEST

START_TEST(a_key_names_one_saga)
{
    open_store();
    put_definition("1s", 1, true);
    struct saga *first = new_saga(), *second = new_saga();
    struct store_change change = start(first, clock_real_ms(), "one");
    OK(save(&change, 1));
    change = start(second, clock_real_ms(), "one");
    ck_assert(!save(&change, 1));
    ck_assert_str_eq(err.code, "23505");
    const char *keys[] = {"none", "one"};
    struct store_key_view views[2];
    OK(store_find_keys(pg, &arena, keys, 2, views, &err));
    ck_assert(!views[0].found && views[1].found);
    ck_assert(uuid_equal(&views[1].id, &first->id));
    ck_assert_str_eq(views[1].input, "{\"n\":19.99}");
    close_store();
}
END_TEST

/* A store with one saga, whose first command is `lease_ms` under a lease. */
static struct uuid open_store_with_saga(int64_t lease_ms)
{
    open_store();
    put_definition("1s", 1, true);
    struct saga *saga = new_saga();
    struct store_change change = start(saga, clock_real_ms(), NULL);
    OK(store_save(pg, &change, 1, &(struct store_terms){.lease_ms = lease_ms}, &err));
    return saga->id;
}

START_TEST(a_lost_transaction_writes_nothing)
{
    struct uuid id = open_store_with_saga(0);
    struct saga *saga = load_one(&id);
    bool withdrawn[1];
    OK(store_withdraw(pg, &id, (const int[]){0}, 1, withdrawn, &err));
    ck_assert(withdrawn[0]);
    struct store_change change = apply(saga, &(struct event){.type = EVENT_CANCEL}, clock_real_ms());
    pg_disconnect(pg);
    ck_assert(!store_save(pg, &change, 1, &(struct store_terms){.begun = true}, &err));
    ck_assert_int_eq(err.kind, ERR_RETRY);
    saga = load_one(&id);
    ck_assert_int_eq(saga->state, SAGA_RUNNING);
    ck_assert_int_eq(saga->version, 1);
    bool waits[1];
    OK(store_unreleased(pg, &id, (const int[]){0}, 1, waits, &err));
    ck_assert(waits[0]);
    close_store();
}
END_TEST

static void await_lapsed_lease(void)
{
    static const struct pg_statement lapsed = {"lapsed", "SELECT count(*) FROM outbox WHERE leased_until < clock_timestamp()"};
    int64_t deadline = clock_mono_ms() + 10000, n = 0;
    while (!n && clock_mono_ms() < deadline)
        n = query_number(pg, &lapsed);
    ck_assert_int_eq(n, 1);
}

START_TEST(a_command_that_may_have_been_sent_is_not_withdrawn)
{
    struct uuid id = open_store_with_saga(1); /* by a process that died with it */
    await_lapsed_lease();
    bool withdrawn[1] = {true};
    OK(store_withdraw(pg, &id, (const int[]){0}, 1, withdrawn, &err));
    ck_assert(!withdrawn[0]);
    OK(store_save(pg, NULL, 0, &(struct store_terms){.begun = true}, &err));
    close_store();
}
END_TEST

START_TEST(of_two_who_change_a_saga_one_is_refused)
{
    static const struct event succeeded = {.type = EVENT_REPLY, .round = 1, .attempt = 1, .outcome = OUTCOME_SUCCEEDED,
                                           .output = "{}", .output_len = 2};
    struct uuid id = open_store_with_saga(0);
    struct saga *first = load_one(&id), *second = load_one(&id);
    struct store_change change = apply(first, &(struct event){.type = EVENT_CANCEL}, clock_real_ms());
    OK(save(&change, 1));
    change = apply(second, &succeeded, clock_real_ms());
    ck_assert(!save(&change, 1));
    ck_assert(store_is_stale(&err));
    ck_assert_int_eq(err.kind, ERR_RETRY);
    ck_assert_int_eq(second->version, 1);
    second = load_one(&id);
    ck_assert_int_eq(second->state, SAGA_COMPENSATING);
    ck_assert_int_eq(second->version, 2);
    change = apply(second, &succeeded, clock_real_ms());
    OK(save(&change, 1));
    close_store();
}
END_TEST

static struct store_minute minute_of(int64_t at_ms, const char *definition, int64_t completed, uint64_t *durations)
{
    return (struct store_minute){.minute_ms = at_ms, .definition = definition, .started = 10, .completed = completed,
                                 .compensated = 2, .stalled = 1, .durations = durations};
}

START_TEST(minutes_are_those_of_all_processes_and_replace_what_was_put_before)
{
    struct uuid one = uuid_v7(), two = uuid_v7();
    int64_t now_ms = clock_real_ms() / 60000 * 60000;
    uint64_t durations[HISTOGRAM_BOUNDS_MAX + 1] = {[3] = 5};
    struct store_minute first[] = {minute_of(now_ms, "a", 1, durations), minute_of(now_ms, "b", 3, durations),
                                   minute_of(now_ms - 60000, "a", 4, durations),
                                   minute_of(now_ms - 25 * 3600 * 1000, "a", 100, durations)};
    struct store_minute again = minute_of(now_ms, "a", 7, durations), other = minute_of(now_ms, "a", 20, durations), *out;
    struct histogram sum = {.shape = &histogram_fine};
    size_t n;
    open_store();
    OK(store_put_minutes(pg, &one, first, 4, &err));
    OK(store_put_minutes(pg, &one, &again, 1, &err));
    OK(store_put_minutes(pg, &two, &other, 1, &err));
    OK(store_get_minutes(pg, &arena, 1, &out, &n, &sum, &err));
    ck_assert_uint_eq(n, 2); /* the old one is forgotten */
    ck_assert_int_eq(out[0].minute_ms, now_ms - 60000);
    ck_assert_int_eq(out[0].completed, 4);
    ck_assert_int_eq(out[1].minute_ms, now_ms);
    ck_assert_int_eq(out[1].completed, 7 + 3 + 20);
    ck_assert_int_eq(out[1].started, 30);
    ck_assert_int_eq(out[1].stalled, 3);
    ck_assert_uint_eq(sum.counts[3], 20);
    ck_assert_uint_eq(sum.counts[2], 0);
    close_store();
}
END_TEST

START_TEST(gauges_count_what_lives_and_what_waits)
{
    struct store_gauges gauges;
    open_store();
    put_definition("1s", 1, true);
    OK(store_gauges(pg, &gauges, &err));
    ck_assert_int_eq(gauges.oldest_ms + gauges.running + gauges.compensating + gauges.stalled + gauges.outbox_rows + gauges.outbox_oldest_ms, 0);
    for (int i = 0; i < 3; i++) {
        struct store_change change = start(new_saga(), clock_real_ms() - 60000 * i, NULL);
        struct uuid id = change.saga->id;
        OK(save(&change, 1));
        struct saga *saga = load_one(&id);
        if (i) {
            change = apply(saga, &(struct event){.type = EVENT_CANCEL}, clock_real_ms());
            OK(save(&change, 1));
        }
    }
    OK(store_gauges(pg, &gauges, &err));
    ck_assert_int_eq(gauges.running, 1);
    ck_assert_int_eq(gauges.compensating, 2);
    ck_assert_int_eq(gauges.stalled, 0);
    ck_assert(gauges.oldest_ms >= 120000 && gauges.oldest_ms < 150000);
    ck_assert_int_eq(gauges.outbox_rows, 3);
    ck_assert_int_ge(gauges.outbox_oldest_ms, 0);
    close_store();
}
END_TEST

START_TEST(processes_say_that_they_live)
{
    static const struct pg_statement age = {"age", "UPDATE process SET seen_at = now() - interval '1 minute' WHERE roles = 'engine'"};
    static const struct pg_statement bury = {"bury", "UPDATE process SET seen_at = now() - interval '2 hours' WHERE roles = 'api'"};
    struct presence presences[3];
    static const char *const roles[] = {"relay", "engine", "api"};
    struct store_process *out;
    size_t n;
    bool wanted = false;
    open_store();
    OK(presence_wanted(pg, &wanted, &err));
    ck_assert(wanted);
    for (int i = 0; i < 3; i++) {
        presence_init(&presences[i], "saga-test", roles[i]);
        OK(presence_say(pg, &presences[i], true, &err));
    }
    OK(presence_say(pg, &presences[0], false, &err));
    OK(pg_call(pg, &age, NULL, NULL, &err));
    OK(pg_call(pg, &bury, NULL, NULL, &err));
    OK(store_get_processes(pg, &arena, &out, &n, &err));
    ck_assert_uint_eq(n, 2);
    ck_assert_str_eq(out[0].roles, "relay");
    ck_assert(out[0].live && !out[0].healthy && out[0].pid == getpid() && *out[0].host);
    ck_assert_str_eq(out[1].roles, "engine");
    ck_assert(!out[1].live && out[1].healthy);
    OK(presence_leave(pg, &presences[0], &err));
    OK(store_get_processes(pg, &arena, &out, &n, &err));
    ck_assert_uint_eq(n, 1);
    close_store();
}
END_TEST

START_TEST(a_saga_that_is_in_its_queues_already_is_not_behind_itself)
{
    const char *keys[] = {"order:7", "account:8"};
    struct arena scratch = {0};
    open_store();
    struct store_ask first = {.saga_id = uuid_v7(), .keys = keys, .keys_n = 2, .joins = true};
    OK(store_take_entities(pg, &scratch, &first, 1, &err));
    OK(store_save(pg, NULL, 0, &(struct store_terms){.begun = true}, &err));
    ck_assert(first.has && first.joined);
    struct store_ask asks[] = {{.saga_id = first.saga_id, .keys = keys, .keys_n = 2, .joins = true},
                               {.saga_id = uuid_v7(), .keys = keys, .keys_n = 1, .joins = true},
                               {.saga_id = uuid_v7(), .keys = keys + 1, .keys_n = 1, .joins = true, .only_if_free = true}};
    OK(store_take_entities(pg, &scratch, asks, 3, &err));
    OK(store_save(pg, NULL, 0, &(struct store_terms){.begun = true}, &err));
    ck_assert(asks[0].has && !asks[0].joined);
    ck_assert(!asks[1].has && asks[1].joined);
    ck_assert(!asks[2].has && !asks[2].joined);
    asks[1].joins = false;
    OK(store_take_entities(pg, &scratch, asks + 1, 1, &err));
    OK(store_save(pg, NULL, 0, &(struct store_terms){.begun = true}, &err));
    ck_assert(!asks[1].has);
    arena_free(&scratch);
    close_store();
}
END_TEST

/* Asks in a transaction of its own. */
static void take(struct store_ask *asks, size_t n)
{
    OK(store_take_entities(pg, &arena, asks, n, &err));
    OK(store_save(pg, NULL, 0, &(struct store_terms){.begun = true}, &err));
}

START_TEST(entities_are_taken_all_at_once_and_in_the_order_of_asking)
{
    static const char *const one_way[] = {"a", "b"}, *const other_way[] = {"b", "a"}, *const b[] = {"b"};
    open_store();
    put_definition("1s", 1, true);
    struct store_change first = start(new_saga(), clock_real_ms(), NULL);
    struct store_ask asks[] = {{.saga_id = first.saga->id, .keys = one_way, .keys_n = 2, .joins = true},
                               {.saga_id = uuid_v7(), .keys = other_way, .keys_n = 2, .joins = true},
                               {.saga_id = uuid_v7(), .keys = b, .keys_n = 1, .joins = true}};
    OK(save(&first, 1));
    take(asks, 1);
    take(asks + 1, 2);
    ck_assert(asks[0].has && !asks[1].has && !asks[2].has);
    first.is_new = false;
    first.released = one_way;
    first.released_n = 2;
    OK(save(&first, 1));
    for (size_t i = 1; i < 3; i++)
        asks[i].joins = false;
    take(asks + 1, 2);
    ck_assert(asks[1].has && !asks[2].has); /* b is the second's, which has asked before the third */
    close_store();
}
END_TEST

START_TEST(a_running_saga_stays_on_the_version_that_it_began_with)
{
    open_store();
    put_definition("1s", 1, true);
    struct store_change change = start(new_saga(), clock_real_ms(), NULL);
    struct uuid id = change.saga->id;
    OK(save(&change, 1));
    put_definition("2s", 2, true);
    ck_assert_int_eq(load_one(&id)->definition->version, 1);
    ck_assert_int_eq(load_one(&id)->definition->timeout_ms, change.saga->definition->timeout_ms);
    close_store();
}
END_TEST

#define DAY_MS (24 * 3600 * 1000LL)

/* A saga that began so many days ago and, unless it lives, ended as many days ago; it has touched an entity. `parent` NULL: it is a root. */
static struct store_change aged(int begun_days, int ended_days, const struct saga *parent)
{
    static int64_t number;
    struct touch *touch = arena_alloc(&arena, sizeof *touch);
    struct store_change change = start(new_saga(), clock_real_ms() - begun_days * DAY_MS, NULL);
    struct uuid begun = uuid_v7_first(clock_real_ms() - begun_days * DAY_MS);
    memcpy(change.saga->id.bytes, begun.bytes, 6); /* the time; the rest stays different */
    change.saga->clock = "{\"order:7\":{\"s\":1}}";
    *touch = (struct touch){.entity = "order:7", .kind = KIND_ACTION, .number = ++number};
    change.touches = touch;
    if (ended_days >= 0) {
        change.saga->state = SAGA_COMPLETED;
        change.saga->ended_ms = clock_real_ms() - ended_days * DAY_MS;
    }
    if (parent) {
        change.saga->order = ORDER_START;
        change.saga->parent_id = parent->id;
        change.saga->parent_step = "a";
    }
    return change;
}

static bool is_there(const struct store_change *change)
{
    struct saga *sagas;
    size_t n;
    OK(store_load(pg, &arena, catalog, &change->saga->id, 1, &sagas, &n, &err));
    return n == 1;
}

START_TEST(sagas_that_ended_long_ago_are_let_go_with_those_that_were_their_steps)
{
    static const struct pg_statement sagas = {"n_sagas", "SELECT count(*) FROM saga"}, steps = {"n_steps", "SELECT count(DISTINCT saga_id) FROM step"},
                                     histories = {"n_history", "SELECT count(DISTINCT saga_id) FROM history"},
                                     touches = {"n_touches", "SELECT count(*) FROM entity_touch"};
    struct uuid after = {0};
    size_t purged, all = 0;
    open_store();
    put_definition("1s", 1, true);
    struct store_change old = aged(9, 9, NULL), child = aged(9, 9, old.saga), grandchild = aged(9, 9, child.saga), recent = aged(9, 2, NULL),
                        live = aged(9, -1, NULL), its_child = aged(9, 9, live.saga), waived = aged(9, 9, NULL), running = aged(9, -1, waived.saga),
                        young = aged(1, 1, NULL);
    struct store_change changes[] = {old, child, grandchild, recent, live, its_child, waived, running, young};
    OK(save(changes, 9));
    for (bool more = true; more; all += purged)
        OK(store_purge(pg, clock_real_ms() - 7 * DAY_MS, &after, &purged, &more, &err));
    ck_assert_uint_eq(all, 3);
    ck_assert(!is_there(&old) && !is_there(&child) && !is_there(&grandchild));
    ck_assert(is_there(&recent) && is_there(&live) && is_there(&its_child) && is_there(&waived) && is_there(&running) && is_there(&young));
    ck_assert_int_eq(query_number(pg, &sagas), 6);
    ck_assert_int_eq(query_number(pg, &steps), 6);
    ck_assert_int_eq(query_number(pg, &histories), 6);
    ck_assert_int_eq(query_number(pg, &touches), 6);
    close_store();
}
END_TEST

static const TTest **const tests[] = {
    &sagas_that_ended_long_ago_are_let_go_with_those_that_were_their_steps,
    &definitions_have_versions,
    &a_running_saga_stays_on_the_version_that_it_began_with,
    &entities_are_taken_all_at_once_and_in_the_order_of_asking,
    &a_saga_that_is_in_its_queues_already_is_not_behind_itself,
    &a_saga_survives_the_way_to_the_database_and_back,
    &a_batch_writes_many_sagas_at_once_and_scans_no_table,
    &due_sagas_are_found_in_order,
    &a_key_names_one_saga,
    &a_lost_transaction_writes_nothing,
    &a_command_that_may_have_been_sent_is_not_withdrawn,
    &of_two_who_change_a_saga_one_is_refused,
    &minutes_are_those_of_all_processes_and_replace_what_was_put_before,
    &gauges_count_what_lives_and_what_waits,
    &processes_say_that_they_live,
    NULL,
};
static const struct suite_case cases[] = {{"store", tests, 60}};
SUITE_MAIN("store", cases)
