/* lib/service: the carrier of batches. */
#include <string.h>

#include "service/carrier.h"
#include "suite.h"

enum { N = 100 };

struct load {
    bool poison[N];
    int done[N];
    int aside[N];
    int passing; /* so many attempts meet a passing error */
    int attempts;
};

static bool attempt(void *context, size_t first, size_t n, struct err *err)
{
    struct load *load = context;
    load->attempts++;
    if (load->passing-- > 0)
        return err_set_code(err, ERR_RETRY, "40001", "deadlock");
    for (size_t i = first; i < first + n; i++) {
        if (load->poison[i])
            return err_set_code(err, ERR_REFUSED, "22P05", "poison");
    }
    for (size_t i = first; i < first + n; i++)
        load->done[i]++;
    return true;
}

static void set_aside(void *context, size_t item, const struct err *err)
{
    struct load *load = context;
    ck_assert_str_eq(err->code, "22P05");
    load->aside[item]++;
}

static atomic_bool stopping, healthy;

static bool carry(struct load *load)
{
    struct carrier carrier = {load, attempt, set_aside, "test", &stopping, &healthy};
    return carrier_carry(&carrier, N);
}

START_TEST(a_good_batch_goes_at_once)
{
    struct load load = {0};
    ck_assert(carry(&load));
    ck_assert_int_eq(load.attempts, 1);
}
END_TEST

START_TEST(culprits_are_found_and_the_others_go_on)
{
    struct load load = {0};
    load.poison[0] = load.poison[41] = load.poison[42] = load.poison[N - 1] = true;
    ck_assert(carry(&load));
    for (int i = 0; i < N; i++) {
        ck_assert_int_eq(load.done[i], !load.poison[i]);
        ck_assert_int_eq(load.aside[i], load.poison[i]);
    }
    ck_assert_int_lt(load.attempts, 60);
}
END_TEST

START_TEST(a_passing_error_is_waited_out)
{
    struct load load = {.passing = 3};
    ck_assert(carry(&load));
    ck_assert_int_eq(load.attempts, 4);
    ck_assert_int_eq(load.done[N - 1], 1);
    ck_assert(atomic_load(&healthy));
}
END_TEST

START_TEST(asked_to_stop_it_leaves_the_rest)
{
    struct load load = {.passing = 1000};
    atomic_store(&stopping, true);
    ck_assert(!carry(&load));
    ck_assert_int_eq(load.attempts, 1);
    ck_assert_int_eq(load.done[0], 0);
}
END_TEST

static const TTest **const tests[] = {
    &a_good_batch_goes_at_once,
    &culprits_are_found_and_the_others_go_on,
    &a_passing_error_is_waited_out,
    &asked_to_stop_it_leaves_the_rest,
    NULL,
};
static const struct suite_case cases[] = {{"carrier", tests, 0}};
SUITE_MAIN("carrier", cases)
