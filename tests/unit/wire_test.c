/* lib/wire: commands and replies to messages and back, and what a malformed one gets. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "suite.h"
#include "wire/label.h"
#include "wire/wire.h"

static struct arena arena;

/* Fills the message's headers from the JSON object that the outbox would keep. */
static void set_headers(struct wire_message *message, const char *text)
{
    struct err err;
    json_t *object = json_read(text, strlen(text), &err);
    ck_assert_msg(object != NULL, "%s", err.text);
    const char *name;
    json_t *value;
    message->headers_n = 0;
    json_object_foreach(object, name, value) {
        const char *copy = arena_strdup(&arena, json_string_value(value));
        message->headers[message->headers_n++] = (struct wire_header){arena_strdup(&arena, name), copy, strlen(copy)};
    }
    json_decref(object);
}

static struct wire_command sample_command(void)
{
    return (struct wire_command){
        .id = uuid_v7(),
        .about = {"default", uuid_v7(), "charge", "action", 1, 3},
        .action = "charge_card", .deadline_ms = 1769853600123, .source = "orchestrator",
        .traceparent = "00-x", .clock = "{\"order:\\\"7\\\"\":{\"payment\":3},\"é\":{}}", .value = "{\"a\":1}", .value_len = 7};
}

static struct wire_message command_message(const struct wire_command *command)
{
    struct wire_message message = {.topic = "saga.payment.command", .value = command->value, .value_len = command->value_len};
    struct buf headers = buf_new(4096);
    struct wire_message sent;
    wire_command_message(&arena, command, 1000, &sent);
    wire_headers_text(&headers, &sent);
    set_headers(&message, buf_text(&headers));
    buf_free(&headers);
    return message;
}

START_TEST(commands_round_trip)
{
    struct wire_command command = sample_command(), back;
    struct wire_message message = command_message(&command);
    struct err err;
    ck_assert_msg(wire_command_read(&arena, &message, &back, &err), "%s", err.text);
    ck_assert(uuid_equal(&back.id, &command.id));
    ck_assert(uuid_equal(&back.about.saga_id, &command.about.saga_id));
    ck_assert_str_eq(back.about.step, "charge");
    ck_assert_str_eq(back.about.kind, "action");
    ck_assert_str_eq(back.action, "charge_card");
    ck_assert_int_eq(back.about.attempt, 3);
    ck_assert_int_eq(back.deadline_ms, 1769853600123);
    ck_assert_str_eq(back.traceparent, "00-x");
    ck_assert_str_eq(back.clock, command.clock);
    arena_free(&arena);
}
END_TEST

static struct wire_message reply_message(const char *value)
{
    struct wire_reply reply = {.about = {"default", uuid_v7(), "charge", "compensation", 2, 1}, .outcome = "succeeded",
                               .clock = "{\"a\":{\"payment\":4}}"};
    struct uuid id = uuid_v7();
    struct wire_message message = {.topic = "saga.reply", .value = value, .value_len = strlen(value)};
    struct buf headers = buf_new(4096);
    struct wire_message sent;
    wire_reply_message(&arena, &reply, &id, "payment", 1000, &sent);
    wire_headers_text(&headers, &sent);
    set_headers(&message, buf_text(&headers));
    buf_free(&headers);
    return message;
}

START_TEST(replies_round_trip)
{
    struct wire_reply reply = {.outcome = "retry", .output = "[1]", .output_len = 3, .error = "{\"code\":\"busy\"}",
                               .retry_after_ms = 250}, back;
    struct buf value = buf_new(4096);
    wire_reply_value(&value, &reply);
    struct wire_message message = reply_message(buf_text(&value));
    struct err err;
    ck_assert_msg(wire_reply_read(&arena, &message, &back, &err), "%s", err.text);
    ck_assert_str_eq(back.outcome, "retry");
    ck_assert_str_eq(back.output, "[1]");
    ck_assert_str_eq(back.error, "{\"code\":\"busy\"}");
    ck_assert_int_eq(back.retry_after_ms, 250);
    ck_assert_int_eq(back.about.round, 2);
    ck_assert_str_eq(back.clock, "{\"a\":{\"payment\":4}}");
    ck_assert_str_eq(back.about.kind, "compensation");
    buf_free(&value);
    arena_free(&arena);
}
END_TEST

START_TEST(a_missing_or_wrong_header_is_named)
{
    static const struct {
        const char *name, *value, *part;
    } bad[] = {{"saga-id", NULL, "saga-id"},       {"saga-id", "no", "saga-id"},     {"saga-step", NULL, "saga-step"},
               {"saga-kind", "probing", "kind"},   {"saga-round", "0", "round"},     {"saga-round", "1x", "round"},
               {"saga-attempt", NULL, "attempt"},  {"ce_type", "saga.reply", "type"}, {"saga-protocol", "9", "protocol"},
               {"saga-namespace", "", "namespace"}, {"saga-action", NULL, "action"},  {"saga-deadline", "soon", "deadline"},
               {"ce_id", "7", "ce_id"},             {"saga-clock", "{\"a\":7}", "clock"}, {"saga-clock", "now", "clock"}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct wire_command command = sample_command(), back;
        struct wire_message message = command_message(&command);
        for (size_t h = 0; h < message.headers_n; h++) {
            if (strcmp(message.headers[h].name, bad[i].name) == 0)
                message.headers[h] = bad[i].value ? (struct wire_header){bad[i].name, bad[i].value, strlen(bad[i].value)}
                                                  : (struct wire_header){"other", "", 0};
        }
        struct err err;
        ck_assert_msg(!wire_command_read(&arena, &message, &back, &err), "accepted %s", bad[i].name);
        ck_assert_int_eq(err.kind, ERR_REFUSED);
        ck_assert_msg(strstr(err.text, bad[i].part) != NULL, "%s", err.text);
    }
    arena_free(&arena);
}
END_TEST

START_TEST(a_clock_with_a_nul_character_is_not_taken_for_none)
{
    struct wire_command command = sample_command(), back;
    struct wire_message message = command_message(&command);
    struct err err;
    for (size_t h = 0; h < message.headers_n; h++) {
        if (strcmp(message.headers[h].name, "saga-clock") == 0)
            message.headers[h] = (struct wire_header){"saga-clock", "{}\0", 3};
    }
    ck_assert(!wire_command_read(&arena, &message, &back, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "saga-clock"));
    arena_free(&arena);
}
END_TEST

START_TEST(a_malformed_reply_is_refused)
{
    static const char *const bad[] = {"", "{", "[]", "{}", "{\"outcome\":\"maybe\"}", "{\"outcome\":7}", "{\"outcome\":\"not_seen\"}",
                                      "{\"outcome\":\"failed\",\"error\":\"no\"}",
                                      "{\"outcome\":\"retry\",\"retry_after\":5}",
                                      "{\"outcome\":\"succeeded\",\"output\":\"\\u0000\"}"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct wire_message message = reply_message(bad[i]);
        struct wire_reply back;
        struct err err;
        ck_assert_msg(!wire_reply_read(&arena, &message, &back, &err), "accepted %s", bad[i]);
        ck_assert_int_eq(err.kind, ERR_REFUSED);
    }
    arena_free(&arena);
}
END_TEST

START_TEST(a_trace_has_the_id_of_its_saga)
{
    struct uuid saga, command;
    char out[WIRE_TRACEPARENT_MAX];
    ck_assert(uuid_parse("0197c0de-0000-7000-8000-00000000000a", &saga));
    ck_assert(uuid_parse("0197c0de-0001-7000-8000-0000000000ff", &command));
    ck_assert_str_eq(wire_traceparent(NULL, &saga, &command, out), "00-0197c0de00007000800000000000000a-80000000000000ff-01");
    const char *parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
    ck_assert_str_eq(wire_traceparent(parent, &saga, &command, out), "00-4bf92f3577b34da6a3ce929d0e0e4736-80000000000000ff-00");
    static const char *const bad[] = {
        "", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-011"};
    ck_assert(wire_traceparent_valid(parent));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        ck_assert_msg(!wire_traceparent_valid(bad[i]), "%s", bad[i]);
}
END_TEST

static const char *letter_header(const struct wire_dead_letter *letter, const char *name)
{
    struct err err;
    json_t *headers = json_read(letter->headers, strlen(letter->headers), &err);
    ck_assert_msg(headers != NULL, "%s", err.text);
    const char *value = arena_strdup(&arena, json_string_value(json_object_get(headers, name)));
    json_decref(headers);
    return value;
}

START_TEST(a_dead_letter_keeps_what_it_can)
{
    struct wire_message message = reply_message("{\"outcome\":7}");
    struct wire_dead_letter letter;
    wire_dead_letter(&arena, &message, "no outcome", 3, 42, &letter);
    ck_assert_str_eq(letter.value, "{\"outcome\":7}");
    ck_assert_str_eq(letter_header(&letter, "saga-dead-reason"), "no outcome");
    ck_assert_str_eq(letter_header(&letter, "saga-dead-topic"), "saga.reply");
    ck_assert_str_eq(letter_header(&letter, "saga-dead-offset"), "42");
    ck_assert_str_eq(letter_header(&letter, "saga-step"), "charge");
    arena_free(&arena);
}
END_TEST

START_TEST(a_dead_letter_is_always_valid_text_and_never_too_large)
{
    char raw[] = "a\0\xff z";
    struct wire_message message = {.topic = "t", .key = raw, .key_len = 5, .value = raw, .value_len = 5};
    struct wire_dead_letter letter;
    message.headers[message.headers_n++] = (struct wire_header){"h", raw, 5};
    message.headers[message.headers_n++] = (struct wire_header){"h", "twice", 5};
    wire_dead_letter(&arena, &message, "raw", 0, 0, &letter);
    ck_assert_str_eq(letter.value, "YQD/IHo=");
    ck_assert_str_eq(letter_header(&letter, "saga-dead-encoding"), "base64");
    ck_assert_str_eq(letter.key, "a?? z");
    ck_assert_str_eq(letter_header(&letter, "h"), "a?? z");
    size_t size = 3000000;
    char *large = arena_alloc(&arena, size + 1);
    for (size_t i = 0; i + 2 <= size; i += 2)
        memcpy(large + i, "é", 2);
    message = (struct wire_message){.topic = "t", .value = large + 1, .value_len = size - 1};
    message.value = large;
    message.headers[message.headers_n++] = (struct wire_header){"big", large, size};
    wire_dead_letter(&arena, &message, "large", 0, 0, &letter);
    ck_assert_uint_le(letter.value_len, 300000);
    ck_assert_uint_eq(letter.value_len % 2, 0);
    ck_assert_ptr_null(letter_header(&letter, "saga-dead-encoding"));
    ck_assert_ptr_null(letter_header(&letter, "big"));
    ck_assert_str_eq(letter_header(&letter, "saga-dead-size"), "2999999");
    arena_free(&arena);
}
END_TEST

START_TEST(a_label_has_what_can_be_true)
{
    struct wire_command command = sample_command();
    command.traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    struct wire_message message = command_message(&command);
    struct wire_label label = wire_label_of(&message), direct = wire_label(&command.about, command.traceparent);
    ck_assert_str_eq(label.saga_id, direct.saga_id);
    ck_assert_str_eq(label.step, "charge");
    ck_assert_str_eq(label.kind, "action");
    ck_assert_str_eq(label.trace_id, "4bf92f3577b34da6a3ce929d0e0e4736");
    ck_assert_str_eq(label.trace_id, direct.trace_id);
    ck_assert_int_eq(label.attempt, 3);
    for (size_t i = 0; i < message.headers_n; i++) {
        message.headers[i].value = "one\ntwo";
        message.headers[i].value_len = 7;
    }
    label = wire_label_of(&message);
    ck_assert(!*label.saga_id && !*label.step && !*label.kind && !*label.trace_id && !label.attempt);
    message.headers_n = 0;
    label = wire_label_of(&message);
    ck_assert(!*label.saga_id && !label.attempt);
}
END_TEST

static const TTest **const tests[] = {
    &commands_round_trip,
    &replies_round_trip,
    &a_missing_or_wrong_header_is_named,
    &a_clock_with_a_nul_character_is_not_taken_for_none,
    &a_malformed_reply_is_refused,
    &a_trace_has_the_id_of_its_saga,
    &a_label_has_what_can_be_true,
    &a_dead_letter_keeps_what_it_can,
    &a_dead_letter_is_always_valid_text_and_never_too_large,
    NULL,
};
static const struct suite_case cases[] = {{"wire", tests, 0}};
SUITE_MAIN("wire", cases)
