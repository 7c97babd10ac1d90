#include <stdio.h>
#include <string.h>

#include "call.h"
#include "core/link.h"
#include "verify/verify.h"

#define LIST_DEFAULT 50
#define LIST_MAX 500
#define ANSWER_MAX (16u * 1024 * 1024)
/* When a definition is stored a short look must do; a reader's thread is busy with the long one for some seconds. */
static const struct verify_bounds short_look = {5000, 20000}, long_look = {300000, 2000000};

static void answer_put(struct call *call, const struct definition *definition, int version, bool created,
                       const struct verification *verification)
{
    struct buf body = buf_new(ANSWER_MAX);
    char location[128];
    snprintf(location, sizeof location, "/v1/definitions/%s?version=%d", definition->name, version);
    buf_printf(&body, "{\"name\":\"%s\",\"version\":%d,\"created\":%s,\"verification\":", definition->name, version,
               created ? "true" : "false");
    verify_write(verification, definition, &body);
    buf_char(&body, '}');
    call_json(call, created ? 201 : 200, &body, location);
}

static void store(struct call *call, const struct definition *definition, const struct verification *verification)
{
    struct err err;
    int version;
    bool created;
    bool stored = store_put_definition(call->reader->pg, definition, &version, &created, &err);
    struct engine *engine = atomic_load(&call->api->engine);
    if (stored && created && engine)
        engine_make_topics(engine, definition);
    if (stored)
        answer_put(call, definition, version, created, verification);
    else
        call_database_problem(call, &err);
}

struct looking {
    struct reader *reader;
    struct err err;
    bool failed; /* the database did not answer */
};

static const struct definition *look_up(void *context, const char *name, int version)
{
    struct looking *looking = context;
    const struct definition *found = catalog_get(looking->reader->catalog, looking->reader->pg, name, version, &looking->err);
    looking->failed = looking->failed || (!found && looking->err.kind != ERR_REFUSED);
    return found;
}

/* NULL after having answered. */
static struct definition *read_linked(struct call *call, json_t *source)
{
    struct problems problems = {0};
    struct looking looking = {.reader = call->reader};
    definition_link(source, look_up, &looking, &problems);
    if (looking.failed) {
        call_database_problem(call, &looking.err);
        return NULL;
    }
    struct definition *definition = definition_read(source, &problems);
    if (definition && !problems.n)
        return definition;
    definition_free(definition);
    call_problem(call, 422, "invalid-definition", "The definition is not valid", "see errors", &problems);
    return NULL;
}

/* What would break an invariant is not stored, though the definition may be innocent of it. */
void definitions_put(struct call *call)
{
    struct verification verification;
    json_t *source = call_body(call);
    if (!source)
        return;
    struct definition *definition = read_linked(call, source);
    json_decref(source);
    if (!definition)
        return;
    if (verify(definition, &short_look, &verification) && !verification.violation)
        store(call, definition, &verification);
    else
        call_problem(call, 500, "invariant", "A saga of this definition would break an invariant",
                     verification.violation ? verification.violation : "the verifier cannot read it", NULL);
    verify_free(&verification);
    definition_free(definition);
}

void definitions_verify(struct call *call)
{
    int64_t version = 0;
    struct err err;
    struct verification verification;
    if (!call_query_int(call, "version", 1, DEFINITION_VERSION_MAX, &version))
        return;
    const struct definition *definition = catalog_get(call->reader->catalog, call->reader->pg, call->parameter, (int)version, &err);
    if (!definition && err.kind == ERR_REFUSED) {
        call_not_found(call, "there is no such definition or version");
        return;
    }
    if (!definition) {
        call_database_problem(call, &err);
        return;
    }
    bool ok = verify(definition, &long_look, &verification);
    struct buf body = buf_new(ANSWER_MAX);
    verify_write(&verification, definition, &body);
    verify_free(&verification);
    if (ok) {
        call_json(call, 200, &body, NULL);
        return;
    }
    buf_free(&body);
    call_problem(call, 500, "verifier", "The definition cannot be verified", "the verifier cannot read it", NULL);
}

static void add_definition(struct buf *body, const struct store_definition *definition, bool with_source)
{
    buf_printf(body, "{\"name\":\"%s\",\"version\":%d", definition->name, definition->version);
    buf_time_member(body, "created_at", definition->created_ms);
    if (with_source) {
        buf_str(body, ",\"definition\":");
        buf_str(body, definition->source);
    }
    buf_char(body, '}');
}

void definitions_list(struct call *call)
{
    int64_t limit = LIST_DEFAULT;
    const char *after = http_query(call->request, "after");
    struct store_definition *all;
    size_t n;
    struct err err;
    if (!call_query_int(call, "limit", 1, LIST_MAX, &limit))
        return;
    if (!store_list_definitions(call->reader->pg, &call->arena, after ? after : "", (int)limit + 1, &all, &n, &err)) {
        call_database_problem(call, &err);
        return;
    }
    bool more = n > (size_t)limit;
    struct buf body = buf_new(ANSWER_MAX);
    buf_str(&body, "{\"definitions\":[");
    for (size_t i = 0; i < n - more; i++) {
        buf_str(&body, i ? "," : "");
        add_definition(&body, &all[i], false);
    }
    buf_str(&body, "],\"next\":");
    if (more)
        buf_printf(&body, "\"/v1/definitions?after=%s&limit=%d\"}", all[n - 2].name, (int)limit);
    else
        buf_str(&body, "null}");
    call_json(call, 200, &body, NULL);
}

void definitions_get(struct call *call)
{
    int64_t version = 0;
    struct store_definition definition;
    bool found;
    struct err err;
    if (!call_query_int(call, "version", 1, DEFINITION_VERSION_MAX, &version))
        return;
    if (!store_get_definition(call->reader->pg, &call->arena, call->parameter, (int)version, &definition, &found, &err)) {
        call_database_problem(call, &err);
        return;
    }
    if (!found) {
        call_not_found(call, version ? "there is no such version of this definition" : "there is no such definition");
        return;
    }
    struct buf body = buf_new(ANSWER_MAX);
    add_definition(&body, &definition, true);
    call_json(call, 200, &body, NULL);
}
