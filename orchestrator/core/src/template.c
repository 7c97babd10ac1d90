#include "core/template.h"

#include <stdint.h>
#include <string.h>

#include "base/json.h"
#include "path.h"

#define EMBEDDED_MAX (64u * 1024)

enum node_kind { NODE_CONST, NODE_REF, NODE_TEXT, NODE_OBJECT, NODE_ARRAY };

struct template_node {
    enum node_kind kind;
    const json_t *constant;              /* NODE_CONST */
    const char *literal;                 /* a constant piece of NODE_TEXT */
    int step;                            /* NODE_REF: index of the step or TEMPLATE_INPUT */
    const char *source;                  /* NODE_REF: as written, for messages */
    struct path path;                    /* NODE_REF: members below it */
    struct template_node **children;     /* NODE_TEXT, NODE_OBJECT, NODE_ARRAY */
    const char **names;                  /* NODE_OBJECT: the children's */
    size_t children_n;
};

struct compiler {
    struct arena *arena;
    const struct template_names *names;
    struct problems *problems;
};

static struct template_node *new_node(struct compiler *c, enum node_kind kind, size_t children)
{
    struct template_node *node = arena_alloc(c->arena, sizeof *node);
    node->kind = kind;
    node->children = arena_array(c->arena, children, sizeof *node->children);
    return node;
}

/* `text` is what stands between the braces. */
static struct template_node *compile_ref(struct compiler *c, const char *text, const char *pointer)
{
    struct template_node *node = new_node(c, NODE_REF, 0);
    node->source = text;
    if (strstr(text, "${")) {
        problem_add(c->problems, pointer, "'${%s}' has a template in it: they are not nested", text);
        return NULL;
    }
    if (!path_split(arena_strdup(c->arena, text), &node->path)) {
        problem_add(c->problems, pointer, "'${%s}' is not a path of at most %d names joined by dots", text, PATH_PARTS_MAX);
        return NULL;
    }
    const char *fault = path_head(&node->path, c->names, &node->step);
    if (!fault)
        return node;
    problem_add(c->problems, pointer, "'${%s}' %s", text, fault);
    return NULL;
}

static struct template_node *literal_node(struct compiler *c, const char *text, size_t len)
{
    struct template_node *node = new_node(c, NODE_CONST, 0);
    node->literal = arena_strndup(c->arena, text, len);
    return node;
}

/* Cuts a string into literal pieces and references. */
static struct template_node *compile_string(struct compiler *c, const json_t *source, const char *pointer)
{
    const char *text = json_string_value(source);
    if (!strstr(text, "${")) {
        struct template_node *node = new_node(c, NODE_CONST, 0);
        node->constant = source;
        return node;
    }
    struct template_node *node = new_node(c, NODE_TEXT, strlen(text));
    while (*text) {
        const char *open = strstr(text, "${");
        bool escaped = open && open > text && open[-1] == '$';
        size_t plain = open ? (size_t)(open - text) - (escaped ? 1 : 0) : strlen(text);
        if (plain)
            node->children[node->children_n++] = literal_node(c, text, plain);
        if (!open)
            break;
        if (escaped) {
            node->children[node->children_n++] = literal_node(c, "${", 2);
            text = open + 2;
            continue;
        }
        const char *close = strchr(open, '}');
        if (!close) {
            problem_add(c->problems, pointer, "'${' without a closing '}'; write '$${' for the characters themselves");
            return NULL;
        }
        char *path = arena_strndup(c->arena, open + 2, (size_t)(close - open) - 2);
        struct template_node *ref = compile_ref(c, path, pointer);
        if (!ref)
            return NULL;
        node->children[node->children_n++] = ref;
        text = close + 1;
    }
    bool whole = node->children_n == 1 && node->children[0]->kind == NODE_REF;
    return whole ? node->children[0] : node;
}

static struct template_node *compile(struct compiler *c, const json_t *source, const char *pointer);

static struct template_node *compile_object(struct compiler *c, const json_t *source, const char *pointer)
{
    struct template_node *node = new_node(c, NODE_OBJECT, json_object_size(source));
    node->names = arena_array(c->arena, json_object_size(source), sizeof *node->names);
    const char *name;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)source, name, member) {
        char at[POINTER_MAX];
        if (strstr(name, "${"))
            problem_add(c->problems, pointer_member(pointer, name, at), "a member's name is taken as it is: it can have no template in it");
        node->names[node->children_n] = arena_strdup(c->arena, name);
        node->children[node->children_n++] = compile(c, member, pointer_member(pointer, name, at));
    }
    return node;
}

static struct template_node *compile_array(struct compiler *c, const json_t *source, const char *pointer)
{
    struct template_node *node = new_node(c, NODE_ARRAY, json_array_size(source));
    for (size_t i = 0; i < json_array_size(source); i++) {
        char at[POINTER_MAX];
        node->children[node->children_n++] = compile(c, json_array_get(source, i), pointer_index(pointer, i, at));
    }
    return node;
}

static struct template_node *compile(struct compiler *c, const json_t *source, const char *pointer)
{
    if (json_is_string(source))
        return compile_string(c, source, pointer);
    if (json_is_object(source))
        return compile_object(c, source, pointer);
    if (json_is_array(source))
        return compile_array(c, source, pointer);
    struct template_node *node = new_node(c, NODE_CONST, 0);
    node->constant = source;
    return node;
}

struct template_node *template_compile(struct arena *arena, const json_t *source, const struct template_names *names,
                                       const char *pointer, struct problems *problems)
{
    struct compiler c = {arena, names, problems};
    size_t before = problems->n;
    struct template_node *node = compile(&c, source, pointer);
    return problems->n == before ? node : NULL;
}

struct writer {
    template_lookup *lookup;
    void *context;
    struct buf *out;
    struct err *err;
};

static const json_t *resolve(struct writer *w, const struct template_node *ref)
{
    const json_t *value = w->lookup(w->context, ref->step);
    if (ref->step != TEMPLATE_INPUT && json_is_null(value))
        return value; /* of a step that was skipped: so is everything below it */
    for (size_t i = 0; value && i < ref->path.n; i++)
        value = path_member(value, ref->path.parts[i]);
    if (!value)
        err_set_code(w->err, ERR_REFUSED, "bad_input", "'${%s}' leads to no value", ref->source);
    return value;
}

/* A piece of a JSON string: escaped like one, without its quotes. */
static void write_piece(struct buf *out, const char *text)
{
    struct buf quoted = buf_new(out->max);
    buf_json_str(&quoted, text);
    if (quoted.failed)
        out->failed = true;
    else
        buf_add(out, quoted.data + 1, quoted.len - 2);
    buf_free(&quoted);
}

static bool write_text(struct writer *w, const struct template_node *node)
{
    buf_char(w->out, '"');
    for (size_t i = 0; i < node->children_n; i++) {
        const struct template_node *piece = node->children[i];
        if (piece->kind == NODE_CONST) {
            write_piece(w->out, piece->literal);
            continue;
        }
        const json_t *value = resolve(w, piece);
        if (!value)
            return false;
        if (json_is_string(value)) {
            write_piece(w->out, json_string_value(value));
            continue;
        }
        struct buf text = buf_new(EMBEDDED_MAX);
        json_write(&text, value);
        if (text.failed)
            w->out->failed = true;
        write_piece(w->out, buf_text(&text));
        buf_free(&text);
    }
    buf_char(w->out, '"');
    return true;
}

static bool write_node(struct writer *w, const struct template_node *node)
{
    if (w->out->failed)
        return true; /* said once, at the top */
    if (node->kind == NODE_CONST) {
        json_write(w->out, node->constant);
        return true;
    }
    if (node->kind == NODE_REF) {
        const json_t *value = resolve(w, node);
        if (value)
            json_write(w->out, value);
        return value != NULL;
    }
    if (node->kind == NODE_TEXT)
        return write_text(w, node);
    bool object = node->kind == NODE_OBJECT;
    buf_char(w->out, object ? '{' : '[');
    for (size_t i = 0; i < node->children_n; i++) {
        if (i)
            buf_char(w->out, ',');
        if (object) {
            buf_json_str(w->out, node->names[i]);
            buf_char(w->out, ':');
        }
        if (!write_node(w, node->children[i]))
            return false;
    }
    buf_char(w->out, object ? '}' : ']');
    return true;
}

bool template_write(const struct template_node *node, template_lookup *lookup, void *context, struct buf *out,
                    struct err *err)
{
    struct writer w = {lookup, context, out, err};
    if (!write_node(&w, node))
        return false;
    if (out->failed)
        return err_set_code(err, ERR_REFUSED, "too_large", "the expanded input is larger than %zu bytes", out->max);
    return true;
}
