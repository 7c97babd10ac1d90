/* What a definition takes over from the definitions that it runs as steps. */
#include <string.h>

#include "base/json.h"
#include "core/entity.h"
#include "core/link.h"
#include "suite.h"

static struct definition *known; /* the only one there is: "child", version 3 */

static const struct definition *look_up(void *context, const char *name, int version)
{
    (void)context;
    return strcmp(name, known->name) == 0 && (!version || version == known->version) ? known : NULL;
}

static json_t *read_json(const char *text)
{
    struct err err = {0};
    json_t *value = json_read(text, strlen(text), &err);
    ck_assert_msg(value != NULL, "%s in %s", err.text, text);
    return value;
}

static void know(const char *members)
{
    char text[1000];
    struct problems problems = {0};
    snprintf(text, sizeof text, "{\"name\":\"child\",%s}", members);
    json_t *source = read_json(text);
    known = definition_read(source, &problems);
    ck_assert_msg(known != NULL, "%s", problems.items[0].detail);
    known->version = 3;
    json_decref(source);
}

#define WAIT "\"steps\":[{\"name\":\"d\",\"delay\":\"1s\"}]"
#define PIVOT "\"steps\":[{\"name\":\"p\",\"service\":\"s\",\"action\":\"x\",\"compensation\":null,\"pivot\":true}]"

/* Of a parent with these members and a step with those. */
static void check(const char *child, const char *members, const char *step, const char *linked, const char *pointer)
{
    char text[2000];
    struct problems problems = {0};
    know(child);
    snprintf(text, sizeof text, "{\"name\":\"parent\",%s\"steps\":[{\"name\":\"a\",\"service\":\"s\",\"action\":\"x\",\"compensation\":null},{\"name\":\"b\",\"saga\":\"child\"%s}]}",
             members, step);
    json_t *source = read_json(text);
    definition_link(source, look_up, NULL, &problems);
    ck_assert_msg((problems.n != 0) == (pointer != NULL), "%s: %s", text, problems.n ? problems.items[0].detail : "no problem");
    if (pointer)
        ck_assert_str_eq(problems.items[0].pointer, pointer);
    if (linked) {
        struct buf entities = buf_new(4096);
        if (json_object_get(source, "entities"))
            json_write(&entities, json_object_get(source, "entities"));
        ck_assert_str_eq(buf_text(&entities), linked);
        ck_assert_int_eq(json_integer_value(json_object_get(json_array_get(json_object_get(source, "steps"), 1), "version")), 3);
        struct definition *definition = definition_read(source, &problems);
        ck_assert_msg(definition != NULL, "%s", problems.items[0].detail);
        definition_free(definition);
        buf_free(&entities);
    }
    json_decref(source);
    definition_free(known);
}

START_TEST(a_step_gets_the_version_of_the_saga_that_it_runs)
{
    check(WAIT, "", "", "", NULL);
    check(WAIT, "", ",\"version\":3", "", NULL);
    check(WAIT, "", ",\"version\":2", NULL, "/steps/1/version");
    check(WAIT, "", ",\"version\":4294967299", NULL, NULL); /* left to definition_read */
}
END_TEST

START_TEST(a_child_with_a_pivot_makes_its_step_the_pivot)
{
    check(PIVOT, "", "", "", NULL);
    check(PIVOT, "", ",\"pivot\":true", "", NULL);
    check(PIVOT, "", ",\"pivot\":false", NULL, "/steps/1/pivot");
}
END_TEST

#define HOLDS(entity) "\"entities\":[" entity "]," WAIT

START_TEST(a_root_holds_what_its_children_are_about)
{
    check(HOLDS("\"order:${input.id}\""), "", ",\"input\":{\"id\":\"${input.order}\"}", "[\"order:${input.order}\"]", NULL);
    check(HOLDS("\"order:${input.id}\""), "", ",\"input\":{\"id\":7}", "[\"order:7\"]", NULL);
    check(HOLDS("\"order:${input.id}\""), "", ",\"input\":{\"id\":\"A-${input.n}\"}", "[\"order:A-${input.n}\"]", NULL);
    check(HOLDS("\"order:${input.o.id}\""), "", ",\"input\":{\"o\":\"${input.order}\"}", "[\"order:${input.order.id}\"]", NULL);
    check(HOLDS("\"order:${input.o.id}\""), "", ",\"input\":\"${input}\"", "[\"order:${input.o.id}\"]", NULL);
    check(HOLDS("\"order:${input.ids.1}\""), "", ",\"input\":{\"ids\":[1,2]}", "[\"order:2\"]", NULL);
    check(HOLDS("\"$${x}:${input.id}\""), "", ",\"input\":{\"id\":7}", "[\"$${x}:7\"]", NULL);
    check(HOLDS("{\"key\":\"k\",\"mode\":\"observe\"}"), "", "", "[{\"key\":\"k\",\"mode\":\"observe\"}]", NULL);
    check(HOLDS("\"k\""), "\"entities\":[\"k\"],", "", "[\"k\"]", NULL); /* once */
    check(HOLDS("\"k\""), "\"entities\":[\"l\"],", "", "[\"l\",\"k\"]", NULL);
    check(HOLDS("{\"key\":\"k\",\"mode\":\"observe\"}"), "\"entities\":[\"k\"],", "", "[\"k\"]", NULL);
}
END_TEST

START_TEST(what_a_child_is_about_must_be_known_when_its_root_starts)
{
    check(HOLDS("\"order:${input.id}\""), "", ",\"input\":{\"id\":\"${steps.a.output.id}\"}", NULL, "/steps/1/saga");
    check(HOLDS("\"order:${input.id}\""), "", ",\"input\":{\"id\":null}", NULL, "/steps/1/saga");
    check(HOLDS("\"order:${input.id}\""), "", "", NULL, "/steps/1/saga");
    check(HOLDS("\"order:${input.o.id}\""), "", ",\"input\":{\"o\":\"x${input.order}\"}", NULL, "/steps/1/saga");
    check(HOLDS("\"${input.x}${input.y}\""), "", ",\"input\":{\"x\":\"$\",\"y\":\"${input.z}\"}", NULL, "/steps/1/saga"); /* "$${" is no template */
    check(HOLDS("\"k\""), "\"entities\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\"],", "", NULL, "/steps/1/saga");
}
END_TEST

static const TTest **const tests[] = {&a_step_gets_the_version_of_the_saga_that_it_runs, &a_child_with_a_pivot_makes_its_step_the_pivot,
                                     &a_root_holds_what_its_children_are_about, &what_a_child_is_about_must_be_known_when_its_root_starts, NULL};
static const struct suite_case cases[] = {{"link", tests, 10}};
SUITE_MAIN("link", cases)
