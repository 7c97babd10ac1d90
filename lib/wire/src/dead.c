#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "headers.h"
#include "wire/wire.h"

#define VALUE_MAX (256u * 1024)
#define HEADERS_MAX (256u * 1024)

static void add_base64(struct buf *out, const unsigned char *data, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < len; i += 3) {
        unsigned long group = (unsigned long)data[i] << 16;
        group |= i + 1 < len ? (unsigned long)data[i + 1] << 8 : 0;
        group |= i + 2 < len ? data[i + 2] : 0;
        char four[4] = {digits[group >> 18], digits[group >> 12 & 63], i + 1 < len ? digits[group >> 6 & 63] : '=',
                        i + 2 < len ? digits[group & 63] : '='};
        buf_add(out, four, sizeof four);
    }
}

/* Bytes that are no text become question marks. */
static const char *as_text(struct arena *arena, const char *data, size_t len)
{
    char *text = arena_strndup(arena, data ? data : "", data ? len : 0);
    for (size_t at = 0; at < len && data;) {
        at += text_utf8_prefix(text + at, len - at);
        if (at < len)
            text[at++] = '?';
    }
    return text;
}

static bool seen_before(const struct wire_message *message, size_t at)
{
    for (size_t i = 0; i < at; i++) {
        if (strcmp(message->headers[i].name, message->headers[at].name) == 0)
            return true;
    }
    return strncmp(message->headers[at].name, "saga-dead-", 10) == 0;
}

static const char *make_headers(struct arena *arena, const struct wire_message *message, const char *reason,
                                int partition, int64_t offset, bool encoded, bool with_theirs)
{
    struct buf out = buf_new(HEADERS_MAX);
    buf_char(&out, '{');
    headers_add(&out, "saga-dead-reason", as_text(arena, reason, strlen(reason)));
    headers_add(&out, "saga-dead-topic", message->topic);
    if (partition >= 0) {
        headers_add_number(&out, "saga-dead-partition", partition);
        headers_add_number(&out, "saga-dead-offset", offset);
    }
    headers_add_number(&out, "saga-dead-size", (long long)message->value_len);
    if (encoded)
        headers_add(&out, "saga-dead-encoding", "base64");
    for (size_t i = 0; i < message->headers_n && with_theirs; i++) {
        const struct wire_header *header = &message->headers[i];
        if (!seen_before(message, i))
            headers_add(&out, as_text(arena, header->name, strlen(header->name)),
                       as_text(arena, header->value, header->value_len));
    }
    buf_char(&out, '}');
    const char *text = out.failed ? NULL : arena_strdup(arena, out.data);
    buf_free(&out);
    return text;
}

void wire_dead_letter(struct arena *arena, const struct wire_message *message, const char *reason, int partition,
                      int64_t offset, struct wire_dead_letter *out)
{
    const unsigned char *value = (const unsigned char *)(message->value ? message->value : "");
    size_t len = !message->value ? 0 : message->value_len < VALUE_MAX ? message->value_len : VALUE_MAX;
    size_t valid = text_utf8_prefix(value, len);
    bool cut_inside = len < message->value_len && len - valid < 4; /* only the cut spoilt the last character */
    bool encoded = valid < len && !cut_inside;
    struct buf text = buf_new(2 * VALUE_MAX);
    if (encoded)
        add_base64(&text, value, len);
    else
        buf_add(&text, value, valid);
    out->value = arena_strndup(arena, buf_text(&text), text.len);
    out->value_len = text.len;
    buf_free(&text);
    out->key = message->key ? as_text(arena, message->key, message->key_len) : NULL;
    out->headers = make_headers(arena, message, reason, partition, offset, encoded, true);
    if (!out->headers) /* theirs are too large to keep */
        out->headers = make_headers(arena, message, reason, partition, offset, encoded, false);
}
