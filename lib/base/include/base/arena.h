/* Memory of one batch or request, freed all at once. Not for sharing between threads. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

struct arena_chunk;
struct arena {
    struct arena_chunk *chunks;
};

/* A zeroed `struct arena` is empty and ready. */
void *arena_alloc(struct arena *arena, size_t size); /* zeroed, aligned to 16, never NULL */
void *arena_array(struct arena *arena, size_t count, size_t size);
char *arena_strdup(struct arena *arena, const char *text); /* NULL for NULL */
char *arena_strndup(struct arena *arena, const char *text, size_t len);
char *arena_printf(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Forgets everything; keeps one chunk for the next round. */
void arena_reset(struct arena *arena);
void arena_free(struct arena *arena);

#endif
