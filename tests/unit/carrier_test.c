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
    int fatal;   /* and so many one that a person must act on */
    int slow;    /* and so many outlast the time limit */
    int attempts;
};

static bool attempt(void *context, size_t first, size_t n, struct err *err)
{
    struct load *load = context;
    load->attempts++;
    if (load->passing-- > 0)
        return err_set_code(err, ERR_RETRY, "40001", "deadlock");
    if (load->fatal-- > 0)
        return err_set_code(err, ERR_FATAL, "28P01", "password");
    if (load->slow-- > 0)
        return err_set_code(err, ERR_RETRY, "57014", "too slow");
    for (size_t i = first; i < first + n; i++) {
        if (load->poison[i])
            return err_set_code(err, ERR_REFUSED, "22P05", "poison");
    }
    for (size_t i = first; i < first + n; i++)
        load->done[i]++;
    return true;
}

static bool set_aside(void *context, size_t item, const struct err *err)
{
    struct load *load = context;
    ck_assert_int_eq(err->kind, ERR_REFUSED);
    load->aside[item]++;
    return true;
}

static atomic_bool healthy;
static bool stops;

static bool stopping(void *context)
{
    (void)context;
    return stops;
}

static bool carry(struct load *load)
{
    struct carrier carrier = {load, attempt, set_aside, "test", stopping, &healthy};
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

START_TEST(an_error_that_is_no_items_fault_sets_nothing_aside)
{
    struct load load = {.fatal = 3};
    ck_assert(carry(&load));
    ck_assert_int_eq(load.done[0], 1);
    ck_assert_int_eq(load.aside[0], 0);
}
END_TEST

START_TEST(a_statement_that_is_always_too_slow_does_not_hold_up_the_others)
{
    struct load load = {.slow = 3};
    ck_assert(carry(&load));
    ck_assert_int_eq(load.done[0], 1); /* in halves */
    ck_assert_int_eq(load.attempts, 5);
}
END_TEST

START_TEST(asked_to_stop_it_leaves_the_rest)
{
    struct load load = {.passing = 1000};
    stops = true;
    ck_assert(!carry(&load));
    ck_assert_int_eq(load.attempts, 1);
    ck_assert_int_eq(load.done[0], 0);
}
END_TEST

static const TTest **const tests[] = {
    &a_good_batch_goes_at_once,
    &culprits_are_found_and_the_others_go_on,
    &a_passing_error_is_waited_out,
    &an_error_that_is_no_items_fault_sets_nothing_aside,
    &a_statement_that_is_always_too_slow_does_not_hold_up_the_others,
    &asked_to_stop_it_leaves_the_rest,
    NULL,
};
static const struct suite_case cases[] = {{"carrier", tests, 0}};
SUITE_MAIN("carrier", cases)
