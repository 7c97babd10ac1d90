/* What jansson lacks: numbers written in the shortest form that reads back the same (19.99 stays 19.99), a canonical
 * form for comparing, and strict reading. Any thread, on values that the thread owns. */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/problem.h"

/* Depth of nesting that is accepted from outside (also jansson's own limit is higher than any stack needs). */
#define JSON_DEPTH_MAX 64

/* Parses exactly one JSON value of `len` bytes. Refuses duplicate keys, NUL characters, invalid UTF-8, integers past 64
 * bits and nesting past JSON_DEPTH_MAX. The caller owns the result. NULL with `err` (ERR_REFUSED) otherwise. */
MUST_CHECK json_t *json_read(const char *text, size_t len, struct err *err);

/* Appends the value, members in the order of insertion. */
void json_write(struct buf *out, const json_t *value);
/* The same with members sorted by name at each level: equal values give equal texts. */
void json_write_canonical(struct buf *out, const json_t *value);
/* json_write into fresh memory that the caller frees. */
char *json_text(const json_t *value);

/* Appends {"code": ..., "message": ...}, the form that errors have in replies, steps and history. */
void json_write_error(struct buf *out, const char *code, const char *message);
/* Adds a problem for each member that is not among `known` (ends with NULL), so that a misspelt one is not ignored. */
void json_check_members(const json_t *object, const char *pointer, const char *const *known, struct problems *problems);
/* The deepest nesting of arrays and objects in well-formed JSON (a scalar has 0). */
int json_text_depth(const char *text, size_t len);

#endif
