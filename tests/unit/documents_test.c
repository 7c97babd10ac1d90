/* Examples in documents and in examples/ are read and gone through by the verifier; those that are said to be refused are refused
 * there. A block begins with ```json or ```json refused POINTER. The tests that docs/rules.md names are there. */
#include <dirent.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"
#include "file.h"
#include "suite.h"
#include "verify/verify.h"

#define STATES_MAX 200000

static struct definition *read_text(const char *text, size_t len, struct problems *problems)
{
    struct err err = {0};
    json_t *source = json_read(text, len, &err);
    ck_assert_msg(source != NULL, "%s in %.*s", err.text, (int)len, text);
    *problems = (struct problems){0};
    struct definition *definition = definition_read(source, problems);
    json_decref(source);
    return definition;
}

static void check_good(const char *text, size_t len)
{
    struct problems problems;
    struct verification v;
    struct definition *definition = read_text(text, len, &problems);
    ck_assert_msg(definition != NULL, "%s %s in %.*s", problems.items[0].pointer, problems.items[0].detail, (int)len, text);
    ck_assert(verify(definition, &(struct verify_bounds){STATES_MAX, SIZE_MAX}, &v));
    ck_assert_msg(v.complete && !v.violation, "%s: %s", definition->name, v.violation ? v.violation : "not complete");
    ck_assert_msg(v.completed > 0, "%s never completes", definition->name);
    verify_free(&v);
    definition_free(definition);
}

static void check_refused(const char *text, size_t len, const char *pointer, size_t pointer_len)
{
    struct problems problems;
    ck_assert_msg(read_text(text, len, &problems) == NULL, "not refused: %.*s", (int)len, text);
    ck_assert_uint_eq(strlen(problems.items[0].pointer), pointer_len);
    ck_assert_int_eq(strncmp(problems.items[0].pointer, pointer, pointer_len), 0);
}

START_TEST(every_example_of_the_document_is_what_it_says)
{
    static const char fence[] = "```json", refused[] = " refused ";
    char *document = file_read(SAGA_SOURCE "/docs/definitions.md");
    int good = 0, bad = 0;
    for (char *at = document; (at = strstr(at, fence));) {
        at += strlen(fence);
        char *line_end = strchr(at, '\n'), *end = strstr(line_end, "\n```");
        if (strncmp(at, refused, strlen(refused)) == 0) {
            char *pointer = at + strlen(refused);
            check_refused(line_end, (size_t)(end - line_end), pointer, (size_t)(line_end - pointer));
            bad++;
        } else {
            check_good(line_end, (size_t)(end - line_end));
            good++;
        }
        at = end + 4;
    }
    ck_assert_int_ge(good, 5);
    ck_assert_int_ge(bad, 4);
    free(document);
}
END_TEST

START_TEST(every_file_of_examples_is_a_definition)
{
    DIR *dir = opendir(SAGA_SOURCE "/examples");
    int n = 0;
    ck_assert_ptr_nonnull(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        const char *dot = strrchr(entry->d_name, '.');
        if (!dot || strcmp(dot, ".json") != 0)
            continue;
        char *path = mem_printf(SAGA_SOURCE "/examples/%s", entry->d_name), *text = file_read(path);
        check_good(text, strlen(text));
        free(text);
        free(path);
        n++;
    }
    closedir(dir);
    ck_assert_int_ge(n, 3);
}
END_TEST

/* All sources of tests, one behind the other. */
static struct buf read_tests(void)
{
    static const char *const dirs[] = {"unit", "integration", "e2e"};
    struct buf all = buf_new(4 << 20);
    for (size_t i = 0; i < sizeof dirs / sizeof dirs[0]; i++) {
        char *path = mem_printf(SAGA_SOURCE "/tests/%s", dirs[i]);
        DIR *dir = opendir(path);
        ck_assert_ptr_nonnull(dir);
        for (struct dirent *entry; (entry = readdir(dir));) {
            const char *dot = strrchr(entry->d_name, '.');
            if (!dot || strcmp(dot, ".c") != 0)
                continue;
            char *file = mem_printf("%s/%s", path, entry->d_name), *text = file_read(file);
            buf_str(&all, text);
            free(file), free(text);
        }
        closedir(dir);
        free(path);
    }
    return all;
}

/* A test function that is run, a line of a table, or a mutation. */
static bool is_a_test(const char *tests, const char *name, bool quoted)
{
    char *function = mem_printf("START_TEST(%s)", name), *run = mem_printf("&%s,", name), *line = mem_printf("{\"%s\",", name);
    char *mutation = mem_printf(SAGA_SOURCE "/tests/sim/mutations/%s.patch", name);
    bool found = quoted ? strstr(tests, line) != NULL : (strstr(tests, function) && strstr(tests, run)) || access(mutation, R_OK) == 0;
    free(function), free(run), free(line), free(mutation);
    return found;
}

/* Names stand in the last cell of a row, between ` or ". Returns how many. */
static int check_row(const char *tests, char *cell)
{
    int n = 0;
    for (char *rest = cell, *end; (rest = strpbrk(rest, "`\"")); rest = end + 1, n++) {
        end = strchr(rest + 1, *rest);
        ck_assert_msg(end != NULL, "%s", cell);
        bool quoted = *rest == '"';
        *end = '\0';
        ck_assert_msg(is_a_test(tests, rest + 1, quoted), "there is no test '%s'", rest + 1);
    }
    return n;
}

START_TEST(each_rule_has_a_test_named_after_it)
{
    char *document = file_read(SAGA_SOURCE "/docs/rules.md"), *rest = document;
    struct buf tests = read_tests();
    int rules = 0;
    for (char *line; (line = strsep(&rest, "\n"));) {
        char *cell = strncmp(line, "| ", 2) == 0 ? strstr(line + 2, " | ") : NULL;
        if (!cell || strncmp(line, "| rule |", 8) == 0)
            continue;
        ck_assert_msg(check_row(buf_text(&tests), cell) > 0, "no test: %s", line);
        rules++;
    }
    ck_assert_int_ge(rules, 50);
    buf_free(&tests);
    free(document);
}
END_TEST

static const TTest **const tests[] = {
    &every_example_of_the_document_is_what_it_says,
    &every_file_of_examples_is_a_definition,
    &each_rule_has_a_test_named_after_it,
    NULL,
};
static const struct suite_case cases[] = {{"documents", tests, 60}};
SUITE_MAIN("documents", cases)
