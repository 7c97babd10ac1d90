/* The operations of JsonLogic, in the order of jsonlogic.com. Types are converted as JavaScript does. */
#include "logic_rule.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

#define TEXT_MAX (64u * 1024)
#define INTEGER_MAX 9007199254740992.0 /* 2^53: beyond it a double is no integer any more */

/* ---- values ---- */

static json_t *number(double value)
{
    if (!isfinite(value))
        return json_null();
    if (value == floor(value) && fabs(value) < INTEGER_MAX)
        return json_integer((json_int_t)value);
    return json_real(value);
}

bool value_is_true(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_NULL:
    case JSON_FALSE: return false;
    case JSON_INTEGER:
    case JSON_REAL: return json_number_value(value) != 0;
    case JSON_STRING: return json_string_length(value) > 0;
    case JSON_ARRAY: return json_array_size(value) > 0;
    default: return true;
    }
}

/* As JavaScript's Array.join() has them: null is nothing. */
static void add_text(struct buf *out, const json_t *value)
{
    if (out->failed)
        return;
    switch (json_typeof(value)) {
    case JSON_NULL: return;
    case JSON_STRING: buf_str(out, json_string_value(value)); return;
    case JSON_ARRAY:
        for (size_t i = 0; i < json_array_size(value); i++) {
            buf_str(out, i ? "," : "");
            add_text(out, json_array_get(value, i));
        }
        return;
    case JSON_OBJECT: buf_str(out, "[object Object]"); return;
    default: json_write(out, value); return;
    }
}

/* As JavaScript's Number(). */
static double to_number(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_INTEGER:
    case JSON_REAL: return json_number_value(value);
    case JSON_TRUE: return 1;
    case JSON_FALSE:
    case JSON_NULL: return 0;
    case JSON_OBJECT: return NAN;
    default: break;
    }
    struct buf text = buf_new(TEXT_MAX); /* what is longer is no number */
    add_text(&text, value);
    char *end;
    const char *begin = buf_text(&text);
    double result = strtod(begin, &end);
    end += strspn(end, " \t\r\n");
    if (*end || text.failed || strpbrk(begin, "xXnNpP")) /* hexadecimal and words are not what JSON calls a number */
        result = NAN;
    buf_free(&text);
    return result;
}

static bool same_type(const json_t *a, const json_t *b)
{
    return json_typeof(a) == json_typeof(b) || (json_is_number(a) && json_is_number(b)) || (json_is_boolean(a) && json_is_boolean(b));
}

/* Arrays and objects are equal to nothing, as in JavaScript, where two of them are never the same one. */
static bool strictly_equal(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b))
        return json_number_value(a) == json_number_value(b);
    return json_typeof(a) == json_typeof(b) && !json_is_array(a) && !json_is_object(a) && json_equal(a, b);
}

static bool loosely_equal(const json_t *a, const json_t *b)
{
    if (same_type(a, b))
        return strictly_equal(a, b);
    if (json_is_null(a) || json_is_null(b))
        return false;
    return to_number(a) == to_number(b);
}

/* Texts are compared as texts, all else as numbers: -1, 0, 1, or 2 when it cannot be. */
static int compare(const json_t *a, const json_t *b)
{
    if (json_is_string(a) && json_is_string(b)) {
        int order = strcmp(json_string_value(a), json_string_value(b));
        return (order > 0) - (order < 0);
    }
    double x = to_number(a), y = to_number(b);
    if (isnan(x) || isnan(y))
        return 2;
    return (x > y) - (x < y);
}

/* ---- arguments ---- */

/* The argument's value; null where there is none. */
static json_t *argument(const json_t *arguments, size_t i, const struct scope *scope)
{
    const json_t *rule = logic_argument(arguments, i);
    return rule ? rule_value(rule, scope) : json_null();
}

json_t *operation_values(const json_t *arguments, const struct scope *scope)
{
    json_t *values = json_array();
    for (size_t i = 0; i < logic_arguments(arguments); i++)
        json_array_append_new(values, argument(arguments, i, scope));
    return values;
}

/* ---- data ---- */

static const json_t *find_by(const struct scope *scope, const json_t *key)
{
    struct buf path = buf_new(RULE_PATH_MAX);
    if (!json_is_null(key))
        add_text(&path, key);
    const json_t *value = path.failed ? NULL : rule_data(scope, buf_text(&path));
    buf_free(&path);
    return value;
}

static json_t *op_var(const json_t *arguments, const struct scope *scope)
{
    json_t *key = argument(arguments, 0, scope);
    const json_t *value = find_by(scope, key);
    json_decref(key);
    return value && !json_is_null(value) ? json_incref((json_t *)(uintptr_t)value) : argument(arguments, 1, scope);
}

static json_t *missing_of(const json_t *keys, const struct scope *scope)
{
    json_t *missing = json_array();
    for (size_t i = 0; i < json_array_size(keys); i++) {
        json_t *key = json_array_get(keys, i);
        const json_t *value = find_by(scope, key);
        if (!value || json_is_null(value) || (json_is_string(value) && !json_string_length(value)))
            json_array_append(missing, key);
    }
    return missing;
}

static json_t *op_missing(const json_t *arguments, const struct scope *scope)
{
    json_t *keys = operation_values(arguments, scope), *first = json_array_get(keys, 0);
    json_t *missing = missing_of(json_is_array(first) ? first : keys, scope);
    json_decref(keys);
    return missing;
}

static json_t *op_missing_some(const json_t *arguments, const struct scope *scope)
{
    json_t *needed = argument(arguments, 0, scope), *keys = argument(arguments, 1, scope);
    json_t *missing = missing_of(keys, scope);
    if ((double)(json_array_size(keys) - json_array_size(missing)) >= to_number(needed))
        json_array_clear(missing);
    json_decref(needed);
    json_decref(keys);
    return missing;
}

/* ---- logic ---- */

static json_t *op_if(const json_t *arguments, const struct scope *scope)
{
    size_t n = logic_arguments(arguments), i = 0;
    for (; i + 1 < n; i += 2) {
        json_t *condition = argument(arguments, i, scope);
        bool holds = value_is_true(condition);
        json_decref(condition);
        if (holds)
            return argument(arguments, i + 1, scope);
    }
    return i < n ? argument(arguments, i, scope) : json_null();
}

/* The first value that is true (or that is false), else the last one. */
static json_t *first_that_is(const json_t *arguments, const struct scope *scope, bool truth)
{
    json_t *value = json_null();
    for (size_t i = 0; i < logic_arguments(arguments); i++) {
        json_decref(value);
        value = argument(arguments, i, scope);
        if (value_is_true(value) == truth)
            break;
    }
    return value;
}

static json_t *op_or(const json_t *arguments, const struct scope *scope)
{
    return first_that_is(arguments, scope, true);
}

static json_t *op_and(const json_t *arguments, const struct scope *scope)
{
    return first_that_is(arguments, scope, false);
}

static json_t *op_not(const json_t *arguments, const struct scope *scope)
{
    json_t *value = argument(arguments, 0, scope);
    bool truth = value_is_true(value);
    json_decref(value);
    return json_boolean(!truth);
}

static json_t *op_is_true(const json_t *arguments, const struct scope *scope)
{
    json_t *value = argument(arguments, 0, scope);
    bool truth = value_is_true(value);
    json_decref(value);
    return json_boolean(truth);
}

/* ---- comparison ---- */

static bool equal_by(const json_t *arguments, const struct scope *scope, bool (*equal)(const json_t *, const json_t *))
{
    json_t *a = argument(arguments, 0, scope), *b = argument(arguments, 1, scope);
    bool result = equal(a, b);
    json_decref(a);
    json_decref(b);
    return result;
}

static json_t *op_equal(const json_t *arguments, const struct scope *scope)
{
    return json_boolean(equal_by(arguments, scope, loosely_equal));
}

static json_t *op_unequal(const json_t *arguments, const struct scope *scope)
{
    return json_boolean(!equal_by(arguments, scope, loosely_equal));
}

static json_t *op_same(const json_t *arguments, const struct scope *scope)
{
    return json_boolean(equal_by(arguments, scope, strictly_equal));
}

static json_t *op_not_same(const json_t *arguments, const struct scope *scope)
{
    return json_boolean(!equal_by(arguments, scope, strictly_equal));
}

/* Each pair of neighbours has this order, or (if that is allowed) is equal: so three arguments ask for "between". */
static json_t *in_order(const json_t *arguments, const struct scope *scope, int order, bool or_equal)
{
    json_t *values = operation_values(arguments, scope);
    bool holds = json_array_size(values) >= 2;
    for (size_t i = 1; i < json_array_size(values); i++) {
        int found = compare(json_array_get(values, i - 1), json_array_get(values, i));
        holds = holds && (found == order || (or_equal && found == 0));
    }
    json_decref(values);
    return json_boolean(holds);
}

static json_t *op_less(const json_t *arguments, const struct scope *scope)
{
    return in_order(arguments, scope, -1, false);
}

static json_t *op_less_or_equal(const json_t *arguments, const struct scope *scope)
{
    return in_order(arguments, scope, -1, true);
}

static json_t *op_greater(const json_t *arguments, const struct scope *scope)
{
    return in_order(arguments, scope, 1, false);
}

static json_t *op_greater_or_equal(const json_t *arguments, const struct scope *scope)
{
    return in_order(arguments, scope, 1, true);
}

/* ---- arithmetic ---- */

static double add(double a, double b)
{
    return a + b;
}

static double multiply(double a, double b)
{
    return a * b;
}

static double least(double a, double b)
{
    return a < b ? a : b;
}

static double greatest(double a, double b)
{
    return a > b ? a : b;
}

static json_t *fold_numbers(const json_t *arguments, const struct scope *scope, double (*with)(double, double), double empty)
{
    json_t *values = operation_values(arguments, scope);
    double result = json_array_size(values) ? to_number(json_array_get(values, 0)) : empty;
    for (size_t i = 1; i < json_array_size(values); i++)
        result = with(result, to_number(json_array_get(values, i)));
    json_decref(values);
    return number(result);
}

static json_t *op_add(const json_t *arguments, const struct scope *scope)
{
    return fold_numbers(arguments, scope, add, 0);
}

static json_t *op_multiply(const json_t *arguments, const struct scope *scope)
{
    return fold_numbers(arguments, scope, multiply, NAN);
}

static json_t *op_min(const json_t *arguments, const struct scope *scope)
{
    return fold_numbers(arguments, scope, least, NAN);
}

static json_t *op_max(const json_t *arguments, const struct scope *scope)
{
    return fold_numbers(arguments, scope, greatest, NAN);
}

static void two_numbers(const json_t *arguments, const struct scope *scope, double *a, double *b)
{
    json_t *first = argument(arguments, 0, scope), *second = argument(arguments, 1, scope);
    *a = to_number(first);
    *b = to_number(second);
    json_decref(first);
    json_decref(second);
}

static json_t *op_subtract(const json_t *arguments, const struct scope *scope)
{
    double a, b;
    two_numbers(arguments, scope, &a, &b);
    return number(logic_arguments(arguments) == 1 ? -a : a - b);
}

static json_t *op_divide(const json_t *arguments, const struct scope *scope)
{
    double a, b;
    two_numbers(arguments, scope, &a, &b);
    return number(a / b);
}

static json_t *op_modulo(const json_t *arguments, const struct scope *scope)
{
    double a, b;
    two_numbers(arguments, scope, &a, &b);
    return number(fmod(a, b));
}

/* ---- texts and arrays ---- */

static json_t *text_value(struct buf *text, const struct scope *scope)
{
    rule_pay(scope, text->failed ? LOGIC_STEPS_MAX : text->len / 16);
    json_t *value = text->failed ? json_null() : json_stringn(buf_text(text), text->len);
    buf_free(text);
    return value ? value : json_null();
}

static json_t *op_cat(const json_t *arguments, const struct scope *scope)
{
    json_t *values = operation_values(arguments, scope);
    struct buf text = buf_new(TEXT_MAX);
    for (size_t i = 0; i < json_array_size(values); i++)
        add_text(&text, json_array_get(values, i));
    json_decref(values);
    return text_value(&text, scope);
}

/* Where the nth character of a UTF-8 text begins. */
static size_t offset_of(const char *text, long n)
{
    size_t at = 0;
    while (text[at] && n > 0) {
        at++;
        if (((unsigned char)text[at] & 0xc0) != 0x80)
            n--;
    }
    return at;
}

static long length_of(const char *text)
{
    long n = 0;
    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static long clamp(double value, long max)
{
    if (!(value > 0))
        return 0;
    return value > (double)max ? max : (long)value;
}

/* A negative start counts from the end, a negative length leaves so many off. */
static json_t *op_substr(const json_t *arguments, const struct scope *scope)
{
    json_t *values = operation_values(arguments, scope);
    struct buf whole = buf_new(TEXT_MAX), part = buf_new(TEXT_MAX);
    if (json_array_size(values))
        add_text(&whole, json_array_get(values, 0));
    if (whole.failed)
        rule_pay(scope, LOGIC_STEPS_MAX);
    long n = length_of(buf_text(&whole));
    double start = json_array_size(values) > 1 ? to_number(json_array_get(values, 1)) : 0;
    long from = clamp(start < 0 ? (double)n + start : start, n);
    double asked = json_array_size(values) > 2 ? to_number(json_array_get(values, 2)) : (double)(n - from);
    long to = clamp(asked < 0 ? (double)n + asked : (double)from + asked, n);
    size_t first = offset_of(buf_text(&whole), from), last = offset_of(buf_text(&whole), to);
    if (last > first)
        buf_add(&part, buf_text(&whole) + first, last - first);
    buf_free(&whole);
    json_decref(values);
    return text_value(&part, scope);
}

static json_t *op_in(const json_t *arguments, const struct scope *scope)
{
    json_t *needle = argument(arguments, 0, scope), *hay = argument(arguments, 1, scope);
    bool found = false;
    if (json_is_string(hay)) {
        struct buf text = buf_new(TEXT_MAX);
        add_text(&text, needle);
        rule_pay(scope, text.failed ? LOGIC_STEPS_MAX : json_string_length(hay) / 16);
        found = !text.failed && strstr(json_string_value(hay), buf_text(&text)) != NULL;
        buf_free(&text);
    }
    for (size_t i = 0; !found && i < json_array_size(hay) && rule_pay(scope, 1); i++)
        found = strictly_equal(needle, json_array_get(hay, i));
    json_decref(needle);
    json_decref(hay);
    return json_boolean(found);
}

static json_t *op_merge(const json_t *arguments, const struct scope *scope)
{
    json_t *values = operation_values(arguments, scope), *merged = json_array();
    for (size_t i = 0; i < json_array_size(values); i++) {
        json_t *value = json_array_get(values, i);
        if (json_is_array(value) && rule_pay(scope, json_array_size(value)))
            json_array_extend(merged, value);
        else if (!json_is_array(value))
            json_array_append(merged, value);
    }
    json_decref(values);
    return merged;
}

static json_t *of_element(const json_t *arguments, size_t i, const struct scope *scope, const json_t *element)
{
    struct scope inner = *scope;
    inner.element = element;
    return argument(arguments, i, &inner);
}

static json_t *op_map(const json_t *arguments, const struct scope *scope)
{
    json_t *values = argument(arguments, 0, scope), *mapped = json_array();
    for (size_t i = 0; i < json_array_size(values) && rule_pay(scope, 1); i++)
        json_array_append_new(mapped, of_element(arguments, 1, scope, json_array_get(values, i)));
    json_decref(values);
    return mapped;
}

static bool holds_for(const json_t *arguments, const struct scope *scope, const json_t *element)
{
    json_t *value = of_element(arguments, 1, scope, element);
    bool holds = value_is_true(value);
    json_decref(value);
    return holds;
}

static json_t *op_filter(const json_t *arguments, const struct scope *scope)
{
    json_t *values = argument(arguments, 0, scope), *kept = json_array();
    for (size_t i = 0; i < json_array_size(values) && rule_pay(scope, 1); i++) {
        if (holds_for(arguments, scope, json_array_get(values, i)))
            json_array_append(kept, json_array_get(values, i));
    }
    json_decref(values);
    return kept;
}

static json_t *op_reduce(const json_t *arguments, const struct scope *scope)
{
    json_t *values = argument(arguments, 0, scope), *result = argument(arguments, 2, scope);
    for (size_t i = 0; i < json_array_size(values) && rule_pay(scope, 1); i++) {
        json_t *both = json_pack("{s:O, s:o}", "current", json_array_get(values, i), "accumulator", result);
        result = of_element(arguments, 1, scope, both);
        json_decref(both);
    }
    json_decref(values);
    return result;
}

static void count_holding(const json_t *arguments, const struct scope *scope, size_t *holding, size_t *n)
{
    json_t *values = argument(arguments, 0, scope);
    *holding = 0;
    *n = json_array_size(values);
    for (size_t i = 0; i < *n && rule_pay(scope, 1); i++)
        *holding += holds_for(arguments, scope, json_array_get(values, i));
    json_decref(values);
}

/* Of an empty array nothing holds, as jsonlogic.com has it. */
static json_t *op_all(const json_t *arguments, const struct scope *scope)
{
    size_t holding, n;
    count_holding(arguments, scope, &holding, &n);
    return json_boolean(n && holding == n);
}

static json_t *op_some(const json_t *arguments, const struct scope *scope)
{
    size_t holding, n;
    count_holding(arguments, scope, &holding, &n);
    return json_boolean(holding > 0);
}

static json_t *op_none(const json_t *arguments, const struct scope *scope)
{
    size_t holding, n;
    count_holding(arguments, scope, &holding, &n);
    return json_boolean(holding == 0);
}

static json_t *op_log(const json_t *arguments, const struct scope *scope)
{
    return argument(arguments, 0, scope); /* there is no console */
}

/* ---- all of them ---- */

static const struct operation operations[] = {
    {"var", op_var, false},        {"missing", op_missing, false}, {"missing_some", op_missing_some, false},
    {"if", op_if, false},          {"?:", op_if, false},           {"==", op_equal, false},
    {"===", op_same, false},       {"!=", op_unequal, false},      {"!==", op_not_same, false},
    {"!", op_not, false},          {"!!", op_is_true, false},      {"or", op_or, false},
    {"and", op_and, false},        {">", op_greater, false},       {">=", op_greater_or_equal, false},
    {"<", op_less, false},         {"<=", op_less_or_equal, false}, {"max", op_max, false},
    {"min", op_min, false},        {"+", op_add, false},           {"-", op_subtract, false},
    {"*", op_multiply, false},     {"/", op_divide, false},        {"%", op_modulo, false},
    {"cat", op_cat, false},        {"substr", op_substr, false},   {"in", op_in, false},
    {"merge", op_merge, false},    {"map", op_map, true},          {"filter", op_filter, true},
    {"reduce", op_reduce, true},   {"all", op_all, true},          {"none", op_none, true},
    {"some", op_some, true},       {"log", op_log, false},
};

const struct operation *operation_find(const char *name)
{
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        if (strcmp(operations[i].name, name) == 0)
            return &operations[i];
    }
    return NULL;
}
