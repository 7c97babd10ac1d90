#include "base/json.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define TEXT_MAX (64u * 1024 * 1024)

/* jansson's iteration wants a mutable object even to read it. */
static json_t *unconst(const json_t *value)
{
    return (json_t *)(uintptr_t)value;
}

int json_text_depth(const char *text, size_t len)
{
    int depth = 0, deepest = 0;
    bool in_string = false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            deepest = ++depth > deepest ? depth : deepest;
        } else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return deepest;
}

json_t *json_read(const char *text, size_t len, struct err *err)
{
    if (json_text_depth(text, len) > JSON_DEPTH_MAX) { /* before a recursive parser meets it */
        err_set(err, ERR_REFUSED, "JSON is nested deeper than %d levels", JSON_DEPTH_MAX);
        return NULL;
    }
    json_error_t fault;
    json_t *value = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &fault);
    if (!value)
        err_set(err, ERR_REFUSED, "line %d, column %d: %s", fault.line, fault.column, fault.text);
    return value;
}

/* The fewest digits that read back as the same double. */
static void write_real(struct buf *out, double number)
{
    char text[40];
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, number);
        if (strtod(text, NULL) == number)
            break;
    }
    buf_str(out, text);
    if (!strpbrk(text, ".eE"))
        buf_str(out, ".0");
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void write_value(struct buf *out, const json_t *value, bool sorted);

static void write_member(struct buf *out, const char *name, const json_t *value, bool sorted)
{
    buf_json_str(out, name);
    buf_char(out, ':');
    write_value(out, value, sorted);
}

static void write_sorted_object(struct buf *out, const json_t *object)
{
    size_t n = json_object_size(object), at = 0;
    const char **names = mem_array(n, sizeof *names);
    const char *name;
    json_t *member;
    json_object_foreach(unconst(object), name, member)
        names[at++] = name;
    qsort(names, n, sizeof *names, by_name);
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_char(out, ',');
        write_member(out, names[i], json_object_get(object, names[i]), true);
    }
    free(names);
}

static void write_object(struct buf *out, const json_t *object, bool sorted)
{
    const char *name;
    json_t *member;
    bool first = true;
    buf_char(out, '{');
    if (sorted)
        write_sorted_object(out, object);
    else
        json_object_foreach(unconst(object), name, member) {
            if (!first)
                buf_char(out, ',');
            first = false;
            write_member(out, name, member, false);
        }
    buf_char(out, '}');
}

static void write_array(struct buf *out, const json_t *array, bool sorted)
{
    buf_char(out, '[');
    for (size_t i = 0; i < json_array_size(array); i++) {
        if (i)
            buf_char(out, ',');
        write_value(out, json_array_get(array, i), sorted);
    }
    buf_char(out, ']');
}

static void write_value(struct buf *out, const json_t *value, bool sorted)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT: write_object(out, value, sorted); return;
    case JSON_ARRAY: write_array(out, value, sorted); return;
    case JSON_STRING: buf_json_str(out, json_string_value(value)); return;
    case JSON_INTEGER: buf_printf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value)); return;
    case JSON_REAL: write_real(out, json_real_value(value)); return;
    case JSON_TRUE: buf_str(out, "true"); return;
    case JSON_FALSE: buf_str(out, "false"); return;
    case JSON_NULL: buf_str(out, "null"); return;
    }
}

void json_write(struct buf *out, const json_t *value)
{
    write_value(out, value, false);
}

void json_write_canonical(struct buf *out, const json_t *value)
{
    write_value(out, value, true);
}

char *json_text(const json_t *value)
{
    struct buf out = buf_new(TEXT_MAX);
    json_write(&out, value);
    if (out.failed)
        abort(); /* every value read from outside is bounded far below this */
    return out.data;
}

void json_write_error(struct buf *out, const char *code, const char *message)
{
    buf_str(out, "{\"code\":");
    buf_json_str(out, code);
    buf_str(out, ",\"message\":");
    buf_json_str(out, message);
    buf_char(out, '}');
}

void json_check_members(const json_t *object, const char *pointer, const char *const *known, struct problems *problems)
{
    const char *name;
    json_t *member;
    json_object_foreach(unconst(object), name, member) {
        size_t i = 0;
        while (known[i] && strcmp(known[i], name) != 0)
            i++;
        char at[POINTER_MAX];
        if (!known[i])
            problem_add(problems, pointer_member(pointer, name, at), "unknown member");
    }
}
