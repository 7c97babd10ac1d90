#include "core/definition.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "core/logic.h"
#include "entities.h"
#include "graph.h"

#define CANONICAL_MAX (1024u * 1024)
#define ATTEMPTS_MAX 1000000

struct reader {
    struct definition *definition;
    struct problems *problems;
};

static bool is_name(const char *text)
{
    size_t len = strlen(text);
    if (len == 0 || len >= DEFINITION_NAME_MAX || text[0] < 'a' || text[0] > 'z')
        return false;
    return strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789_-") == len;
}

static const char *read_name(struct reader *r, json_t *object, const char *pointer, const char *member)
{
    char at[POINTER_MAX];
    const json_t *value = json_object_get(object, member);
    pointer_member(pointer, member, at);
    if (!value) {
        problem_add(r->problems, at, "a name is missing here");
        return NULL;
    }
    if (!json_is_string(value) || !is_name(json_string_value(value))) {
        problem_add(r->problems, at, "expected a name: a-z, then a-z 0-9 _ -, at most %d characters",
                    DEFINITION_NAME_MAX - 1);
        return NULL;
    }
    return arena_strdup(&r->definition->arena, json_string_value(value));
}

static int64_t read_duration(struct reader *r, json_t *object, const char *pointer, const char *member, int64_t preset)
{
    char at[POINTER_MAX];
    const json_t *value = json_object_get(object, member);
    int64_t ms = preset;
    if (!value)
        return preset;
    if (!json_is_string(value) || !duration_parse(json_string_value(value), &ms) || ms <= 0)
        problem_add(r->problems, pointer_member(pointer, member, at),
                    "expected a duration like \"250ms\", \"5s\", \"10m\", \"2h\" or \"7d\"");
    return ms;
}

static double read_number(struct reader *r, json_t *object, const char *pointer, const char *member, double preset,
                          double min, double max)
{
    char at[POINTER_MAX];
    const json_t *value = json_object_get(object, member);
    if (!value)
        return preset;
    if (json_is_number(value) && json_number_value(value) >= min && json_number_value(value) <= max)
        return json_number_value(value);
    problem_add(r->problems, pointer_member(pointer, member, at), "expected a number from %g to %g", min, max);
    return preset;
}

static int read_attempts(struct reader *r, json_t *object, const char *pointer, int preset)
{
    char at[POINTER_MAX];
    const json_t *value = json_object_get(object, "max_attempts");
    if (!value)
        return preset;
    json_int_t n = json_integer_value(value);
    if (json_is_integer(value) && n >= 1 && n <= ATTEMPTS_MAX)
        return (int)n;
    problem_add(r->problems, pointer_member(pointer, "max_attempts", at), "expected a whole number from 1 to %d",
                ATTEMPTS_MAX);
    return preset;
}

static void read_retry(struct reader *r, json_t *step, const char *pointer, const char *member,
                       struct retry_policy *policy)
{
    static const char *const known[] = {"max_attempts", "initial", "multiplier", "max", "jitter", NULL};
    char at[POINTER_MAX];
    json_t *value = json_object_get(step, member);
    if (!value)
        return;
    pointer_member(pointer, member, at);
    if (!json_is_object(value)) {
        problem_add(r->problems, at, "expected an object");
        return;
    }
    json_check_members(value, at, known, r->problems);
    policy->max_attempts = read_attempts(r, value, at, policy->max_attempts);
    policy->initial_ms = read_duration(r, value, at, "initial", policy->initial_ms);
    policy->max_ms = read_duration(r, value, at, "max", policy->max_ms);
    policy->multiplier = read_number(r, value, at, "multiplier", policy->multiplier, 1, 100);
    policy->jitter = read_number(r, value, at, "jitter", policy->jitter, 0, 1);
}

static const char *read_compensation(struct reader *r, json_t *step, const char *pointer)
{
    char at[POINTER_MAX];
    const json_t *value = json_object_get(step, "compensation");
    if (json_is_null(value))
        return NULL;
    if (!value) {
        problem_add(r->problems, pointer_member(pointer, "compensation", at),
                    "missing: name what undoes this step, or say null when there is nothing to undo");
        return NULL;
    }
    return read_name(r, step, pointer, "compensation");
}

static enum on_timeout read_on_timeout(struct reader *r, json_t *step, const char *pointer)
{
    char at[POINTER_MAX];
    const json_t *value = json_object_get(step, "on_timeout");
    const char *word = json_string_value(value);
    if (!value || (word && strcmp(word, "retry") == 0))
        return ON_TIMEOUT_RETRY;
    if (word && strcmp(word, "probe") == 0)
        return ON_TIMEOUT_PROBE;
    if (word && strcmp(word, "compensate") == 0)
        return ON_TIMEOUT_COMPENSATE;
    problem_add(r->problems, pointer_member(pointer, "on_timeout", at), "expected \"retry\", \"probe\" or \"compensate\"");
    return ON_TIMEOUT_RETRY;
}

static void check_probe(struct reader *r, const char *pointer, const struct step_definition *step)
{
    char retry[POINTER_MAX], at[POINTER_MAX];
    if (step->on_timeout == ON_TIMEOUT_PROBE && step->retry.max_attempts == 1)
        problem_add(r->problems, pointer_member(pointer_member(pointer, "retry", retry), "max_attempts", at),
                    "a probe is an attempt too: with one attempt nothing would be asked");
}

/* Every other step is done before it is sent, or begins after it has succeeded: so the way back never leads over it. */
static void check_pivot(struct reader *r)
{
    const struct definition *definition = r->definition;
    const struct step_definition *pivot = definition->pivot < 0 ? NULL : &definition->steps[definition->pivot];
    char at[POINTER_MAX], pointer[POINTER_MAX];
    if (!pivot)
        return;
    pointer_index("/steps", (size_t)definition->pivot, at);
    if (pivot->on_timeout == ON_TIMEOUT_COMPENSATE)
        problem_add(r->problems, pointer_member(at, "on_timeout", pointer), "a pivot is never given up: expected \"retry\" or \"probe\"");
    for (size_t i = 0; i < definition->steps_n; i++) {
        if ((int)i != definition->pivot && !step_set_has(&pivot->ancestors, i) && !step_set_has(&pivot->descendants, i))
            problem_add(r->problems, pointer_member(at, "pivot", pointer), "the step %s is neither before nor after the pivot",
                        definition->steps[i].name);
    }
}

/* A pivot that might not be sent would be none. */
static void read_when(struct reader *r, const json_t *step, size_t index, const struct template_names *names, const char *pointer)
{
    char at[POINTER_MAX];
    const json_t *when = json_object_get(step, "when");
    if (!when)
        return;
    pointer_member(pointer, "when", at);
    if (json_is_null(when))
        problem_add(r->problems, at, "a condition that is null never holds: leave it out");
    else if (!json_is_object(when) && !json_is_boolean(when))
        problem_add(r->problems, at, "expected a JsonLogic rule, or true or false");
    else if ((int)index == r->definition->pivot)
        problem_add(r->problems, at, "a pivot is always sent: it has no condition");
    else if (logic_check(when, names, at, r->problems))
        r->definition->steps[index].when = when;
}

/* The names that a step's templates and conditions may use are those of its ancestors: they are done before it. */
static void read_values(struct reader *r, json_t *step, size_t index)
{
    struct definition *definition = r->definition;
    const char *names[DEFINITION_STEPS_MAX];
    for (size_t i = 0; i < definition->steps_n; i++)
        names[i] = step_set_has(&definition->steps[index].ancestors, i) ? definition->steps[i].name : "";
    json_t *source = json_object_get(step, "input");
    if (definition->steps[index].child) {
        source = json_pack("{s:s, s:i, s:O*}", "definition", definition->steps[index].child, "version",
                           definition->steps[index].child_version, "input", source);
        if (!json_object_get(source, "input"))
            json_object_set_new(source, "input", json_object());
        json_array_append_new(definition->made, source);
    }
    if (!source && definition->steps[index].kind == STEP_CALLS) {
        source = json_object();
        json_object_set_new(step, "input", source);
    }
    struct template_names ancestors = {names, definition->steps_n};
    char pointer[POINTER_MAX], at[POINTER_MAX];
    pointer_index("/steps", index, pointer);
    if (source)
        definition->steps[index].input =
            template_compile(&definition->arena, source, &ancestors,
                             definition->steps[index].child ? pointer : pointer_member(pointer, "input", at), r->problems);
    read_when(r, step, index, &ancestors, pointer);
}

static void read_pivot(struct reader *r, json_t *step, size_t index, const char *pointer)
{
    char at[POINTER_MAX];
    const json_t *value = json_object_get(step, "pivot");
    if (!value || json_is_false(value))
        return;
    pointer_member(pointer, "pivot", at);
    if (!json_is_true(value))
        problem_add(r->problems, at, "expected true or false");
    else if (r->definition->pivot >= 0)
        problem_add(r->problems, at, "step %d is the pivot already: there is one at most", r->definition->pivot);
    else
        r->definition->pivot = (int)index;
}

static void check_unique(struct reader *r, size_t index, const char *pointer)
{
    const struct step_definition *steps = r->definition->steps;
    char at[POINTER_MAX];
    for (size_t i = 0; i < index && steps[index].name; i++) {
        if (steps[i].name && strcmp(steps[i].name, steps[index].name) == 0)
            problem_add(r->problems, pointer_member(pointer, "name", at), "step %zu has this name already", i);
    }
}

static void read_call(struct reader *r, json_t *step, const char *pointer, size_t index)
{
    static const char *const known[] = {"name",    "service", "action",     "compensation",       "after", "input",
                                        "timeout", "retry",   "on_timeout", "compensation_retry", "pivot", "when",
                                        NULL};
    struct step_definition *out = &r->definition->steps[index];
    out->retry = (struct retry_policy){.max_attempts = 5, .initial_ms = 100, .max_ms = 10000, .multiplier = 2,
                                       .jitter = 0.2};
    out->compensation_retry = out->retry;
    out->compensation_retry.max_attempts = 0;
    out->compensation_retry.max_ms = 60000;
    char at[POINTER_MAX];
    json_check_members(step, pointer, known, r->problems);
    out->service = read_name(r, step, pointer, "service");
    if (out->service && strcmp(out->service, DEFINITION_ORCHESTRATOR) == 0)
        problem_add(r->problems, pointer_member(pointer, "service", at), "the orchestrator itself has this name: a saga is run by \"saga\": NAME");
    out->action = read_name(r, step, pointer, "action");
    out->compensation = read_compensation(r, step, pointer);
    out->timeout_ms = read_duration(r, step, pointer, "timeout", DEFINITION_TIMEOUT_DEFAULT_MS);
    out->on_timeout = read_on_timeout(r, step, pointer);
    read_retry(r, step, pointer, "retry", &out->retry);
    read_retry(r, step, pointer, "compensation_retry", &out->compensation_retry);
    check_probe(r, pointer, out);
    read_pivot(r, step, index, pointer);
}

/* Its child is started and undone by commands like any other action; one that runs for long is asked how it is, without end. */
static void read_child(struct reader *r, json_t *step, const char *pointer, size_t index)
{
    static const char *const known[] = {"name", "saga", "version", "after", "input", "timeout", "retry", "compensation_retry", "pivot", "when",
                                        NULL};
    struct step_definition *out = &r->definition->steps[index];
    char at[POINTER_MAX];
    const json_t *version = json_object_get(step, "version");
    out->retry = (struct retry_policy){.initial_ms = 1000, .max_ms = 60000, .multiplier = 2, .jitter = 0.2};
    out->compensation_retry = out->retry;
    json_check_members(step, pointer, known, r->problems);
    out->child = read_name(r, step, pointer, "saga");
    if (version && (!json_is_integer(version) || json_integer_value(version) < 1 || json_integer_value(version) > DEFINITION_VERSION_MAX))
        problem_add(r->problems, pointer_member(pointer, "version", at), "expected a whole number above 0");
    else
        out->child_version = (int)json_integer_value(version);
    out->service = DEFINITION_ORCHESTRATOR;
    out->action = "start";
    out->compensation = "undo";
    out->timeout_ms = read_duration(r, step, pointer, "timeout", DEFINITION_CHILD_TIMEOUT_MS);
    read_retry(r, step, pointer, "retry", &out->retry);
    read_retry(r, step, pointer, "compensation_retry", &out->compensation_retry);
    read_pivot(r, step, index, pointer);
}

static void read_wait(struct reader *r, json_t *step, const char *pointer, struct step_definition *out)
{
    static const char *const known[] = {"name", "wait", "timeout", "after", "when", NULL};
    char at[POINTER_MAX];
    out->kind = STEP_WAITS;
    json_check_members(step, pointer, known, r->problems);
    out->signal = read_name(r, step, pointer, "wait");
    out->timeout_ms = read_duration(r, step, pointer, "timeout", 0);
    if (!json_object_get(step, "timeout"))
        problem_add(r->problems, pointer_member(pointer, "timeout", at), "missing: say how long the signal may take");
}

/* A signal that is told twice, because an answer was lost, must not reach two steps. */
static void check_signal(struct reader *r, size_t index, const char *pointer)
{
    const struct step_definition *steps = r->definition->steps;
    char at[POINTER_MAX];
    for (size_t i = 0; i < index && steps[index].signal; i++) {
        if (steps[i].signal && strcmp(steps[i].signal, steps[index].signal) == 0)
            problem_add(r->problems, pointer_member(pointer, "wait", at), "step %zu waits for this signal already", i);
    }
}

static void read_delay(struct reader *r, json_t *step, const char *pointer, struct step_definition *out)
{
    static const char *const known[] = {"name", "delay", "after", "when", NULL};
    out->kind = STEP_DELAYS;
    json_check_members(step, pointer, known, r->problems);
    out->timeout_ms = read_duration(r, step, pointer, "delay", 0);
}

static void read_step(struct reader *r, json_t *step, size_t index)
{
    char pointer[POINTER_MAX];
    pointer_index("/steps", index, pointer);
    if (!json_is_object(step)) {
        problem_add(r->problems, pointer, "expected an object");
        return;
    }
    struct step_definition *out = &r->definition->steps[index];
    out->name = read_name(r, step, pointer, "name");
    if (json_object_get(step, "wait"))
        read_wait(r, step, pointer, out);
    else if (json_object_get(step, "delay"))
        read_delay(r, step, pointer, out);
    else if (json_object_get(step, "saga"))
        read_child(r, step, pointer, index);
    else
        read_call(r, step, pointer, index);
    check_signal(r, index, pointer);
    check_unique(r, index, pointer);
}

static void list_names(struct definition *definition)
{
    const char **names = arena_array(&definition->arena, definition->steps_n, sizeof *names);
    for (size_t i = 0; i < definition->steps_n; i++)
        names[i] = definition->steps[i].name;
    definition->names = (struct template_names){names, definition->steps_n};
}

static void read_steps(struct reader *r, json_t *steps)
{
    size_t n = json_array_size(steps);
    if (!json_is_array(steps) || n == 0 || n > DEFINITION_STEPS_MAX) {
        problem_add(r->problems, "/steps", "expected an array of 1 to %d steps", DEFINITION_STEPS_MAX);
        return;
    }
    r->definition->steps = arena_array(&r->definition->arena, n, sizeof *r->definition->steps);
    r->definition->steps_n = n;
    size_t before = r->problems->n;
    for (size_t i = 0; i < n; i++)
        read_step(r, json_array_get(steps, i), i);
    graph_read(r->definition, steps, r->problems);
    if (r->problems->n != before || !graph_link(r->definition, r->problems))
        return; /* which names a template may use is not known */
    check_pivot(r);
    list_names(r->definition);
    for (size_t i = 0; i < n; i++)
        read_values(r, json_array_get(steps, i), i);
}

static char *canonical_text(const json_t *source, struct problems *problems)
{
    struct buf text = buf_new(CANONICAL_MAX);
    json_write_canonical(&text, source);
    if (text.failed)
        problem_add(problems, "", "the definition is larger than %u bytes", CANONICAL_MAX);
    return text.data;
}

struct definition *definition_read(json_t *source, struct problems *problems)
{
    static const char *const known[] = {"name", "timeout", "entities", "on_busy", "steps", NULL};
    if (!json_is_object(source)) {
        problem_add(problems, "", "expected an object");
        return NULL;
    }
    struct definition *definition = mem_alloc(sizeof *definition);
    definition->pivot = -1;
    struct reader r = {definition, problems};
    size_t before = problems->n;
    definition->canonical = canonical_text(source, problems);
    definition->source = json_deep_copy(source);
    definition->made = json_array();
    json_check_members(definition->source, "", known, problems);
    definition->name = read_name(&r, definition->source, "", "name");
    definition->timeout_ms = read_duration(&r, definition->source, "", "timeout", 0);
    entities_read(definition, definition->source, problems);
    read_steps(&r, json_object_get(definition->source, "steps"));
    if (problems->n == before)
        return definition;
    definition_free(definition);
    return NULL;
}

void definition_free(struct definition *definition)
{
    if (!definition)
        return;
    json_decref(definition->source);
    json_decref(definition->made);
    free(definition->canonical);
    arena_free(&definition->arena);
    free(definition);
}

int definition_step(const struct definition *definition, const char *name)
{
    for (size_t i = 0; i < definition->steps_n; i++) {
        if (strcmp(definition->steps[i].name, name) == 0)
            return (int)i;
    }
    return -1;
}

int64_t retry_pause_ms(const struct retry_policy *policy, int attempts, uint64_t spread)
{
    double pause = (double)policy->initial_ms;
    for (int i = 1; i < attempts && pause < (double)policy->max_ms; i++)
        pause *= policy->multiplier;
    if (pause > (double)policy->max_ms)
        pause = (double)policy->max_ms;
    double share = (double)(spread % 10000) / 10000.0;
    return (int64_t)(pause * (1.0 - policy->jitter * share));
}

bool retry_exhausted(const struct retry_policy *policy, int attempts)
{
    return policy->max_attempts > 0 && attempts >= policy->max_attempts;
}
