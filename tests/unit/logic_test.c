/* JsonLogic: each operation of jsonlogic.com, the conversions of types, and what is refused at registration. */
#include <string.h>

#include "base/json.h"
#include "core/logic.h"
#include "suite.h"

static const char *const names[] = {"charge", ""};
static const struct template_names known = {names, 2};

static const json_t *lookup(void *context, int step)
{
    return json_object_get(context, step == TEMPLATE_INPUT ? "input" : step == 0 ? "charge" : "later");
}

static json_t *read_json(const char *text)
{
    struct err err = {0};
    json_t *value = json_read(text, strlen(text), &err);
    ck_assert_msg(value != NULL, "%s: %s", text, err.text);
    return value;
}

static const char data[] =
    "{\"input\":{\"n\":5,\"zero\":0,\"empty\":\"\",\"text\":\"apple pie\",\"list\":[1,2,3,4],\"no\":null,\"people\":[{\"age\":17},{\"age\":21}]},"
    "\"charge\":{\"id\":\"c-1\",\"amount\":19.5}}";

static const struct {
    const char *rule, *value;
} rules[] = {
    {"true", "true"},
    {"\"x\"", "\"x\""},
    {"[1,{\"var\":\"input.n\"}]", "[1,5]"},
    {"{\"a\":1,\"b\":2}", "{\"a\":1,\"b\":2}"},
    /* data */
    {"{\"var\":\"input.n\"}", "5"},
    {"{\"var\":[\"input.n\"]}", "5"},
    {"{\"var\":[\"input.nothing\",7]}", "7"},
    {"{\"var\":\"input.no\"}", "null"},
    {"{\"var\":\"input.list.1\"}", "2"},
    {"{\"var\":\"input.list.9\"}", "null"},
    {"{\"var\":\"input.list.-1\"}", "null"},
    {"{\"var\":\"input.people.1.age\"}", "21"},
    {"{\"var\":\"steps.charge.output.id\"}", "\"c-1\""},
    {"{\"var\":{\"cat\":[\"input.\",\"n\"]}}", "5"},
    {"{\"missing\":[\"input.n\",\"input.x\",\"input.empty\"]}", "[\"input.x\",\"input.empty\"]"},
    {"{\"missing\":\"input.x\"}", "[\"input.x\"]"},
    {"{\"missing_some\":[1,[\"input.n\",\"input.x\"]]}", "[]"},
    {"{\"missing_some\":[2,[\"input.n\",\"input.x\",\"input.y\"]]}", "[\"input.x\",\"input.y\"]"},
    /* logic */
    {"{\"if\":[true,1,2]}", "1"},
    {"{\"if\":[false,1,2]}", "2"},
    {"{\"if\":[false,1,[],2,3]}", "3"},
    {"{\"if\":[false,1]}", "null"},
    {"{\"?:\":[\"0\",1,2]}", "1"},
    {"{\"!\":[true]}", "false"},
    {"{\"!\":0}", "true"},
    {"{\"!!\":[\"0\"]}", "true"},
    {"{\"!!\":[[]]}", "false"},
    {"{\"!!\":{}}", "true"},
    {"{\"or\":[false,0,\"a\",\"b\"]}", "\"a\""},
    {"{\"or\":[false,0]}", "0"},
    {"{\"and\":[1,\"\",3]}", "\"\""},
    {"{\"and\":[1,3]}", "3"},
    /* comparison */
    {"{\"==\":[1,1]}", "true"},
    {"{\"==\":[1,\"1\"]}", "true"},
    {"{\"==\":[0,false]}", "true"},
    {"{\"==\":[null,0]}", "false"},
    {"{\"==\":[\"\",0]}", "true"},
    {"{\"==\":[1,1.0]}", "true"},
    {"{\"===\":[1,1.0]}", "true"},
    {"{\"===\":[1,\"1\"]}", "false"},
    {"{\"===\":[[1],[1]]}", "false"},
    {"{\"!=\":[1,2]}", "true"},
    {"{\"!=\":[1,\"1\"]}", "false"},
    {"{\"!==\":[1,\"1\"]}", "true"},
    {"{\">\":[2,1]}", "true"},
    {"{\">=\":[1,1]}", "true"},
    {"{\"<\":[\"11\",\"2\"]}", "true"},
    {"{\"<\":[\"11\",2]}", "false"},
    {"{\"<\":[1,2,3]}", "true"},
    {"{\"<\":[1,1,3]}", "false"},
    {"{\"<=\":[1,1,3]}", "true"},
    {"{\"<\":[\"apple\",1]}", "false"},
    {"{\">\":[\"apple\",1]}", "false"},
    /* arithmetic */
    {"{\"+\":[1,2,3]}", "6"},
    {"{\"+\":[\"1.5\",1]}", "2.5"},
    {"{\"+\":\"3.14\"}", "3.14"},
    {"{\"+\":[\"nan\",1]}", "null"},
    {"{\"+\":[\"0x10\",1]}", "null"},
    {"{\"-\":[5,2]}", "3"},
    {"{\"-\":5}", "-5"},
    {"{\"*\":[2,3,4]}", "24"},
    {"{\"/\":[9,2]}", "4.5"},
    {"{\"/\":[1,0]}", "null"},
    {"{\"%\":[101,2]}", "1"},
    {"{\"max\":[1,3,2]}", "3"},
    {"{\"min\":[4,3,5]}", "3"},
    {"{\"max\":[]}", "null"},
    /* texts and arrays */
    {"{\"cat\":[\"a\",1,true,null,[2,3]]}", "\"a1true2,3\""},
    {"{\"substr\":[\"jsonlogic\",4]}", "\"logic\""},
    {"{\"substr\":[\"jsonlogic\",-5]}", "\"logic\""},
    {"{\"substr\":[\"jsonlogic\",1,3]}", "\"son\""},
    {"{\"substr\":[\"jsonlogic\",4,-2]}", "\"log\""},
    {"{\"substr\":[\"\u00fcber\",1,2]}", "\"be\""},
    {"{\"substr\":[\"abc\",9]}", "\"\""},
    {"{\"in\":[\"pie\",{\"var\":\"input.text\"}]}", "true"},
    {"{\"in\":[3,{\"var\":\"input.list\"}]}", "true"},
    {"{\"in\":[\"3\",{\"var\":\"input.list\"}]}", "false"},
    {"{\"in\":[1,null]}", "false"},
    {"{\"merge\":[[1,2],3,[4]]}", "[1,2,3,4]"},
    {"{\"map\":[{\"var\":\"input.list\"},{\"*\":[{\"var\":\"\"},2]}]}", "[2,4,6,8]"},
    {"{\"map\":[null,{\"var\":\"\"}]}", "[]"},
    {"{\"filter\":[{\"var\":\"input.list\"},{\">\":[{\"var\":\"\"},2]}]}", "[3,4]"},
    {"{\"reduce\":[{\"var\":\"input.list\"},{\"+\":[{\"var\":\"current\"},{\"var\":\"accumulator\"}]},0]}", "10"},
    {"{\"all\":[{\"var\":\"input.people\"},{\">\":[{\"var\":\"age\"},16]}]}", "true"},
    {"{\"all\":[[],true]}", "false"},
    {"{\"some\":[{\"var\":\"input.people\"},{\">\":[{\"var\":\"age\"},20]}]}", "true"},
    {"{\"none\":[{\"var\":\"input.people\"},{\">\":[{\"var\":\"age\"},30]}]}", "true"},
    {"{\"none\":[[],true]}", "true"},
    {"{\"log\":\"x\"}", "\"x\""},
};

START_TEST(every_operation_gives_what_jsonlogic_says)
{
    json_t *values = read_json(data);
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        struct err err;
        json_t *rule = read_json(rules[i].rule), *value = logic_value(rule, &known, lookup, values, &err);
        json_t *wanted = read_json(rules[i].value);
        char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY), *expected = json_dumps(wanted, JSON_COMPACT | JSON_ENCODE_ANY);
        ck_assert_msg(strcmp(text, expected) == 0, "%s gives %s", rules[i].rule, text);
        free(text);
        free(expected);
        json_decref(wanted);
        json_decref(rule);
        json_decref(value);
        struct problems problems = {0};
        rule = read_json(rules[i].rule);
        ck_assert_msg(logic_check(rule, &known, "/when", &problems), "%s: %s", rules[i].rule, problems.items[0].detail);
        json_decref(rule);
    }
    json_decref(values);
}
END_TEST

START_TEST(a_rule_that_makes_no_sense_is_refused_at_its_place)
{
    static const struct {
        const char *rule, *pointer, *part;
    } bad[] = {
        {"{\"equals\":[1,1]}", "/when/equals", "no operation 'equals'"},
        {"{\"and\":[true,{\"==\":[1,{\"plus\":[1]}]}]}", "/when/and/1/==/1/plus", "no operation 'plus'"},
        {"{\"var\":\"inputs.n\"}", "/when/var", "must begin with"},
        {"{\"var\":\"\"}", "/when/var", "must begin with"},
        {"{\"var\":\"input..n\"}", "/when/var", "is not a path"},
        {"{\"var\":[\"steps.charge.id\"]}", "/when/var", "must begin with"},
        {"{\"!\":{\"var\":\"steps.later.output.id\"}}", "/when/!/var", "names no step"},
        {"{\"missing\":[\"input.n\",\"steps.x.output\"]}", "/when/missing", "names no step"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct problems problems = {0};
        json_t *rule = read_json(bad[i].rule);
        ck_assert_msg(!logic_check(rule, &known, "/when", &problems), "accepted %s", bad[i].rule);
        ck_assert_str_eq(problems.items[0].pointer, bad[i].pointer);
        ck_assert_msg(strstr(problems.items[0].detail, bad[i].part) != NULL, "%s", problems.items[0].detail);
        json_decref(rule);
    }
}
END_TEST

START_TEST(a_rule_ends_however_deep_its_loops_are)
{
    struct buf text = buf_new(10000);
    const char *numbers = "[0,1,2,3,4,5,6,7,8,9]";
    for (int i = 0; i < 8; i++)
        buf_printf(&text, "{\"map\":[%s,", numbers);
    buf_str(&text, "1");
    for (int i = 0; i < 8; i++)
        buf_str(&text, "]}");
    json_t *rule = read_json(buf_text(&text)), *values = read_json(data);
    struct err err;
    bool holds;
    ck_assert(!logic_is_true(rule, &known, lookup, values, &holds, &err));
    ck_assert_str_eq(err.code, "too_large");
    json_decref(rule);
    json_decref(values);
    buf_free(&text);
}
END_TEST

static void check_too_large(const char *text)
{
    json_t *rule = read_json(text), *values = read_json(data);
    struct err err = {0};
    bool holds;
    ck_assert_msg(!logic_is_true(rule, &known, lookup, values, &holds, &err), "%s", text);
    ck_assert_str_eq(err.code, "too_large");
    json_decref(rule);
    json_decref(values);
}

START_TEST(what_a_rule_makes_is_bounded)
{
    struct buf text = buf_new(200000);
    const char *numbers = "[0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9]";
    buf_printf(&text, "{\"reduce\":[%s,{\"merge\":[{\"var\":\"accumulator\"},{\"var\":\"accumulator\"}]},[1]]}", numbers); /* doubles each time */
    check_too_large(buf_text(&text));
    buf_reset(&text);
    buf_printf(&text, "{\"reduce\":[%s,{\"cat\":[{\"var\":\"accumulator\"},{\"var\":\"accumulator\"}]},\"x\"]}", numbers);
    check_too_large(buf_text(&text));
    buf_reset(&text);
    buf_printf(&text, "{\"cat\":{\"reduce\":[%s,[{\"var\":\"accumulator\"},{\"var\":\"accumulator\"}],\"x\"]}}", numbers); /* shared, not copied */
    check_too_large(buf_text(&text));
    buf_free(&text);
}
END_TEST

START_TEST(a_rule_that_looks_at_nothing_is_constant)
{
    static const char *const constant[] = {"true", "{\"==\":[1,1]}", "{\"and\":[true,{\"!\":false}]}"};
    static const char *const variable[] = {"{\"var\":\"input\"}", "{\"and\":[true,{\"!\":{\"var\":\"input.x\"}}]}", "{\"!\":{\"missing\":[\"input.x\"]}}"};
    for (size_t i = 0; i < 3; i++) {
        json_t *a = read_json(constant[i]), *b = read_json(variable[i]);
        ck_assert(logic_is_constant(a));
        ck_assert(!logic_is_constant(b));
        json_decref(a);
        json_decref(b);
    }
}
END_TEST

static const TTest **const tests[] = {
    &every_operation_gives_what_jsonlogic_says,
    &a_rule_that_makes_no_sense_is_refused_at_its_place,
    &a_rule_ends_however_deep_its_loops_are,
    &what_a_rule_makes_is_bounded,
    &a_rule_that_looks_at_nothing_is_constant,
    NULL,
};
static const struct suite_case cases[] = {{"logic", tests, 0}};
SUITE_MAIN("logic", cases)
