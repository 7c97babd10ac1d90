#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct buf buf_new(size_t max)
{
    return (struct buf){.max = max};
}

void buf_free(struct buf *buf)
{
    free(buf->data);
    *buf = (struct buf){.max = buf->max};
}

void buf_reset(struct buf *buf)
{
    buf->len = 0;
    buf->failed = false;
    if (buf->data)
        buf->data[0] = '\0';
}

/* Room for `extra` more bytes and the terminating zero. */
static bool reserve(struct buf *buf, size_t extra)
{
    if (buf->failed || extra > buf->max - buf->len) {
        buf->failed = true;
        return false;
    }
    size_t need = buf->len + extra + 1;
    if (need <= buf->cap)
        return true;
    size_t cap = buf->cap ? buf->cap : 256;
    while (cap < need)
        cap *= 2;
    buf->data = mem_grow(buf->data, cap, 1);
    buf->cap = cap;
    return true;
}

void buf_add(struct buf *buf, const void *data, size_t len)
{
    if (!reserve(buf, len))
        return;
    if (len)
        memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
}

void buf_str(struct buf *buf, const char *text)
{
    buf_add(buf, text, strlen(text));
}

void buf_char(struct buf *buf, char c)
{
    buf_add(buf, &c, 1);
}

void buf_printf(struct buf *buf, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    size_t room = buf->failed ? 0 : buf->cap - buf->len; /* mostly it fits into what is there */
    int len = vsnprintf(room ? buf->data + buf->len : NULL, room, format, args);
    va_end(args);
    bool written = len >= 0 && (size_t)len < room && (size_t)len <= buf->max - buf->len;
    if (room && !written)
        buf->data[buf->len] = '\0';
    if (len < 0)
        buf->failed = true;
    else if (!written && reserve(buf, (size_t)len))
        written = vsnprintf(buf->data + buf->len, (size_t)len + 1, format, again) >= 0;
    va_end(again);
    if (written)
        buf->len += (size_t)len;
}

static void json_escape(struct buf *buf, unsigned char c)
{
    switch (c) {
    case '"': buf_str(buf, "\\\""); return;
    case '\\': buf_str(buf, "\\\\"); return;
    case '\n': buf_str(buf, "\\n"); return;
    case '\r': buf_str(buf, "\\r"); return;
    case '\t': buf_str(buf, "\\t"); return;
    default: buf_printf(buf, "\\u%04x", c);
    }
}

void buf_json_str(struct buf *buf, const char *text)
{
    buf_char(buf, '"');
    while (*text) {
        size_t plain = 0;
        while ((unsigned char)text[plain] >= 0x20 && text[plain] != '"' && text[plain] != '\\')
            plain++;
        buf_add(buf, text, plain);
        text += plain;
        if (*text)
            json_escape(buf, (unsigned char)*text++);
    }
    buf_char(buf, '"');
}

const char *buf_text(const struct buf *buf)
{
    return buf->data ? buf->data : "";
}
