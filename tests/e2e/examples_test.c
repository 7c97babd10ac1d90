/* The examples of docs/definitions.md and of examples/ are run as the document starts them: once to their end, and once for each step that may be
 * refused; what is undone then, and in which order, is what the verifier says. A participant of the tests answers for all services.
 * The verifier lets all others succeed before the one is refused: so of branches beside each other each has one step, or not all of it may have begun. */
#include <glob.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "file.h"
#include "participant.h"
#include "suite.h"
#include "verify/verify.h"
#include "world.h"

#define STATES_MAX 1000 /* the table of failures does not depend on it */
#define DELAY "100ms"   /* of each delay, however long it is in the document */
#define OUTPUT "{\"charge_id\":\"c-1\",\"price\":10,\"monthly\":5,\"causes\":[\"fire\"],\"tracking\":\"t-1\",\"label\":\"l-1\",\"parcel\":\"p-1\"," \
               "\"ticket\":\"k-1\",\"hold_id\":\"h-1\",\"settlement_id\":\"s-1\"}"
#define NOTED_MAX 64

static const char *const services[] = {"accounts", "cars", "carriers", "claims", "clearing", "experts", "flights", "hotels", "inventory", "licences",
                                       "mail", "market", "payment", "printer", "risk", "sales", "shipping", "storage", "subscriptions", "warehouse"};

/* ---- the participant ---- */

struct noted {
    char saga[UUID_TEXT_MAX], step[DEFINITION_NAME_MAX + 1];
};

static struct {
    pthread_mutex_t lock;
    const char *refuses; /* the step whose action is refused; NULL: none */
    struct noted undone[NOTED_MAX]; /* in the order in which their compensations came */
    size_t undone_n;
} played = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void note(const struct wire_command *command)
{
    struct noted noted;
    uuid_format(&command->about.saga_id, noted.saga);
    snprintf(noted.step, sizeof noted.step, "%s", command->about.step);
    for (size_t i = 0; i < played.undone_n; i++) {
        if (strcmp(played.undone[i].saga, noted.saga) == 0 && strcmp(played.undone[i].step, noted.step) == 0)
            return; /* it came twice */
    }
    ck_assert_uint_lt(played.undone_n, NOTED_MAX);
    played.undone[played.undone_n++] = noted;
}

static void answer(struct participant *self, const struct wire_command *command)
{
    pthread_mutex_lock(&played.lock);
    bool undoes = strcmp(command->about.kind, "compensation") == 0;
    bool refuses = !undoes && played.refuses && strcmp(played.refuses, command->about.step) == 0;
    if (undoes)
        note(command);
    pthread_mutex_unlock(&played.lock);
    participant_reply(self, command, refuses ? "{\"outcome\":\"failed\",\"error\":{\"code\":\"no\"}}" : "{\"outcome\":\"succeeded\",\"output\":" OUTPUT "}");
}

static void play(const char *refuses)
{
    pthread_mutex_lock(&played.lock);
    played.refuses = refuses;
    played.undone_n = 0;
    pthread_mutex_unlock(&played.lock);
}

/* ---- a definition and how it is started ---- */

struct example {
    json_t *source;
    struct definition *definition;
    char *input;
    struct verification foreseen;
};

/* Nobody waits two weeks for a test; and a slow machine is no silent service. */
static void change_times(json_t *source)
{
    size_t i;
    json_t *step;
    json_array_foreach(json_object_get(source, "steps"), i, step) {
        if (json_object_get(step, "delay"))
            json_object_set_new(step, "delay", json_string(DELAY));
        if (json_object_get(step, "service"))
            json_object_set_new(step, "timeout", json_string("30s"));
    }
}

/* `after` is the place in the document behind which the start stands. */
static struct example example_read(const char *json, size_t len, const char *after)
{
    struct err err;
    struct problems problems = {0};
    struct example example = {.source = json_read(json, len, &err)};
    ck_assert_msg(example.source != NULL, "%s", err.text);
    change_times(example.source);
    example.definition = definition_read(example.source, &problems);
    ck_assert_msg(example.definition != NULL, "%s %s", problems.items[0].pointer, problems.items[0].detail);
    ck_assert(verify(example.definition, &(struct verify_bounds){STATES_MAX, SIZE_MAX}, &example.foreseen));
    char *words = mem_printf("    sagactl start %s --input '", example.definition->name);
    const char *start = strstr(after, words);
    ck_assert_msg(start != NULL, "the document does not start %s", example.definition->name);
    start += strlen(words);
    example.input = mem_strndup(start, (size_t)(strchr(start, '\'') - start));
    free(words);
    return example;
}

static void example_free(struct example *example)
{
    verify_free(&example->foreseen);
    definition_free(example->definition);
    json_decref(example->source);
    free(example->input);
}

/* ---- one run ---- */

static struct world world;

static void apply(const json_t *source)
{
    char *body = json_dumps(source, JSON_COMPACT);
    struct answer answered = world_post(&world, "/v1/definitions", body);
    ck_assert_msg(answered.status == 201 || answered.status == 200, "%d %s", answered.status, answered.text);
    answer_free(&answered);
    free(body);
}

/* One that is on its way back does not want it any more. */
static void signal_all(const struct definition *definition, const char *saga, bool may_turn)
{
    for (size_t i = 0; i < definition->steps_n; i++) {
        if (definition->steps[i].kind != STEP_WAITS)
            continue;
        char *path = mem_printf("%s/signals/%s", saga, definition->steps[i].signal);
        struct answer answered = world_post(&world, path, "{\"by\":\"the boss\"}");
        ck_assert_msg(answered.status == 200 || (may_turn && answered.status == 409), "%d %s", answered.status, answered.text);
        answer_free(&answered);
        free(path);
    }
}

/* The saga's path, once it is at rest in this state. */
static char *run(const struct example *example, const char *refuses, const char *state)
{
    char *body = mem_printf("{\"definition\":\"%s\",\"input\":%s}", example->definition->name, example->input);
    play(refuses);
    struct answer answered = world_post(&world, "/v1/sagas", body);
    ck_assert_msg(answered.status == 201, "%d %s", answered.status, answered.text);
    char *saga = mem_strdup(answered.location), *wait = mem_printf("%s?wait=20s", saga);
    answer_free(&answered);
    signal_all(example->definition, saga, refuses != NULL);
    answered = world_get(&world, wait);
    ck_assert_msg(strcmp(text(answered.body, "state"), state) == 0, "%s, %s refused, is not %s: %s", example->definition->name, refuses ? refuses : "none",
                  state, answered.text);
    answer_free(&answered);
    free(wait);
    free(body);
    return saga;
}

/* ---- what is undone ---- */

/* The steps of the saga that the participant has undone, in that order. */
static size_t undone_of(const struct definition *definition, const char *saga, int *steps)
{
    size_t n = 0;
    pthread_mutex_lock(&played.lock);
    for (size_t i = 0; i < played.undone_n; i++) {
        if (strcmp(played.undone[i].saga, strrchr(saga, '/') + 1) == 0)
            steps[n++] = definition_step(definition, played.undone[i].step);
    }
    pthread_mutex_unlock(&played.lock);
    return n;
}

static bool is_among(const int *steps, size_t n, int step)
{
    for (size_t i = 0; i < n; i++) {
        if (steps[i] == step)
            return true;
    }
    return false;
}

static void check_undone(const struct definition *definition, const struct verify_failure *foreseen, const char *saga)
{
    int undone[NOTED_MAX];
    size_t n = undone_of(definition, saga, undone), expected_n = 0;
    for (size_t i = 0; i < foreseen->undone_n; i++) {
        if (definition->steps[foreseen->undone[i]].child)
            continue; /* by its own compensations */
        expected_n++;
        ck_assert_msg(is_among(undone, n, foreseen->undone[i]), "%s: %s is not undone", definition->name, definition->steps[foreseen->undone[i]].name);
    }
    ck_assert_uint_eq(n, expected_n);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = i + 1; k < n; k++)
            ck_assert_msg(!step_set_has(&definition->steps[undone[i]].descendants, (size_t)undone[k]), "%s: %s is undone too early", definition->name,
                          definition->steps[undone[i]].name);
    }
}

static void check_refusals(const struct example *example)
{
    for (size_t i = 0; i < example->definition->steps_n; i++) {
        const struct verify_failure *foreseen = &example->foreseen.failed[i];
        const struct step_definition *step = &example->definition->steps[i];
        if (step->kind != STEP_CALLS || step->child)
            continue;
        char *saga = run(example, step->name, foreseen->stalls ? "STALLED" : "COMPENSATED");
        check_undone(example->definition, foreseen, saga);
        free(saga);
    }
}

static void check_example(const char *json, size_t len, const char *after)
{
    struct example example = example_read(json, len, after);
    apply(example.source);
    char *saga = run(&example, NULL, "COMPLETED");
    ck_assert_uint_eq(played.undone_n, 0);
    free(saga);
    check_refusals(&example);
    example_free(&example);
}

static void check_file(const char *name, const char *document)
{
    char *path = mem_printf(SAGA_SOURCE "/%s", name), *json = file_read(path), *words = mem_printf("    sagactl apply %s", name);
    const char *after = strstr(document, words);
    ck_assert_msg(after != NULL, "the document does not apply %s", name);
    check_example(json, strlen(json), after);
    free(words);
    free(json);
    free(path);
}

static size_t count_files(void)
{
    glob_t found;
    ck_assert_int_eq(glob(SAGA_SOURCE "/examples/*.json", 0, NULL, &found), 0);
    size_t n = found.gl_pathc;
    globfree(&found);
    return n;
}

static struct participant *open_all(void)
{
    world_open(&world);
    struct participant *participant = participant_start(world.name, services, sizeof services / sizeof services[0], answer);
    world_start_orchestrator(&world, NULL, NULL);
    world_await_ready(&world, 30);
    return participant;
}

START_TEST(every_file_of_examples_runs_as_the_document_says)
{
    static const char *const files[] = {"order", "trip", "transfer", "subscription", "cancellation", "parcel", "fulfilment"};
    struct participant *participant = open_all();
    char *document = file_read(SAGA_SOURCE "/docs/definitions.md");
    ck_assert_uint_eq(count_files(), sizeof files / sizeof files[0]); /* in this order, since one runs another */
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char *name = mem_printf("examples/%s.json", files[i]);
        check_file(name, document);
        free(name);
    }
    world_close(&world);
    participant_stop(participant);
    free(document);
}
END_TEST

START_TEST(every_example_of_the_document_runs_as_it_says)
{
    static const char fence[] = "```json\n";
    struct participant *participant = open_all();
    char *document = file_read(SAGA_SOURCE "/docs/definitions.md");
    int n = 0;
    check_file("examples/parcel.json", document); /* a step of one of them */
    for (const char *at = document; (at = strstr(at, fence)); n++) {
        const char *json = at + strlen(fence), *end = strstr(json, "\n```");
        check_example(json, (size_t)(end - json), end);
        at = end + 4;
    }
    ck_assert_int_ge(n, 8);
    world_close(&world);
    participant_stop(participant);
    free(document);
}
END_TEST

static const struct suite_case cases[] = {
    {"examples", (const TTest **const[]){&every_file_of_examples_runs_as_the_document_says, &every_example_of_the_document_runs_as_it_says, NULL}, 120},
};

SUITE_MAIN("examples", cases)
