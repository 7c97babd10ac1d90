/* lib/base: what every layer leans on. */
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/uuid.h"
#include "suite.h"

START_TEST(buf_grows_to_its_maximum_and_says_so)
{
    struct buf buf = buf_new(100);
    for (int i = 0; i < 10; i++)
        buf_str(&buf, "0123456789");
    ck_assert(!buf.failed);
    ck_assert_uint_eq(buf.len, 100);
    buf_char(&buf, 'x');
    ck_assert(buf.failed);
    ck_assert_uint_eq(buf.len, 100);
    buf_reset(&buf);
    ck_assert(!buf.failed);
    buf_printf(&buf, "%d-%s", 7, "seven");
    ck_assert_str_eq(buf_text(&buf), "7-seven");
    buf_free(&buf);
}
END_TEST

START_TEST(buf_escapes_json)
{
    struct buf buf = buf_new(1000);
    buf_json_str(&buf, "a\"b\\c\n\x01 é");
    ck_assert_str_eq(buf_text(&buf), "\"a\\\"b\\\\c\\n\\u0001 é\"");
    buf_free(&buf);
}
END_TEST

START_TEST(durations_parse_or_are_refused)
{
    static const struct {
        const char *text;
        int64_t ms;
    } good[] = {{"0s", 0}, {"250ms", 250}, {"5s", 5000}, {"10m", 600000}, {"2h", 7200000}, {"7d", 604800000}};
    static const char *const bad[] = {"", "5", "s", "1.5s", "-1s", "1s2m", "5 s", "99999d", "9999999999999ms"};
    int64_t ms = -1;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        ck_assert_msg(duration_parse(good[i].text, &ms), "%s", good[i].text);
        ck_assert_int_eq(ms, good[i].ms);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(!duration_parse(bad[i], &ms), "%s", bad[i]);
}
END_TEST

START_TEST(timestamps_round_trip)
{
    char text[CLOCK_TEXT_MAX];
    int64_t ms = 0;
    ck_assert_str_eq(clock_format(1769853600123, text), "2026-01-31T10:00:00.123Z");
    ck_assert(clock_parse(text, &ms));
    ck_assert_int_eq(ms, 1769853600123);
    ck_assert(clock_parse("2026-01-31T10:00:00Z", &ms));
    ck_assert(clock_parse("2026-01-31T10:00:00.123456Z", &ms));
    ck_assert_int_eq(ms, 1769853600123);
    ck_assert(!clock_parse("2026-02-30T10:00:00Z", &ms));
    ck_assert(!clock_parse("2026-01-31T10:00:00+01:00", &ms));
    ck_assert(!clock_parse("2026-01-31", &ms));
    ck_assert(!clock_parse("2026-01-31T10:00:00.Z", &ms));
}
END_TEST

START_TEST(uuids_rise_and_round_trip)
{
    struct uuid last = uuid_v7();
    int64_t now = clock_real_ms();
    ck_assert(now - uuid_v7_ms(&last) <= 1000);
    for (int i = 0; i < 20000; i++) {
        struct uuid next = uuid_v7();
        ck_assert_int_lt(uuid_compare(&last, &next), 0);
        last = next;
    }
    char text[UUID_TEXT_MAX];
    int64_t ms = uuid_v7_ms(&last);
    struct uuid first = uuid_v7_first(ms), next_first = uuid_v7_first(ms + 1);
    ck_assert_int_le(uuid_compare(&first, &last), 0);
    ck_assert_int_gt(uuid_compare(&next_first, &last), 0);
    struct uuid back;
    ck_assert(uuid_parse(uuid_format(&last, text), &back));
    ck_assert(uuid_equal(&last, &back));
    ck_assert_int_eq(text[14], '7');
    ck_assert(!uuid_parse("", &back));
    ck_assert(!uuid_parse("0197c0de-0000-7000-8000-00000000000", &back));
    ck_assert(!uuid_parse("0197c0de-0000-7000-8000-00000000000g", &back));
    ck_assert(!uuid_parse("0197c0de00000-7000-8000-000000000000", &back));
}
END_TEST

START_TEST(errors_carry_their_decision)
{
    struct err err = {0};
    ck_assert(!err_set_code(&err, ERR_RETRY, "40001", "deadlock on %s", "saga"));
    ck_assert_str_eq(err.code, "40001");
    ck_assert_str_eq(err.text, "deadlock on saga");
    ck_assert_str_eq(err_kind_name(err.kind), "retry");
    err_set(&err, ERR_REFUSED, "%0600d", 1);
    ck_assert_uint_eq(strlen(err.text), sizeof err.text - 1);
    ck_assert_str_eq(err.code, "");
    char accents[600];
    for (size_t i = 0; i + 2 < sizeof accents; i += 2)
        memcpy(accents + i, "é", 3);
    err_set(&err, ERR_REFUSED, "x%s", accents); /* cut, but never through a character */
    ck_assert_uint_eq(strlen(err.text), sizeof err.text - 1);
    err_set(&err, ERR_REFUSED, "%s", accents);
    ck_assert_uint_eq(strlen(err.text), sizeof err.text - 2);
    ck_assert_uint_eq(strlen(err.text) % 2, 0);
}
END_TEST

START_TEST(hash_is_stable)
{
    ck_assert_uint_eq(hash_bytes("saga", 4, 0), hash_bytes("saga", 4, 0));
    ck_assert_uint_ne(hash_bytes("saga", 4, 0), hash_bytes("saga", 4, 1));
    ck_assert_uint_ne(hash_bytes("saga", 4, 0), hash_bytes("sage", 4, 0));
}
END_TEST

static const TTest **const tests[] = {
    &buf_grows_to_its_maximum_and_says_so,
    &buf_escapes_json,
    &durations_parse_or_are_refused,
    &timestamps_round_trip,
    &uuids_rise_and_round_trip,
    &errors_carry_their_decision,
    &hash_is_stable,
    NULL,
};
static const struct suite_case cases[] = {{"base", tests, 0}};
SUITE_MAIN("base", cases)
