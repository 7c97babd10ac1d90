#include "world.h"

#include <check.h>
#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "file.h"
#include "process.h"
#include "servers.h"

static const char *const service_names[SERVICES_N] = {"inventory", "payment", "shipping"};
static int starts;

#define ARGUMENTS_MAX 24

/* Starts the program with what all have in common; its log is a new file, whose path is returned. */
static char *start(struct world *world, const char *program, const char *const *own, const char *const *more,
                   const char *fault, pid_t *pid)
{
    const char *arguments[ARGUMENTS_MAX] = {"--database-url", servers_database_url(), "--kafka-brokers", servers_kafka_brokers(),
                                            "--topic-prefix", world->name};
    size_t n = 6;
    for (size_t i = 0; own && own[i]; i++)
        arguments[n++] = own[i];
    for (size_t i = 0; more && more[i]; i++)
        arguments[n++] = more[i];
    arguments[n] = NULL;
    char *part = mem_printf("%s-%d", program, ++starts);
    char *log = process_log_path(world->name, part);
    *pid = process_start(program, arguments, log, fault);
    free(part);
    return log;
}

void world_open(struct world *world)
{
    *world = (struct world){.name = servers_unique_name()};
    curl_global_init(CURL_GLOBAL_DEFAULT);
    const char *own[] = {"--schema", world->name, "migrate", NULL};
    pid_t pid;
    free(start(world, "saga-orchestrator", own, NULL, NULL, &pid));
    int status = process_await(pid, 20);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    world->pg = pg_new(servers_database_url(), world->name, "e2e", PG_ADHOC);
    for (int i = 0; i < SERVICES_N; i++) {
        char *schema = mem_printf("%s_%s", world->name, service_names[i]);
        world->services[i] = pg_new(servers_database_url(), schema, "e2e", PG_ADHOC);
        free(schema);
    }
}

static void stop(pid_t *pid)
{
    if (*pid)
        ck_assert_int_eq(process_stop(*pid, 20), 0);
    *pid = 0;
}

void world_close(struct world *world)
{
    stop(&world->orchestrator);
    stop(&world->relay);
    for (int i = 0; i < SERVICES_N; i++) {
        stop(&world->workers[i]);
        pg_free(world->services[i]);
    }
    pg_free(world->pg);
    free(world->name);
    free(world->url);
}

static int find_port(const char *log)
{
    FILE *file = fopen(log, "r");
    char line[1024];
    int port = 0;
    while (file && fgets(line, sizeof line, file)) {
        const char *at = strstr(line, "\"listening\"");
        at = at ? strstr(at, "\"port\":") : NULL;
        if (at)
            port = atoi(at + strlen("\"port\":"));
    }
    if (file)
        fclose(file);
    return port;
}

static void find_api(struct world *world, const char *log)
{
    process_await_log(log, "listening", 60);
    world->port = find_port(log);
    free(world->url);
    world->url = mem_printf("http://127.0.0.1:%d", world->port);
}

void world_start_orchestrator(struct world *world, const char *fault, const char *const *more)
{
    char listen[32];
    snprintf(listen, sizeof listen, "127.0.0.1:%d", world->port);
    const char *own[] = {"--schema", world->name, "--listen", listen, "--instance", "one", "--partitions", "4", NULL};
    char *log = start(world, "saga-orchestrator", own, more, fault, &world->orchestrator);
    find_api(world, log);
    free(log);
}

void world_start_dev(struct world *world, const char *data)
{
    const char *arguments[] = {"dev", "--listen", "127.0.0.1:0", "--data-dir", data, NULL};
    char *part = mem_printf("dev-%d", ++starts);
    char *log = process_log_path(world->name, part);
    world->orchestrator = process_start("saga-orchestrator", arguments, log, NULL);
    find_api(world, log);
    world_await_ready(world, 60);
    free(part);
    free(log);
}

void world_start_worker(struct world *world, enum world_service service, const char *fault)
{
    char *schema = mem_printf("%s_%s", world->name, service_names[service]);
    char *program = mem_printf("saga-worker-%s", service_names[service]);
    const char *own[] = {"--worker-schema", schema, "--instance", "one", "--partitions", "4", NULL};
    free(start(world, program, own, NULL, fault, &world->workers[service]));
    free(schema);
    free(program);
}

void world_start_relay(struct world *world, const char *fault)
{
    const char *own[] = {"--schema", world->name, NULL};
    free(start(world, "saga-relay", own, NULL, fault, &world->relay));
}

void world_await_ready(struct world *world, int within_s)
{
    int64_t deadline = clock_mono_ms() + within_s * 1000;
    int status = 0;
    while (status != 200 && clock_mono_ms() < deadline) {
        struct answer answer = world_get(world, "/readyz");
        status = answer.status;
        answer_free(&answer);
        if (status != 200)
            usleep(20000);
    }
    ck_assert_int_eq(status, 200);
}

void world_apply_example(struct world *world)
{
    char *definition = file_read(SAGA_EXAMPLES "/order.json");
    struct answer answer = world_post(world, "/v1/definitions", definition);
    ck_assert(answer.status == 201 || answer.status == 200);
    answer_free(&answer);
    free(definition);
}

void world_start_all(struct world *world)
{
    world_start_orchestrator(world, NULL, NULL);
    for (int i = 0; i < SERVICES_N; i++)
        world_start_worker(world, (enum world_service)i, NULL);
    world_await_ready(world, 30);
    world_apply_example(world);
}

/* ---- HTTP ---- */

static size_t on_data(char *data, size_t size, size_t n, void *context)
{
    buf_add(context, data, size * n);
    return size * n;
}

static void keep_header(const char *line, size_t len, const char *name, char *out, size_t size)
{
    size_t name_len = strlen(name);
    if (len <= name_len + 2 || strncasecmp(line, name, name_len) != 0)
        return;
    snprintf(out, size, "%.*s", (int)(len - name_len - 2), line + name_len + 2);
    out[strcspn(out, "\r\n")] = '\0';
}

static size_t on_header(char *line, size_t size, size_t n, void *context)
{
    struct answer *answer = context;
    keep_header(line, size * n, "Content-Type", answer->type, sizeof answer->type);
    keep_header(line, size * n, "Location", answer->location, sizeof answer->location);
    keep_header(line, size * n, "Allow", answer->allow, sizeof answer->allow);
    return size * n;
}

static struct curl_slist *header_line(struct curl_slist *list, const char *name, const char *value)
{
    char *line = mem_printf("%s: %s", name, value);
    list = curl_slist_append(list, line);
    free(line);
    return list;
}

struct answer world_call(struct world *world, const char *method, const char *path, const char *body, size_t body_len,
                         const char *content_type, const char *key)
{
    struct answer answer = {0};
    struct buf out = buf_new(64u << 20);
    long status = 0;
    CURL *curl = curl_easy_init();
    char *url = mem_printf("%s%s", world->url, path);
    struct curl_slist *headers = header_line(NULL, "Expect", "");
    if (body)
        headers = header_line(headers, "Content-Type", content_type ? content_type : "application/json");
    if (world->traceparent)
        headers = header_line(headers, "traceparent", world->traceparent);
    if (key)
        headers = header_line(headers, "Idempotency-Key", key);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, 60L);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_data);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &out);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &answer);
    if (body) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)body_len);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
    }
    if (curl_easy_perform(curl) == CURLE_OK)
        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    struct err err;
    answer.status = (int)status;
    answer.text = mem_strdup(buf_text(&out));
    answer.body = json_read(answer.text, out.len, &err);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    buf_free(&out);
    free(url);
    return answer;
}

struct answer world_get(struct world *world, const char *path)
{
    return world_call(world, "GET", path, NULL, 0, NULL, NULL);
}

struct answer world_post(struct world *world, const char *path, const char *body)
{
    return world_call(world, "POST", path, body, strlen(body), NULL, NULL);
}

void answer_free(struct answer *answer)
{
    json_decref(answer->body);
    free(answer->text);
    answer->body = NULL;
    answer->text = NULL;
}

char *world_start_saga(struct world *world, const char *body, const char *state)
{
    struct answer answer = world_post(world, "/v1/sagas", body);
    ck_assert_msg(answer.status == 201, "%d %s", answer.status, answer.text);
    char *saga = mem_strdup(answer.location);
    answer_free(&answer);
    answer = world_get(world, saga);
    ck_assert_str_eq(text(answer.body, "state"), state);
    answer_free(&answer);
    return saga;
}

char *world_await_child(struct world *world, const char *path)
{
    char *children = mem_printf("/v1/sagas?parent=%s", strrchr(path, '/') + 1), *child = NULL;
    for (int64_t deadline_ms = clock_mono_ms() + 20000; !child && clock_mono_ms() < deadline_ms;) {
        struct answer answer = world_get(world, children);
        const char *id = text(json_array_get(json_object_get(answer.body, "sagas"), 0), "id");
        child = *id ? mem_printf("/v1/sagas/%s", id) : NULL;
        answer_free(&answer);
    }
    ck_assert_msg(child != NULL, "no child of %s", path);
    free(children);
    return child;
}

const char *text(const json_t *object, const char *name)
{
    const char *value = json_string_value(json_object_get(object, name));
    return value ? value : "";
}
