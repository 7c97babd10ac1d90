/* Definitions: immutable versions. Two who store the same name at once meet in the primary key; the loser looks again. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "store/store.h"

#define PUT_TRIES 20

static const struct pg_statement definition_latest = {
    "definition_latest", "SELECT version, canonical FROM definition WHERE namespace = $1 AND name = $2"
                         " ORDER BY version DESC LIMIT 1"};
static const struct pg_statement definition_insert = {
    "definition_insert", "INSERT INTO definition (namespace, name, version, source, canonical)"
                         " VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING"};
static const struct pg_statement definition_get = {
    "definition_get", "SELECT name, version, source, created_at FROM definition"
                      " WHERE namespace = $1 AND name = $2 AND ($3 = 0 OR version = $3) ORDER BY version DESC LIMIT 1"};
static const struct pg_statement definition_list = {
    "definition_list", "SELECT DISTINCT ON (name) name, version, source, created_at FROM definition"
                       " WHERE namespace = $1 AND name > $2 ORDER BY name, version DESC LIMIT $3"};

static bool latest(struct pg *pg, const struct definition *definition, int *version, bool *same, struct err *err)
{
    struct pg_params params = {0};
    struct pg_rows *rows = NULL;
    pg_param_text(&params, PG_TEXT, STORE_NAMESPACE);
    pg_param_text(&params, PG_TEXT, definition->name);
    bool ok = pg_call(pg, &definition_latest, &params, &rows, err);
    pg_params_free(&params);
    if (!ok)
        return false;
    *version = 0;
    *same = false;
    if (pg_rows_count(rows)) {
        *version = (int)pg_get_int(rows, 0, 0);
        *same = strcmp(pg_get_text(rows, 0, 1, NULL), definition->canonical) == 0;
    }
    pg_rows_free(rows);
    return true;
}

static bool insert(struct pg *pg, const struct definition *definition, int version, bool *inserted, struct err *err)
{
    struct pg_params params = {0};
    struct pg_rows *rows = NULL;
    char *source = json_text(definition->source);
    pg_param_text(&params, PG_TEXT, STORE_NAMESPACE);
    pg_param_text(&params, PG_TEXT, definition->name);
    pg_param_int(&params, PG_INT4, version);
    pg_param_text(&params, PG_JSON, source);
    pg_param_text(&params, PG_TEXT, definition->canonical);
    bool ok = pg_call(pg, &definition_insert, &params, &rows, err);
    if (ok)
        *inserted = pg_rows_affected(rows) == 1;
    pg_rows_free(rows);
    pg_params_free(&params);
    free(source);
    return ok;
}

bool store_put_definition(struct pg *pg, const struct definition *definition, int *version, bool *created,
                          struct err *err)
{
    for (int tries = 0; tries < PUT_TRIES; tries++) {
        int last;
        bool same, inserted = false;
        if (!latest(pg, definition, &last, &same, err))
            return false;
        if (!same && !insert(pg, definition, last + 1, &inserted, err))
            return false;
        if (same || inserted) {
            *version = same ? last : last + 1;
            *created = inserted;
            return true;
        }
    }
    return err_set(err, ERR_RETRY, "definition %s is being changed by others all the time", definition->name);
}

static void read_row(struct arena *arena, const struct pg_rows *rows, size_t row, struct store_definition *out)
{
    *out = (struct store_definition){.name = arena_strdup(arena, pg_get_text(rows, row, 0, NULL)),
                                     .version = (int)pg_get_int(rows, row, 1),
                                     .source = arena_strdup(arena, pg_get_text(rows, row, 2, NULL)),
                                     .created_ms = pg_get_time(rows, row, 3)};
}

bool store_get_definition(struct pg *pg, struct arena *arena, const char *name, int version,
                          struct store_definition *out, bool *found, struct err *err)
{
    struct pg_params params = {0};
    struct pg_rows *rows = NULL;
    pg_param_text(&params, PG_TEXT, STORE_NAMESPACE);
    pg_param_text(&params, PG_TEXT, name);
    pg_param_int(&params, PG_INT4, version);
    bool ok = pg_call(pg, &definition_get, &params, &rows, err);
    pg_params_free(&params);
    if (!ok)
        return false;
    *found = pg_rows_count(rows) == 1;
    if (*found)
        read_row(arena, rows, 0, out);
    pg_rows_free(rows);
    return true;
}

bool store_list_definitions(struct pg *pg, struct arena *arena, const char *after, int limit,
                            struct store_definition **out, size_t *n, struct err *err)
{
    struct pg_params params = {0};
    struct pg_rows *rows = NULL;
    pg_param_text(&params, PG_TEXT, STORE_NAMESPACE);
    pg_param_text(&params, PG_TEXT, after);
    pg_param_int(&params, PG_INT4, limit);
    bool ok = pg_call(pg, &definition_list, &params, &rows, err);
    pg_params_free(&params);
    if (!ok)
        return false;
    *n = pg_rows_count(rows);
    *out = arena_array(arena, *n, sizeof **out);
    for (size_t i = 0; i < *n; i++)
        read_row(arena, rows, i, &(*out)[i]);
    pg_rows_free(rows);
    return true;
}

/* A handful of versions live at any time, so a list does. */
struct entry {
    struct entry *next;
    struct definition *definition;
};

struct catalog {
    struct entry *entries;
};

struct catalog *catalog_new(void)
{
    return mem_alloc(sizeof(struct catalog));
}

void catalog_free(struct catalog *catalog)
{
    if (!catalog)
        return;
    for (struct entry *entry = catalog->entries, *next; entry; entry = next) {
        next = entry->next;
        definition_free(entry->definition);
        free(entry);
    }
    free(catalog);
}

static const struct definition *cached(const struct catalog *catalog, const char *name, int version)
{
    for (const struct entry *entry = catalog->entries; entry; entry = entry->next) {
        if (entry->definition->version == version && strcmp(entry->definition->name, name) == 0)
            return entry->definition;
    }
    return NULL;
}

static struct definition *compile(const struct store_definition *stored, struct err *err)
{
    json_t *source = json_read(stored->source, strlen(stored->source), err);
    if (!source)
        return NULL;
    struct problems problems = {0};
    struct definition *definition = definition_read(source, &problems);
    json_decref(source);
    if (!definition)
        err_set(err, ERR_REFUSED, "stored definition %s version %d: %s: %s", stored->name, stored->version,
                problems.items[0].pointer, problems.items[0].detail);
    else
        definition->version = stored->version;
    return definition;
}

static const struct definition *add(struct catalog *catalog, const struct store_definition *stored, struct err *err)
{
    const struct definition *known = cached(catalog, stored->name, stored->version);
    if (known)
        return known;
    struct definition *definition = compile(stored, err);
    if (!definition)
        return NULL;
    struct entry *entry = mem_alloc(sizeof *entry);
    *entry = (struct entry){catalog->entries, definition};
    catalog->entries = entry;
    return definition;
}

const struct definition *catalog_get(struct catalog *catalog, struct pg *pg, const char *name, int version,
                                     struct err *err)
{
    const struct definition *known = version ? cached(catalog, name, version) : NULL;
    if (known)
        return known;
    struct arena arena = {0};
    struct store_definition stored;
    bool found = false;
    const struct definition *definition = NULL;
    if (store_get_definition(pg, &arena, name, version, &stored, &found, err)) {
        if (found)
            definition = add(catalog, &stored, err);
        else
            err_set(err, ERR_REFUSED, "there is no definition '%s'", name);
    }
    arena_free(&arena);
    return definition;
}
