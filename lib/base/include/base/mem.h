/* Checked allocation. Running out of memory ends the process with a message: a process of this system may die at any
 * moment without losing or doubling anything, so there is no half-working state worth limping on in. Sizes that come
 * from outside are bounded before they get here. All functions may be called from any thread. */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>

/* Never NULL; the memory is zeroed. Free with free(). */
void *mem_alloc(size_t size);
/* As mem_alloc for `count` elements, checking the product for overflow. */
void *mem_array(size_t count, size_t size);
/* As realloc for `count` elements; new memory is not zeroed. Never NULL. */
void *mem_grow(void *old, size_t count, size_t size);
/* A copy that the caller frees; NULL for NULL. */
char *mem_strdup(const char *text);
/* A copy of the first `len` bytes with a terminating zero; the caller frees it. */
char *mem_strndup(const char *text, size_t len);
/* printf into fresh memory that the caller frees. */
char *mem_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
