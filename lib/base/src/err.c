#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/text.h"

static void fill(struct err *err, enum err_kind kind, const char *code, const char *format, va_list args)
{
    err->kind = kind;
    err->in_doubt = false;
    snprintf(err->code, sizeof err->code, "%s", code);
    text_format(err->text, sizeof err->text, format, args);
}

bool err_set(struct err *err, enum err_kind kind, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fill(err, kind, "", format, args);
    va_end(args);
    return false;
}

bool err_set_code(struct err *err, enum err_kind kind, const char *code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fill(err, kind, code, format, args);
    va_end(args);
    return false;
}

const char *err_kind_name(enum err_kind kind)
{
    switch (kind) {
    case ERR_NONE: return "none";
    case ERR_RETRY: return "retry";
    case ERR_REFUSED: return "refused";
    case ERR_FATAL: return "fatal";
    }
    return "none";
}
