/* saga-orchestrator: wiring, order of start and end. It listens first, so that its readiness can be asked while it waits
 * for PostgreSQL and Kafka. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "base/log.h"
#include "dev.h"
#include "engine/engine.h"
#include "service/service.h"
#include "store/store.h"

#define READERS 4

struct options {
    struct service_config service;
    const char *database_url;
    const char *schema;
    struct service_kafka kafka;
    const char *listen;
    struct service_member member;
    const char *data_dir;
    struct conf_list roles;
    bool no_workers;
    int64_t retention_ms;
};

static const struct conf_option options[] = {
    {"database-url", CONF_STRING, offsetof(struct options, database_url), NULL, "URL", "PostgreSQL, as libpq takes it (default postgresql:///saga; dev: a private cluster)", 0, 0},
    {"schema", CONF_STRING, offsetof(struct options, schema), "saga", "NAME", "its schema in that database", 0, 0},
    SERVICE_KAFKA_OPTIONS(struct options, kafka),
    {"listen", CONF_STRING, offsetof(struct options, listen), "127.0.0.1:8080", "HOST:PORT", "where the API is", 0, 0},
    SERVICE_MEMBER_OPTIONS(struct options, member),
    {"data-dir", CONF_STRING, offsetof(struct options, data_dir), ".saga-dev", "DIR", "dev: where the private cluster is", 0, 0},
    {"retention", CONF_DURATION, offsetof(struct options, retention_ms), "0s", "TIME", "deletes sagas that ended so long ago, with all of theirs; longer than Kafka keeps messages (0s: never)", 0, INT64_MAX / 2},
    {"roles", CONF_LIST, offsetof(struct options, roles), "api,engine,relay", "LIST", "what this copy does", 0, 0},
    {"no-workers", CONF_FLAG, offsetof(struct options, no_workers), NULL, NULL, "dev: without the example workers", 0, 0},
    SERVICE_OPTIONS(struct options, service),
    {NULL, CONF_FLAG, 0, NULL, NULL, NULL, 0, 0},
};
static const struct conf_command commands[] = {
    {"serve", "accepts and runs sagas"},
    {"migrate", "brings the database's schema up to date and leaves"},
    {"dev", "serve without servers: a broker in this process that forgets on exit, a private PostgreSQL, the example workers"},
    {NULL, NULL},
};
static const struct conf_spec spec = {"saga-orchestrator", "runs sagas on PostgreSQL and Kafka", NULL, commands, options};

struct roles {
    bool api, engine, relay;
    char text[64];
};

static bool read_roles(const struct conf_list *list, struct roles *roles, struct err *err)
{
    for (size_t i = 0; i < list->n; i++) {
        bool *role = strcmp(list->items[i], "api") == 0      ? &roles->api
                     : strcmp(list->items[i], "engine") == 0 ? &roles->engine
                     : strcmp(list->items[i], "relay") == 0  ? &roles->relay
                                                             : NULL;
        if (!role)
            return err_set(err, ERR_FATAL, "--roles: '%s' is not api, engine or relay", list->items[i]);
        *role = true;
    }
    snprintf(roles->text, sizeof roles->text, "%s%s%s", roles->api ? "api," : "", roles->engine ? "engine," : "",
             roles->relay ? "relay," : "");
    if (*roles->text)
        roles->text[strlen(roles->text) - 1] = '\0';
    return true;
}

struct program {
    const struct options *options;
    struct roles roles;
    struct pg *pg;
    struct engine *engine;
    struct api *api;
    struct dev *dev; /* NULL: real servers */
};

static bool migrate(void *context, struct err *err)
{
    struct program *p = context;
    int applied;
    if (!store_migrate(p->pg, &applied, err))
        return false;
    log_line(LOG_INFO, "migrated", LOG_STR("schema", p->options->schema), LOG_INT("applied", applied));
    return true;
}

static bool check_schema(void *context, struct err *err)
{
    struct program *p = context;
    return store_check_schema(p->pg, err);
}

static bool start_engine(void *context, struct err *err)
{
    struct program *p = context;
    const struct options *o = p->options;
    struct engine_config config = {.database_url = o->database_url, .schema = o->schema, .brokers = o->kafka.brokers,
                                   .prefix = o->kafka.prefix, .instance = o->member.instance, .partitions = o->member.partitions,
                                   .fetch_wait_ms = o->member.fetch_wait_ms,
                                   .retention_ms = p->roles.engine ? o->retention_ms : 0,
                                   .with_engine = p->roles.engine, .with_relay = p->roles.relay,
                                   .roles = p->roles.text};
    p->engine = engine_start(&config, err);
    return p->engine != NULL;
}

static bool start_api(struct program *p, struct err *err)
{
    struct api_config config = {p->options->listen, p->options->database_url, p->options->schema, READERS};
    if (!p->roles.api)
        return true;
    p->api = api_start(&config, err);
    if (p->api)
        log_line(LOG_INFO, "listening", LOG_STR("address", p->options->listen), LOG_INT("port", api_port(p->api)));
    return p->api != NULL;
}

static bool start(struct program *p, struct err *err)
{
    if (!start_api(p, err) || !service_retry("the schema in PostgreSQL", check_schema, p, err) ||
        !service_retry("Kafka", start_engine, p, err))
        return false;
    if (p->api)
        api_set_engine(p->api, p->engine);
    log_line(LOG_INFO, "started", LOG_STR("version", SAGA_VERSION), LOG_STR("brokers", p->options->kafka.brokers));
    return true;
}

/* No new requests; then the batches in hand; then the answers to whoever still waits. */
static void stop(struct program *p)
{
    if (p->api)
        api_quiesce(p->api);
    engine_stop(p->engine);
    api_stop(p->api);
    engine_free(p->engine);
}

/* After start(): the workers find the broker's topics and the orchestrator's answers. */
static void greet(struct dev *dev, const struct program *p)
{
    if (!p->options->no_workers)
        dev_start_workers(dev);
    fprintf(stderr,
            "\nThe API is at http://127.0.0.1:%d, the broker at %s (for kcat and other programs).\n"
            "This broker forgets all messages on exit; the database stays. Not for production. Ctrl-C ends it all.\n\n",
            p->api ? api_port(p->api) : 0, dev_brokers(dev));
}

static bool serve(struct program *p, struct err *err)
{
    bool ok = start(p, err);
    if (ok && p->dev)
        greet(p->dev, p);
    if (ok)
        service_wait(-1);
    log_line(LOG_INFO, "draining", LOG_BOOL("started", ok));
    stop(p);
    return ok;
}

static bool run(struct program *p, struct options *o, const char *command, struct err *err)
{
    if (!read_roles(&o->roles, &p->roles, err))
        return false;
    if (o->retention_ms && o->retention_ms < ENGINE_RETENTION_MIN_MS)
        return err_set(err, ERR_FATAL, "--retention: it is at least 1h, or 0s");
    if (strcmp(command, "dev") == 0) {
        p->dev = dev_start(o->data_dir, o->database_url, err);
        if (!p->dev)
            return false;
        o->database_url = dev_database_url(p->dev);
        o->kafka.brokers = dev_brokers(p->dev);
        o->member.fetch_wait_ms = DEV_FETCH_WAIT_MS;
    } else if (!o->database_url) {
        o->database_url = "postgresql:///saga";
    }
    p->pg = pg_new(o->database_url, o->schema, "saga-orchestrator", PG_ADHOC);
    if (strcmp(command, "serve") != 0 && !service_retry("PostgreSQL", migrate, p, err))
        return false;
    return strcmp(command, "migrate") == 0 || serve(p, err);
}

int main(int argc, char **argv)
{
    struct options o = {0};
    struct conf_result result;
    struct err err = {0};
    int status;
    if (!service_open(&spec, argc, argv, &o, &o.service, &result, &status))
        return status;
    struct program program = {.options = &o};
    bool ok = run(&program, &o, result.command, &err) || err.kind == ERR_NONE;
    pg_free(program.pg);
    dev_stop(program.dev);
    if (!ok)
        log_line(LOG_ERROR, "failed", LOG_ERR(&err));
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
