#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define CHUNK_MIN (32 * 1024)
#define CHUNK_MAX (4 * 1024 * 1024)
#define ALIGN 16

struct arena_chunk {
    struct arena_chunk *next;
    size_t used;
    size_t size;
    _Alignas(ALIGN) unsigned char data[];
};

/* As large as all before it together, so that an arena that is used again and again comes to need a single one. */
static struct arena_chunk *chunk_for(struct arena *arena, size_t size)
{
    struct arena_chunk *top = arena->chunks;
    if (top && top->size - top->used >= size)
        return top;
    size_t room = CHUNK_MIN;
    for (const struct arena_chunk *chunk = top; chunk; chunk = chunk->next)
        room += chunk->size;
    if (room > CHUNK_MAX)
        room = CHUNK_MAX;
    if (room < size)
        room = size;
    struct arena_chunk *chunk = mem_grow(NULL, sizeof *chunk + room, 1);
    *chunk = (struct arena_chunk){.next = top, .size = room};
    arena->chunks = chunk;
    return chunk;
}

static void *take(struct arena *arena, size_t size)
{
    size_t rounded = (size + ALIGN - 1) / ALIGN * ALIGN;
    struct arena_chunk *chunk = chunk_for(arena, rounded < size ? SIZE_MAX / 2 : rounded);
    void *memory = chunk->data + chunk->used;
    chunk->used += rounded;
    return memory;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    return memset(take(arena, size), 0, size);
}

void *arena_array(struct arena *arena, size_t count, size_t size)
{
    if (size && count > SIZE_MAX / 2 / size)
        abort();
    return arena_alloc(arena, count * size);
}

char *arena_strndup(struct arena *arena, const char *text, size_t len)
{
    char *copy = take(arena, len + 1);
    memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

char *arena_strdup(struct arena *arena, const char *text)
{
    return text ? arena_strndup(arena, text, strlen(text)) : NULL;
}

char *arena_printf(struct arena *arena, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    va_end(args);
    size_t size = len < 0 ? 1 : (size_t)len + 1;
    char *text = take(arena, size);
    text[0] = '\0';
    vsnprintf(text, size, format, again);
    va_end(again);
    return text;
}

/* The newest is the largest, but for one that was made for something of its own size. */
void arena_reset(struct arena *arena)
{
    struct arena_chunk *keep = arena->chunks;
    if (!keep)
        return;
    arena->chunks = keep->next;
    arena_free(arena);
    if (keep->size > CHUNK_MAX) {
        free(keep);
        return;
    }
    keep->next = NULL;
    keep->used = 0;
    arena->chunks = keep;
}

void arena_free(struct arena *arena)
{
    while (arena->chunks) {
        struct arena_chunk *next = arena->chunks->next;
        free(arena->chunks);
        arena->chunks = next;
    }
}
