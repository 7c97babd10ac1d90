#include "base/problem.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/text.h"

bool problem_add(struct problems *problems, const char *pointer, const char *format, ...)
{
    if (problems->n++ >= PROBLEMS_MAX)
        return false;
    struct problem *problem = &problems->items[problems->n - 1];
    snprintf(problem->pointer, sizeof problem->pointer, "%s", pointer);
    va_list args;
    va_start(args, format);
    text_format(problem->detail, sizeof problem->detail, format, args);
    va_end(args);
    return false;
}

char *pointer_member(const char *parent, const char *name, char out[POINTER_MAX])
{
    int len = snprintf(out, POINTER_MAX, "%s/", parent);
    size_t at = len < 0 ? 0 : (size_t)len;
    for (; *name && at + 2 < POINTER_MAX; name++) {
        if (*name == '~' || *name == '/') {
            out[at++] = '~';
            out[at++] = *name == '~' ? '0' : '1';
        } else {
            out[at++] = *name;
        }
    }
    if (at < POINTER_MAX)
        out[at] = '\0';
    return out;
}

char *pointer_index(const char *parent, size_t index, char out[POINTER_MAX])
{
    snprintf(out, POINTER_MAX, "%s/%zu", parent, index);
    return out;
}
