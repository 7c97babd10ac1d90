#include "wire/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/vclock.h"
#include "headers.h"

#define OUTPUT_MAX (900u * 1024)

const char *wire_header(struct arena *arena, const struct wire_message *message, const char *name)
{
    for (size_t i = 0; i < message->headers_n; i++) {
        const struct wire_header *header = &message->headers[i];
        if (strcmp(header->name, name) != 0)
            continue;
        if (!header->value || memchr(header->value, '\0', header->value_len))
            return NULL;
        return arena_strndup(arena, header->value, header->value_len);
    }
    return NULL;
}

char *wire_command_topic(const char *prefix, const char *service, char out[WIRE_TOPIC_MAX])
{
    snprintf(out, WIRE_TOPIC_MAX, "%s.%s.command", prefix, service);
    return out;
}

char *wire_topic(const char *prefix, const char *what, char out[WIRE_TOPIC_MAX])
{
    snprintf(out, WIRE_TOPIC_MAX, "%s.%s", prefix, what);
    return out;
}

static char *add_hex(char *out, const uint8_t *bytes, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        *out++ = digits[bytes[i] >> 4];
        *out++ = digits[bytes[i] & 15];
    }
    return out;
}

/* `n` lower-case hexadecimal digits, not all of them 0. */
static bool is_id(const char *text, size_t n)
{
    return strspn(text, "0123456789abcdef") >= n && strspn(text, "0") < n;
}

bool wire_traceparent_valid(const char *text)
{
    return strlen(text) == WIRE_TRACEPARENT_MAX - 1 && strncmp(text, "00-", 3) == 0 && is_id(text + 3, 32) &&
           text[35] == '-' && is_id(text + 36, 16) && text[52] == '-' && strspn(text + 53, "0123456789abcdef") == 2;
}

char *wire_trace_id(const char *parent, const struct uuid *saga_id, char out[WIRE_TRACE_ID_MAX])
{
    if (parent)
        memcpy(out, parent + 3, 32);
    else
        add_hex(out, saga_id->bytes, 16);
    out[32] = '\0';
    return out;
}

char *wire_traceparent(const char *parent, const struct uuid *saga_id, const struct uuid *command_id,
                       char out[WIRE_TRACEPARENT_MAX])
{
    memcpy(out, "00-", 3);
    wire_trace_id(parent, saga_id, out + 3);
    out[35] = '-';
    add_hex(out + 36, command_id->bytes + 8, 8);
    out[52] = '-';
    memcpy(out + 53, parent ? parent + 53 : "01", 3);
    return out;
}

void headers_add(struct buf *out, const char *name, const char *value)
{
    if (out->len > 1)
        buf_char(out, ',');
    buf_json_str(out, name);
    buf_char(out, ':');
    buf_json_str(out, value);
}

void headers_add_number(struct buf *out, const char *name, long long number)
{
    char text[24];
    snprintf(text, sizeof text, "%lld", number);
    headers_add(out, name, text);
}

/* `value` lives as long as the message. */
static void put(struct wire_message *message, const char *name, const char *value)
{
    message->headers[message->headers_n++] = (struct wire_header){name, value, strlen(value)};
}

static void put_number(struct arena *arena, struct wire_message *message, const char *name, int number)
{
    put(message, name, number == 1 ? "1" : arena_printf(arena, "%d", number));
}

static void put_time(struct arena *arena, struct wire_message *message, const char *name, int64_t real_ms)
{
    put(message, name, clock_format(real_ms, arena_alloc(arena, CLOCK_TEXT_MAX)));
}

static char *id_text(struct arena *arena, const struct uuid *id)
{
    return uuid_format(id, arena_alloc(arena, UUID_TEXT_MAX));
}

static void put_common(struct arena *arena, struct wire_message *message, const char *type, const struct uuid *id,
                       const char *source, int64_t now_ms, const struct wire_about *about, const char *traceparent,
                       const char *clock)
{
    message->key = id_text(arena, &about->saga_id);
    message->key_len = strlen(message->key);
    put(message, "ce_specversion", "1.0");
    put(message, "ce_id", id_text(arena, id));
    put(message, "ce_type", type);
    put(message, "ce_source", source);
    put_time(arena, message, "ce_time", now_ms);
    put(message, "content-type", "application/json");
    put(message, "saga-protocol", WIRE_PROTOCOL);
    put(message, "saga-namespace", about->namespace_);
    put(message, "saga-id", message->key);
    put(message, "saga-step", about->step);
    put(message, "saga-kind", about->kind);
    put_number(arena, message, "saga-round", about->round);
    put_number(arena, message, "saga-attempt", about->attempt);
    if (traceparent)
        put(message, "traceparent", traceparent);
    if (clock)
        put(message, "saga-clock", clock);
}

void wire_command_message(struct arena *arena, const struct wire_command *command, int64_t now_ms, struct wire_message *out)
{
    *out = (struct wire_message){.value = command->value, .value_len = command->value_len};
    put_common(arena, out, "saga.command", &command->id, command->source, now_ms, &command->about, command->traceparent, command->clock);
    put(out, "saga-action", command->action);
    if (command->deadline_ms)
        put_time(arena, out, "saga-deadline", command->deadline_ms);
}

void wire_reply_message(struct arena *arena, const struct wire_reply *reply, const struct uuid *id, const char *source,
                        int64_t now_ms, struct wire_message *out)
{
    *out = (struct wire_message){0};
    put_common(arena, out, "saga.reply", id, source, now_ms, &reply->about, reply->traceparent, reply->clock);
}

void wire_headers_text(struct buf *out, const struct wire_message *message)
{
    buf_char(out, '{');
    for (size_t i = 0; i < message->headers_n; i++)
        headers_add(out, message->headers[i].name, message->headers[i].value);
    buf_char(out, '}');
}

void wire_reply_value(struct buf *out, const struct wire_reply *reply)
{
    buf_str(out, "{\"outcome\":");
    buf_json_str(out, reply->outcome);
    if (reply->output) {
        buf_str(out, ",\"output\":");
        buf_add(out, reply->output, reply->output_len);
    }
    if (reply->error) {
        buf_str(out, ",\"error\":");
        buf_str(out, reply->error);
    }
    if (reply->retry_after_ms > 0)
        buf_printf(out, ",\"retry_after\":\"%lldms\"", (long long)reply->retry_after_ms);
    buf_char(out, '}');
}

static bool need(struct arena *arena, const struct wire_message *message, const char *name, const char **value,
                 struct err *err)
{
    *value = wire_header(arena, message, name);
    if (*value && **value)
        return true;
    return err_set(err, ERR_REFUSED, "header %s is missing", name);
}

static bool need_int(struct arena *arena, const struct wire_message *message, const char *name, int *value,
                     struct err *err)
{
    const char *text;
    if (!need(arena, message, name, &text, err))
        return false;
    char *end;
    long number = strtol(text, &end, 10);
    if (*end || number < 1 || number > 1000000000)
        return err_set(err, ERR_REFUSED, "header %s is not a whole number above 0", name);
    *value = (int)number;
    return true;
}

static bool need_type(struct arena *arena, const struct wire_message *message, const char *type, struct err *err)
{
    const char *text, *protocol;
    if (!need(arena, message, "ce_type", &text, err) || !need(arena, message, "saga-protocol", &protocol, err))
        return false;
    if (strcmp(text, type) != 0)
        return err_set(err, ERR_REFUSED, "header ce_type is not %s", type);
    if (strcmp(protocol, WIRE_PROTOCOL) != 0)
        return err_set(err, ERR_REFUSED, "header saga-protocol is not " WIRE_PROTOCOL);
    return true;
}

static bool is_one_of(const char *const *known, size_t n, const char *word)
{
    for (size_t i = 0; word && i < n; i++) {
        if (strcmp(known[i], word) == 0)
            return true;
    }
    return false;
}

static bool read_about(struct arena *arena, const struct wire_message *message, struct wire_about *about, struct err *err)
{
    const char *id;
    if (!need(arena, message, "saga-namespace", &about->namespace_, err) || !need(arena, message, "saga-id", &id, err) ||
        !need(arena, message, "saga-step", &about->step, err) || !need(arena, message, "saga-kind", &about->kind, err) ||
        !need_int(arena, message, "saga-round", &about->round, err) ||
        !need_int(arena, message, "saga-attempt", &about->attempt, err))
        return false;
    if (!uuid_parse(id, &about->saga_id))
        return err_set(err, ERR_REFUSED, "header saga-id is not a UUID");
    if (strlen(about->step) >= WIRE_NAME_MAX || strlen(about->namespace_) >= WIRE_NAME_MAX)
        return err_set(err, ERR_REFUSED, "header saga-step or saga-namespace is longer than %d characters", WIRE_NAME_MAX - 1);
    static const char *const kinds[] = {"action", "compensation", "probe"};
    if (!is_one_of(kinds, 3, about->kind))
        return err_set(err, ERR_REFUSED, "header saga-kind is not action, compensation or probe");
    return true;
}

static bool read_clock(struct arena *arena, const struct wire_message *message, const char **clock, struct err *err)
{
    size_t at = 0;
    while (at < message->headers_n && strcmp(message->headers[at].name, "saga-clock") != 0)
        at++;
    if (at == message->headers_n)
        return true;
    *clock = wire_header(arena, message, "saga-clock");
    if (!*clock)
        return err_set(err, ERR_REFUSED, "header saga-clock has no value, or a NUL character in it");
    struct err inner;
    json_t *value = vclock_read(*clock, strlen(*clock), &inner);
    bool ok = value != NULL;
    json_decref(value);
    return ok || err_set(err, ERR_REFUSED, "header saga-clock: %s", inner.text);
}

bool wire_command_read(struct arena *arena, const struct wire_message *message, struct wire_command *command,
                       struct err *err)
{
    struct wire_command c = {.source = "", .value = message->value, .value_len = message->value_len};
    const char *id;
    if (!need_type(arena, message, "saga.command", err) || !read_about(arena, message, &c.about, err) ||
        !need(arena, message, "saga-action", &c.action, err) || !need(arena, message, "ce_id", &id, err))
        return false;
    if (strlen(c.action) >= WIRE_NAME_MAX)
        return err_set(err, ERR_REFUSED, "header saga-action is longer than %d characters", WIRE_NAME_MAX - 1);
    if (!uuid_parse(id, &c.id))
        return err_set(err, ERR_REFUSED, "header ce_id is not a UUID");
    const char *deadline = wire_header(arena, message, "saga-deadline");
    if (deadline && !clock_parse(deadline, &c.deadline_ms))
        return err_set(err, ERR_REFUSED, "header saga-deadline is not an RFC 3339 time in UTC");
    c.traceparent = wire_header(arena, message, "traceparent");
    if (!read_clock(arena, message, &c.clock, err))
        return false;
    json_t *value = json_read(c.value ? c.value : "", c.value_len, err);
    if (!value)
        return false;
    json_decref(value);
    *command = c;
    return true;
}

static bool read_error(struct arena *arena, const json_t *body, const char **error, struct err *err)
{
    const json_t *value = json_object_get(body, "error");
    if (!value)
        return true;
    if (!json_is_object(value) || !json_is_string(json_object_get(value, "code")))
        return err_set(err, ERR_REFUSED, "/error: expected an object with a string \"code\"");
    struct buf text = buf_new(64 * 1024);
    json_write(&text, value);
    bool fits = !text.failed;
    if (fits)
        *error = arena_strdup(arena, text.data);
    buf_free(&text);
    return fits || err_set(err, ERR_REFUSED, "/error: larger than 64 KB");
}

static bool read_retry_after(const json_t *body, int64_t *ms, struct err *err)
{
    const json_t *value = json_object_get(body, "retry_after");
    if (!value || (json_is_string(value) && duration_parse(json_string_value(value), ms)))
        return true;
    return err_set(err, ERR_REFUSED, "/retry_after: expected a duration like \"250ms\"");
}

static bool read_outcome(struct arena *arena, const json_t *body, struct wire_reply *reply, struct err *err)
{
    static const char *const outcomes[] = {"succeeded", "failed", "retry", "accepted"};
    static const char *const answers[] = {"succeeded", "failed", "in_progress", "not_seen"};
    const char *outcome = json_string_value(json_object_get(body, "outcome"));
    bool probe = strcmp(reply->about.kind, "probe") == 0;
    if (!is_one_of(probe ? answers : outcomes, 4, outcome))
        return err_set(err, ERR_REFUSED, probe ? "/outcome: expected \"succeeded\", \"failed\", \"in_progress\" or \"not_seen\""
                                               : "/outcome: expected \"succeeded\", \"failed\", \"retry\" or \"accepted\"");
    reply->outcome = arena_strdup(arena, outcome);
    return true;
}

static bool read_body(struct arena *arena, const json_t *body, struct wire_reply *reply, struct err *err)
{
    if (!read_outcome(arena, body, reply, err) || !read_error(arena, body, &reply->error, err) || !read_retry_after(body, &reply->retry_after_ms, err))
        return false;
    const json_t *output = json_object_get(body, "output");
    struct buf text = buf_new(OUTPUT_MAX);
    if (output)
        json_write(&text, output);
    else
        buf_str(&text, "null");
    bool fits = !text.failed;
    if (fits) {
        reply->output = arena_strndup(arena, text.data, text.len);
        reply->output_len = text.len;
    }
    buf_free(&text);
    return fits || err_set(err, ERR_REFUSED, "/output: larger than %u bytes", OUTPUT_MAX);
}

bool wire_reply_read(struct arena *arena, const struct wire_message *message, struct wire_reply *reply, struct err *err)
{
    struct wire_reply r = {0};
    if (!need_type(arena, message, "saga.reply", err) || !read_about(arena, message, &r.about, err))
        return false;
    r.traceparent = wire_header(arena, message, "traceparent");
    if (!read_clock(arena, message, &r.clock, err))
        return false;
    json_t *body = json_read(message->value ? message->value : "", message->value_len, err);
    if (!body)
        return false;
    bool ok = read_body(arena, body, &r, err);
    json_decref(body);
    if (ok)
        *reply = r;
    return ok;
}
