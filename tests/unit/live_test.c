/* The engine's memory of sagas under way: what is put in comes out as it was, and forgetting loses nothing but time. */
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "live.h"
#include "suite.h"

#define HOUR_MS (3600 * 1000)

static struct definition *definition;
static struct saga_step steps[2];
static struct saga saga;

static void open_saga(void)
{
    static const char text[] = "{\"name\":\"d\",\"steps\":["
                               "{\"name\":\"a\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\"},"
                               "{\"name\":\"b\",\"service\":\"s\",\"action\":\"do\",\"compensation\":\"undo\"}]}";
    struct err err;
    struct problems problems = {0};
    json_t *source = json_read(text, sizeof text - 1, &err);
    definition = definition_read(source, &problems);
    json_decref(source);
    ck_assert_ptr_nonnull(definition);
    definition->version = 3;
    memset(steps, 0, sizeof steps);
    saga = (struct saga){.id = uuid_v7(), .definition = definition, .version = 1, .input = "{\"n\":1}", .input_len = 7,
                         .steps = steps};
}

static struct live_saga *take(struct live *live, const struct uuid *id)
{
    struct live_saga *out;
    live_take(live, 0, id, 1, &out);
    return out;
}

START_TEST(nothing_is_kept_for_long)
{
    open_saga();
    struct live *live = live_new(1000000, 0);
    struct live_saga *out = NULL;
    do {
        live_drop(out);
        live_put(live, 0, &saga);
        usleep(2000);
        out = take(live, &saga.id);
    } while (out); /* by the real clock, which may be set back */
    live_free(live);
    definition_free(definition);
}
END_TEST

START_TEST(a_saga_comes_out_as_it_was_put_in)
{
    open_saga();
    struct live *live = live_new(1000000, HOUR_MS);
    steps[0].state = STEP_SUCCEEDED;
    char output[] = "{\"id\":7}";
    steps[0].output = output;
    steps[0].output_len = 8;
    steps[1].error = "{\"code\":\"busy\"}";
    saga.idempotency_key = "key";
    live_put(live, 0, &saga);
    output[1] = 'x'; /* the copy has texts of its own */
    struct live_saga *out = take(live, &saga.id);
    ck_assert_ptr_nonnull(out);
    ck_assert_str_eq(out->definition, "d");
    ck_assert_int_eq(out->definition_version, 3);
    ck_assert_uint_eq(out->steps_n, 2);
    ck_assert_int_eq(out->saga.version, 1);
    ck_assert_str_eq(out->saga.input, "{\"n\":1}");
    ck_assert_str_eq(out->saga.idempotency_key, "key");
    ck_assert_int_eq(out->saga.steps[0].state, STEP_SUCCEEDED);
    ck_assert_str_eq(out->saga.steps[0].output, "{\"id\":7}");
    ck_assert_str_eq(out->saga.steps[1].error, "{\"code\":\"busy\"}");
    ck_assert_ptr_null(out->saga.steps[1].output);
    ck_assert_ptr_null(take(live, &saga.id)); /* whoever has taken it is alone with it */
    live_drop(out);
    live_free(live);
    definition_free(definition);
}
END_TEST

START_TEST(the_newest_version_stays)
{
    open_saga();
    struct live *live = live_new(1000000, HOUR_MS);
    saga.version = 2;
    live_put(live, 0, &saga);
    saga.version = 1;
    live_put(live, 0, &saga);
    struct live_saga *out = take(live, &saga.id);
    ck_assert_int_eq(out->saga.version, 2);
    live_drop(out);
    live_put(live, 0, &saga);
    saga.version = 3;
    live_put(live, 0, &saga);
    out = take(live, &saga.id);
    ck_assert_int_eq(out->saga.version, 3);
    live_drop(out);
    saga.state = SAGA_COMPLETED;
    live_put(live, 0, &saga);
    ck_assert_ptr_null(take(live, &saga.id)); /* one that has ended is not kept */
    live_free(live);
    definition_free(definition);
}
END_TEST

START_TEST(the_oldest_are_forgotten_when_there_are_too_many)
{
    enum { N = 1000 };
    open_saga();
    struct live *live = live_new(100000, HOUR_MS);
    struct uuid ids[N];
    struct live_saga *out[N];
    size_t kept = 0;
    for (int i = 0; i < N; i++) {
        saga.id = ids[i] = uuid_v7();
        live_put(live, 0, &saga);
    }
    live_take(live, 0, ids, N, out);
    for (int i = 0; i < N; i++) {
        kept += out[i] != NULL;
        ck_assert(!kept || out[i]); /* from the first that is kept on all are */
        live_drop(out[i]);
    }
    ck_assert_uint_gt(kept, 50);
    ck_assert_uint_lt(kept, 500);
    live_free(live);
    definition_free(definition);
}
END_TEST

START_TEST(another_server_makes_it_forget)
{
    open_saga();
    struct live *live = live_new(1000000, HOUR_MS);
    struct live_saga *out;
    live_serve(live, 1);
    live_put(live, 1, &saga);
    live_serve(live, 1); /* a new connection to the same one */
    live_take(live, 1, &saga.id, 1, &out);
    ck_assert_ptr_nonnull(out);
    live_drop(out);
    live_put(live, 1, &saga);
    live_serve(live, 2);
    live_take(live, 2, &saga.id, 1, &out);
    ck_assert_ptr_null(out);
    live_put(live, 1, &saga); /* by one who still speaks with the first */
    live_take(live, 2, &saga.id, 1, &out);
    ck_assert_ptr_null(out);
    live_put(live, 2, &saga);
    live_take(live, 1, &saga.id, 1, &out);
    ck_assert_ptr_null(out);
    live_take(live, 2, &saga.id, 1, &out);
    ck_assert_ptr_nonnull(out);
    live_drop(out);
    live_free(live);
    definition_free(definition);
}
END_TEST

static const TTest **const tests[] = {
    &nothing_is_kept_for_long, &a_saga_comes_out_as_it_was_put_in,
    &the_newest_version_stays,
    &the_oldest_are_forgotten_when_there_are_too_many,
    &another_server_makes_it_forget,
    NULL,
};
static const struct suite_case cases[] = {{"live", tests, 10}};
SUITE_MAIN("live", cases)
