/* Of a condition that is an `and`, parts of one or two things that are read are looked at: if one of them cannot hold, neither can the whole.
 * Comparisons tell values apart only by the constants that they are compared with, so few values stand for all: the constants, what lies between two of
 * them, and what lies outside; as many as the part reads, since those are compared with each other, too. A text is compared with texts by its
 * letters and with numbers by its value, and one number has endless spellings: so no part is decided in which a text can meet both. */
#include "condition.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "core/logic.h"

#define READS_MAX 2
#define PATHS_MAX 8 /* that are looked at, each alone and each two */
#define CONSTANTS_MAX 16
#define LISTED_MAX 4 /* constants, if lists of them are tried */
#define PATH_MAX_BYTES 256

/* What a part reads at one path. */
struct read {
    char path[PATH_MAX_BYTES];
    bool compared, searched; /* as a value, as a list */
    json_t *values;          /* that are tried */
};

struct part {
    struct read reads[READS_MAX];
    size_t reads_n;
    json_t *constants;
    bool decidable;
};

/* ---- what it reads and compares ---- */

static bool is_scalar(const json_t *value)
{
    return value && !json_is_object(value) && !json_is_array(value);
}

static void add_constant(struct part *c, const json_t *value)
{
    size_t i;
    const json_t *known;
    json_array_foreach(c->constants, i, known) {
        if (json_equal(known, value))
            return;
    }
    json_array_append(c->constants, (json_t *)(uintptr_t)value);
    if (json_array_size(c->constants) > CONSTANTS_MAX)
        c->decidable = false;
}

static void add_read(struct part *c, const json_t *arguments, bool searched)
{
    const json_t *path = logic_argument(arguments, 0), *otherwise = logic_argument(arguments, 1);
    size_t i = 0;
    if (!json_is_string(path) || json_string_length(path) >= PATH_MAX_BYTES || (otherwise && !is_scalar(otherwise)) || logic_arguments(arguments) > 2) {
        c->decidable = false;
        return;
    }
    while (i < c->reads_n && strcmp(c->reads[i].path, json_string_value(path)) != 0)
        i++;
    if (i == READS_MAX) {
        c->decidable = false;
        return;
    }
    struct read *read = &c->reads[i];
    c->reads_n = i == c->reads_n ? i + 1 : c->reads_n;
    snprintf(read->path, sizeof read->path, "%s", json_string_value(path));
    *(searched ? &read->searched : &read->compared) = true;
    if (read->searched && read->compared)
        c->decidable = false;
    if (otherwise)
        add_constant(c, otherwise);
}

static void look_at(struct part *c, const json_t *rule);

/* Something in a list: one of the two is written out. */
static void look_at_search(struct part *c, const json_t *arguments)
{
    const json_t *what = logic_argument(arguments, 0), *where = logic_argument(arguments, 1), *inner = NULL;
    const char *read = logic_operation(where, &inner);
    size_t i;
    const json_t *element;
    if (logic_arguments(arguments) != 2 || !what || !where || (!json_is_array(where) && (!is_scalar(what) || !read || strcmp(read, "var") != 0))) {
        c->decidable = false;
        return;
    }
    look_at(c, what);
    if (!json_is_array(where))
        add_read(c, inner, true);
    json_array_foreach(where, i, element)
        look_at(c, element);
}

static bool is_among(const char *name, const char *const *names)
{
    while (*names && strcmp(*names, name) != 0)
        names++;
    return *names;
}

/* A part without anything that is read, whatever it does. */
static void look_at_result(struct part *c, const json_t *rule)
{
    struct err err;
    json_t *value = logic_value(rule, &(struct template_names){0}, NULL, NULL, &err);
    if (is_scalar(value))
        add_constant(c, value);
    else
        c->decidable = false;
    json_decref(value);
}

static void look_at(struct part *c, const json_t *rule)
{
    static const char *const plain[] = {"==", "===", "!=", "!==", "<", "<=", ">", ">=", "!", "!!", "and", "or", "if", "?:", NULL};
    const json_t *arguments;
    const char *name = logic_operation(rule, &arguments);
    if (logic_is_constant(rule)) {
        look_at_result(c, rule);
    } else if (name && strcmp(name, "var") == 0) {
        add_read(c, arguments, false);
    } else if (name && strcmp(name, "in") == 0) {
        look_at_search(c, arguments);
    } else if (name && is_among(name, plain)) {
        for (size_t i = 0; i < logic_arguments(arguments); i++)
            look_at(c, logic_argument(arguments, i));
    } else {
        c->decidable = false;
    }
}

/* ---- values that make a difference ---- */

static int by_size(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

/* The numbers among the constants, also those written as text, in order. */
static size_t numbers_of(const json_t *constants, double *out)
{
    size_t n = 0, i;
    const json_t *value;
    char *end;
    out[n++] = 0; /* null and false */
    out[n++] = 1; /* true */
    json_array_foreach(constants, i, value) {
        const char *text = json_string_value(value);
        if (json_is_number(value))
            out[n++] = json_number_value(value);
        else if (text && *text && (out[n] = strtod(text, &end), !end[strspn(end, " \t\r\n")] && isfinite(out[n])))
            n++;
    }
    qsort(out, n, sizeof *out, by_size);
    return n;
}

/* The number, and texts of this value, in the order of their letters. */
static void add_number(json_t *values, double number)
{
    char text[40];
    json_t *exact = floor(number) == number && fabs(number) < 1e15 ? json_integer((json_int_t)number) : json_real(number);
    json_array_append(values, exact);
    json_array_append_new(values, json_pack("[o]", exact)); /* equal to it, but not strictly */
    for (size_t i = 0; i < 3; i++) {
        snprintf(text, sizeof text, "%s%.17g%s", i == 0 ? " " : "", number, i == 2 ? " " : "");
        json_array_append_new(values, json_string(text));
    }
}

static void add_numbers(json_t *values, const json_t *constants, size_t between)
{
    double numbers[CONSTANTS_MAX + 3];
    size_t n = numbers_of(constants, numbers);
    for (size_t k = 1; k <= between; k++) {
        add_number(values, numbers[0] - (double)k * (1 + fabs(numbers[0]))); /* large ones swallow a 1 */
        add_number(values, numbers[n - 1] + (double)k * (1 + fabs(numbers[n - 1])));
    }
    for (size_t i = 0; i < n; i++) {
        if (i && numbers[i] == numbers[i - 1])
            continue;
        for (size_t k = 1; i && k <= between; k++)
            add_number(values, numbers[i - 1] + (numbers[i] - numbers[i - 1]) * (double)k / (double)(between + 1));
        add_number(values, numbers[i]);
    }
}

/* Each text and what comes directly behind it. */
static void add_texts(json_t *values, const json_t *constants, size_t between)
{
    static const char behind[] = "\x01\x01"; /* READS_MAX of them */
    size_t i;
    const json_t *value;
    json_array_append_new(values, json_string(""));
    json_array_append_new(values, json_string("\x01"));
    json_array_foreach(constants, i, value) {
        if (!json_is_string(value))
            continue;
        for (size_t k = 0; k <= between; k++)
            json_array_append_new(values, json_sprintf("%s%.*s", json_string_value(value), (int)k, behind));
        json_array_append_new(values, json_pack("[O]", value));
    }
}

static json_t *values_of(const struct part *c)
{
    json_t *values = json_pack("[n,b,b,[],[i,i],{s:i,s:i}]", false, true, 1, 2, "a", 1, "b", 2);
    add_numbers(values, c->constants, c->reads_n);
    add_texts(values, c->constants, c->reads_n);
    return values;
}

/* Every list of constants, and none. */
static json_t *lists_of(const struct part *c)
{
    json_t *lists = json_pack("[n]");
    size_t n = json_array_size(c->constants);
    for (unsigned bits = 0; bits < 1u << n; bits++) {
        json_t *list = json_array();
        for (size_t i = 0; i < n; i++) {
            if (bits & 1u << i)
                json_array_append(list, json_array_get(c->constants, i));
        }
        json_array_append_new(lists, list);
    }
    return lists;
}

static bool is_output_of(const char *path, const struct definition *definition, const struct step_set *steps)
{
    char head[DEFINITION_NAME_MAX + 16];
    for (size_t i = 0; i < definition->steps_n; i++) {
        int len = snprintf(head, sizeof head, "steps.%s.", definition->steps[i].name);
        if (step_set_has(steps, i) && strncmp(path, head, (size_t)len) == 0)
            return true;
    }
    return false;
}

static void choose_values(struct part *c, const struct definition *definition, const struct step_set *skipped)
{
    for (size_t i = 0; i < c->reads_n; i++) {
        struct read *read = &c->reads[i];
        if (is_output_of(read->path, definition, skipped))
            read->values = json_pack("[n]");
        else if (!read->searched)
            read->values = values_of(c);
        else if (json_array_size(c->constants) <= LISTED_MAX)
            read->values = lists_of(c);
        else
            c->decidable = false;
    }
}

/* ---- trying ---- */

/* What is read becomes a member of the input, as its place in the list says. */
static void rename_reads(const struct part *c, json_t *rule)
{
    char name[32];
    const char *key;
    size_t i;
    json_t *part, *arguments = json_object_get(rule, "var");
    json_array_foreach(rule, i, part)
        rename_reads(c, part);
    for (i = 0; arguments && i < c->reads_n; i++) {
        if (strcmp(c->reads[i].path, json_string_value(logic_argument(arguments, 0))) != 0)
            continue;
        snprintf(name, sizeof name, "input.%zu", i);
        json_t *renamed = json_pack("[s]", name);
        if (logic_argument(arguments, 1))
            json_array_append(renamed, (json_t *)(uintptr_t)logic_argument(arguments, 1));
        json_object_set_new(rule, "var", renamed);
        return;
    }
    json_object_foreach(rule, key, part)
        rename_reads(c, part);
}

static const json_t *look_up(void *context, int step)
{
    (void)step;
    return context;
}

static bool holds(const json_t *rule, json_t *input)
{
    struct err err;
    bool is_true;
    return !logic_is_true(rule, &(struct template_names){0}, look_up, input, &is_true, &err) || is_true;
}

/* The next combination into `at`; false when all were there. */
static bool next(const struct part *c, size_t *at)
{
    for (size_t i = 0; i < c->reads_n; i++) {
        if (++at[i] < json_array_size(c->reads[i].values))
            return true;
        at[i] = 0;
    }
    return false;
}

static size_t nodes_of(const json_t *rule)
{
    size_t n = 1, i;
    const char *key;
    json_t *inner;
    json_array_foreach(rule, i, inner)
        n += nodes_of(inner);
    json_object_foreach((json_t *)(uintptr_t)rule, key, inner)
        n += nodes_of(inner);
    return n;
}

static bool any_holds(const struct part *c, const json_t *when, size_t *work)
{
    size_t at[READS_MAX] = {0}, nodes = nodes_of(when);
    bool found = false;
    json_t *rule = json_deep_copy(when), *input = json_array();
    rename_reads(c, rule);
    do {
        json_array_clear(input);
        for (size_t i = 0; i < c->reads_n; i++)
            json_array_append(input, json_array_get(c->reads[i].values, at[i]));
        found = *work < nodes || holds(rule, input);
        *work -= *work < nodes ? *work : nodes;
    } while (!found && next(c, at));
    json_decref(rule);
    json_decref(input);
    return found;
}

/* ---- parts ---- */

/* A text can meet a text, and a number. */
static bool mixes(const struct part *c)
{
    size_t texts = 0, i;
    const json_t *value;
    json_array_foreach(c->constants, i, value)
        texts += json_is_string(value);
    return texts && (texts < json_array_size(c->constants) || c->reads_n > 1);
}

static bool part_can_hold(const struct definition *definition, const json_t *rule, const struct step_set *skipped, size_t *work)
{
    struct part c = {.constants = json_array(), .decidable = true};
    if (!logic_is_constant(rule))
        look_at(&c, rule);
    c.decidable = c.decidable && !mixes(&c);
    if (c.decidable)
        choose_values(&c, definition, skipped);
    bool can = !c.decidable || any_holds(&c, rule, work);
    for (size_t i = 0; i < c.reads_n; i++)
        json_decref(c.reads[i].values);
    json_decref(c.constants);
    return can;
}

/* The paths that are read, and for each argument of an `and` which of them, a bit each; 0 for one that is not to be looked at. */
struct conjunction {
    const json_t *arguments;
    char paths[PATHS_MAX][PATH_MAX_BYTES];
    size_t paths_n;
    unsigned *reads;
};

static unsigned bit_of(struct conjunction *conjunction, const char *path)
{
    size_t i = 0;
    while (i < conjunction->paths_n && strcmp(conjunction->paths[i], path) != 0)
        i++;
    if (i == PATHS_MAX)
        return 0;
    if (i == conjunction->paths_n)
        snprintf(conjunction->paths[conjunction->paths_n++], PATH_MAX_BYTES, "%s", path);
    return 1u << i;
}

static unsigned reads_of(struct conjunction *conjunction, const json_t *argument_rule)
{
    struct part c = {.constants = json_array(), .decidable = true};
    unsigned reads = 0;
    look_at(&c, argument_rule);
    for (size_t i = 0; i < c.reads_n && c.decidable; i++) {
        unsigned bit = bit_of(conjunction, c.reads[i].path);
        c.decidable = bit != 0;
        reads |= bit;
    }
    json_decref(c.constants);
    return c.decidable ? reads : 0;
}

/* Those that read some of these paths and no other; NULL when none reads all of them: then it is no part of its own. */
static json_t *part_of(const struct conjunction *conjunction, unsigned paths)
{
    json_t *part = json_array();
    bool joined = false;
    for (size_t i = 0; i < logic_arguments(conjunction->arguments); i++) {
        unsigned reads = conjunction->reads[i];
        if (!reads || (reads & ~paths))
            continue;
        json_array_append(part, (json_t *)(uintptr_t)logic_argument(conjunction->arguments, i));
        joined = joined || reads == paths;
    }
    if (joined)
        return json_pack("{s:o}", "and", part);
    json_decref(part);
    return NULL;
}

static bool all_can_hold(struct conjunction *conjunction, const struct definition *definition, const struct step_set *skipped, size_t *work)
{
    bool can = true;
    for (size_t i = 0; i < logic_arguments(conjunction->arguments); i++) {
        const json_t *one = logic_argument(conjunction->arguments, i);
        conjunction->reads[i] = reads_of(conjunction, one);
        can = can && (!logic_is_constant(one) || part_can_hold(definition, one, skipped, work));
    }
    for (size_t i = 0; i < conjunction->paths_n; i++) {
        for (size_t k = 0; k <= i && can; k++) {
            json_t *part = part_of(conjunction, 1u << i | 1u << k);
            can = !part || part_can_hold(definition, part, skipped, work);
            json_decref(part);
        }
    }
    return can;
}

bool condition_can_hold(const struct definition *definition, const json_t *when, const struct step_set *skipped, size_t *work)
{
    struct conjunction conjunction = {0};
    const char *name = logic_operation(when, &conjunction.arguments);
    if (!name || strcmp(name, "and") != 0 || logic_is_constant(when))
        return part_can_hold(definition, when, skipped, work);
    conjunction.reads = mem_array(logic_arguments(conjunction.arguments) + 1, sizeof *conjunction.reads);
    bool can = all_can_hold(&conjunction, definition, skipped, work);
    free(conjunction.reads);
    return can;
}
