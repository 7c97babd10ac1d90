/* An error that carries the decision besides its text: try again, refuse the input, or give up. Functions that can fail
 * return bool (or NULL), fill the caller's `struct err`, and leave out-parameters untouched; the error is logged exactly
 * once, by whoever handles it. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdbool.h>

enum err_kind {
    ERR_NONE = 0,
    ERR_RETRY,   /* passing: the same call may work later (server away, deadlock, queue full) */
    ERR_REFUSED, /* the input is wrong and stays wrong */
    ERR_FATAL,   /* nothing that this process can do will help (bad configuration, missing schema) */
};

struct err {
    enum err_kind kind;
    bool in_doubt;  /* a COMMIT or message was sent and its answer lost: it may have happened */
    char code[24];  /* SQLSTATE or the name of a library's error; may be empty */
    char text[488]; /* for people; cut when longer */
};

#define MUST_CHECK __attribute__((warn_unused_result))

/* Fills `err` and returns false, so that `return err_set(...)` reads well. */
bool err_set(struct err *err, enum err_kind kind, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* As err_set with a code from the failing library (cut to the field's size). */
bool err_set_code(struct err *err, enum err_kind kind, const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* "retry", "refused", "fatal" or "none". */
const char *err_kind_name(enum err_kind kind);

#endif
