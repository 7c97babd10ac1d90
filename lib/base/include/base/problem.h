/* What is wrong with a document, and where: a list of JSON Pointers (RFC 6901) with what was expected there. */
#ifndef BASE_PROBLEM_H
#define BASE_PROBLEM_H

#include <stdbool.h>
#include <stddef.h>

#define PROBLEMS_MAX 16
#define POINTER_MAX 1024 /* longer ones are cut */

struct problem {
    char pointer[POINTER_MAX]; /* "" is the whole document */
    char detail[200];
};

/* Zero it to begin. Past PROBLEMS_MAX further problems are counted, not kept. */
struct problems {
    size_t n;
    struct problem items[PROBLEMS_MAX];
};

/* Adds a problem at `pointer`; always false, so that `return problem_add(...)` reads well. */
bool problem_add(struct problems *problems, const char *pointer, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* `parent` + "/" + the member's name, escaped (~0, ~1), into `out`; returns `out`. */
char *pointer_member(const char *parent, const char *name, char out[POINTER_MAX]);
char *pointer_index(const char *parent, size_t index, char out[POINTER_MAX]);

#endif
