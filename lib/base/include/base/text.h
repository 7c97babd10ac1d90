/* Text in fixed fields. */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

/* vsnprintf that, when the text is cut, leaves no half of a UTF-8 character at the end. Any thread. */
void text_format(char *out, size_t size, const char *format, va_list args) __attribute__((format(printf, 3, 0)));

/* How many of the bytes, from the first on, are UTF-8 without NUL: what PostgreSQL's text and JSON both take. Any thread. */
size_t text_utf8_prefix(const void *data, size_t len);
bool text_is_utf8(const char *text);

#endif
