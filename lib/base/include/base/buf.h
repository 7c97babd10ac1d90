/* A growing byte buffer with a maximum. Once an append does not fit, the buffer is marked failed and stays as it was, so
 * that a series of appends needs one check at its end. Not for sharing between threads. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

struct buf {
    char *data; /* always zero-terminated once something was appended */
    size_t len;
    size_t cap;
    size_t max;
    bool failed;
};

/* An empty buffer that holds up to `max` bytes. */
struct buf buf_new(size_t max);
void buf_free(struct buf *buf);
/* Empties it, keeping the memory; clears `failed`. */
void buf_reset(struct buf *buf);
void buf_add(struct buf *buf, const void *data, size_t len);
void buf_str(struct buf *buf, const char *text);
void buf_char(struct buf *buf, char c);
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A JSON string with quotes and escapes. */
void buf_json_str(struct buf *buf, const char *text);
/* The text so far ("" when empty); valid until the next change. */
const char *buf_text(const struct buf *buf);

#endif
