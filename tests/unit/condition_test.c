/* Which conditions can never hold; and that none of which this is said holds for anything that a saga may be given. */
#include <string.h>

#include "base/json.h"
#include "condition.h"
#include "core/logic.h"
#include "suite.h"

#define X "{\"var\":\"input.x\"}"
#define Y "{\"var\":\"input.y\"}"
#define Z "{\"var\":\"input.z\"}"

static json_t *read_json(const char *text)
{
    struct err err;
    json_t *value = json_read(text, strlen(text), &err);
    ck_assert_msg(value != NULL, "%s in %s", err.text, text);
    return value;
}

static bool can_hold(const json_t *when)
{
    static const struct definition definition = {.name = "d"};
    size_t work = CONDITION_WORK;
    return condition_can_hold(&definition, when, &(struct step_set){0}, &work);
}

static void check_all(const char *const *rules, size_t n, bool can)
{
    for (size_t i = 0; i < n; i++) {
        json_t *when = read_json(rules[i]);
        ck_assert_msg(can_hold(when) == can, "%s", rules[i]);
        json_decref(when);
    }
}

START_TEST(what_contradicts_itself_never_holds)
{
    static const char *const never[] = {
        "false", "{\"and\":[]}", "{\"==\":[1,2]}", "{\"and\":[" X ",false]}",
        "{\"and\":[{\">\":[" X ",10]},{\"<\":[" X ",5]}]}",
        "{\"and\":[{\"==\":[" X ",\"a\"]},{\"==\":[" X ",\"b\"]}]}",
        "{\"<\":[" X "," X "]}",
        "{\"in\":[" X ",[]]}",
        "{\"and\":[{\"in\":[" X ",[\"a\",\"b\"]]},{\"===\":[" X ",\"c\"]}]}",
        "{\"and\":[{\"<\":[" X "," Y "]},{\"<\":[" Y "," X "]}]}",
        "{\"===\":[{\"var\":[\"input.x\",1]},null]}",
        "{\"<\":[3," X ",{\"-\":[3,1]}]}",
        "{\"and\":[{\"in\":[\"a\"," X "]},{\"!\":{\"in\":[\"a\"," X "]}}]}",
        /* beside parts that hold, or that are not decided */
        "{\"and\":[{\"==\":[" Y ",\"NL\"]},{\"<\":[" Z "," Y "]},{\">\":[" X ",10]},{\"<\":[" X ",5]}]}",
        "{\"and\":[{\"==\":[{\"*\":[" Y ",7]},91]},{\"!\":" X "},{\"==\":[" X ",5]}]}",
        "{\"and\":[" X ",{\"in\":[1,[2,3]]}]}",
    };
    check_all(never, sizeof never / sizeof never[0], false);
}
END_TEST

START_TEST(what_holds_for_something_is_not_said_never_to_hold)
{
    static const char *const sometimes[] = {
        X, "{\"!\":" X "}", "true", "{\"and\":[" X "," Y "," Z "]}", "{\"and\":" X "}",
        "{\"and\":[{\">\":[" X ",10]},{\"<\":[" X ",10.5]}]}",
        "{\"and\":[{\"==\":[" X ",1]},{\"!==\":[" X ",1]},{\"!==\":[" X ",true]}]}",
        "{\"and\":[{\">\":[" X ",\"a\"]},{\"<\":[" X ",\"ab\"]}]}",
        "{\"and\":[{\"<\":[1," X "," Y "]},{\"<\":[" Y "," Z ",2]}]}",
        "{\"==\":[{\"*\":[" X ",7]},91]}",
        "{\"and\":[{\"in\":[\"a\"," X "]},{\"!\":{\"in\":[\"b\"," X "]}}]}",
        "{\"if\":[" X ",{\"==\":[" Y ",\"k\"]},false]}",
        "{\"missing\":[\"input.x\"]}",
        "{\">\":[" X ",1e300]}",
        "{\"and\":[{\"<\":[\" 5 \"," X "]},{\">\":[" X ",3]}]}",
        "{\"and\":[{\"==\":[" X ",5]},{\"<\":[" X ",\"5\"]}]}",
        "{\"and\":[{\"==\":[" X ",5]},{\"!==\":[" X ",5]},{\"!==\":[" X ",\"5\"]}]}",
        "{\"and\":[{\"==\":[" X ",5]},{\"<\":[" X ",\"!\"]}]}",
        "{\"and\":[{\">\":[" X ",\"10\"]},{\"<\":[" X ",1]},{\">\":[" X ",0]}]}",
        "{\"and\":[" X ",{\"!\":{\"<\":[" X ",\"5\"]}},{\"!\":{\">=\":[" X ",\"5\"]}}]}",
        "{\"and\":[{\"==\":[" X ",5]},{\"==\":[" Y ",5]},{\"<\":[" X "," Y "]}]}",
    };
    char long_text[400];
    const char *const more[] = {long_text};
    snprintf(long_text, sizeof long_text, "{\"==\":[" X ",\"%0300d\"]}", 7);
    check_all(sometimes, sizeof sometimes / sizeof sometimes[0], true);
    check_all(more, 1, true);
}
END_TEST

/* ---- by chance ---- */

static uint64_t state = 1;

static size_t below(size_t n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(state >> 33) % n;
}

static json_t *constant(void)
{
    static const char *const constants[] = {"0", "1", "5", "10", "-3", "2.5", "\"\"", "\"a\"", "\"b\"", "\"5\"", "\"ab\"", "null", "true", "false", "1e20"};
    return read_json(constants[below(sizeof constants / sizeof constants[0])]);
}

static json_t *variable(void)
{
    return read_json(below(3) ? X : Y);
}

static json_t *operand(void)
{
    return below(2) ? variable() : constant();
}

static json_t *rule(int depth)
{
    static const char *const comparing[] = {"==", "===", "!=", "!==", "<", "<=", ">", ">="};
    static const char *const joining[] = {"and", "and", "or"};
    if (depth && below(3))
        return json_pack("{s:[o,o]}", joining[below(3)], rule(depth - 1), rule(depth - 1));
    switch (below(6)) {
    case 0: return json_pack("{s:o}", "!", rule(0));
    case 1: return json_pack("{s:[o,[o,o]]}", "in", variable(), constant(), constant());
    case 2: return json_pack("{s:[o,o]}", "in", constant(), variable());
    case 3: return json_pack("{s:[o,o,o]}", "<", operand(), operand(), operand());
    case 4: return json_pack("{s:[o,o,o]}", "if", variable(), operand(), operand());
    default: return json_pack("{s:[o,o]}", comparing[below(8)], operand(), operand());
    }
}

/* What services and clients may say, well or badly. */
static json_t *anything(void)
{
    static const char *const values[] = {"0", "1", "4", "5", "7", "10", "11", "-3", "-7", "2.5", "3.25", "1e20", "1e21", "\"\"", "\"a\"", "\"aa\"", "\"b\"", "\"ab\"", "\"A\"",
                                         "\"5\"", "\"05\"", "\" 5\"", "\"5.0\"", "\"5e0\"", "\"2e-1\"", "\"10\"", "\"-3\"", "\"x\"", "null", "true", "false", "[]",
                                         "[5]", "[\"a\"]", "[0,1]", "[5,\"a\",10]", "[null]", "{}", "{\"a\":1,\"b\":2}", "\"1\"", "\"0\"", "\" \""};
    return read_json(values[below(sizeof values / sizeof values[0])]);
}

static const json_t *look_up(void *context, int step)
{
    (void)step;
    return context;
}

static bool holds(const json_t *when, json_t *input)
{
    struct err err;
    bool is_true = false;
    ck_assert(logic_is_true(when, &(struct template_names){0}, look_up, input, &is_true, &err));
    return is_true;
}

START_TEST(no_chance_finds_a_value_for_what_never_holds)
{
    size_t never = 0;
    for (int i = 0; i < 1000; i++) {
        json_t *when = rule(3);
        bool can = can_hold(when);
        never += !can;
        for (int k = 0; !can && k < 2000; k++) {
            json_t *input = json_pack("{s:o,s:o}", "x", anything(), "y", anything());
            if (holds(when, input)) {
                char *text = json_dumps(when, JSON_ENCODE_ANY), *data = json_dumps(input, 0);
                ck_abort_msg("%s holds for %s", text, data);
            }
            json_decref(input);
        }
        json_decref(when);
    }
    ck_assert_uint_gt(never, 20);
}
END_TEST

static const TTest **const tests[] = {&what_contradicts_itself_never_holds, &what_holds_for_something_is_not_said_never_to_hold,
                                      &no_chance_finds_a_value_for_what_never_holds, NULL};
static const struct suite_case cases[] = {{"condition", tests, 60}};
SUITE_MAIN("condition", cases)
