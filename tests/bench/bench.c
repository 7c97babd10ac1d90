/* Runs the limit program and the product in turn, on servers and programs that somebody else has started, checks after each
 * phase that every saga ended as it should, and prints one JSON object. A run that lost a saga prints no figures. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "load.h"
#include "measure.h"
#include "service/service.h"

#define PROCESSES_MAX CONF_LIST_MAX
#define END_MS 120000 /* for what a flood has left */
#define ARTICLES 1000
#define STATEMENTS_SHOWN 10

struct options {
    struct service_config service;
    const char *database_url, *brokers, *limit, *commit, *kafka_version, *results, *compare;
    struct conf_list processes, phases;
    int port;
    int64_t duration_ms;
    bool smoke, real_workers;
};

static const struct conf_option option_table[] = {
    {"database-url", CONF_STRING, offsetof(struct options, database_url), "postgresql:///saga", "URL", "the database", 0, 0},
    {"kafka-brokers", CONF_STRING, offsetof(struct options, brokers), "127.0.0.1:9092", "LIST", "the broker", 0, 0},
    {"port", CONF_INT, offsetof(struct options, port), "8080", "N", "of the API on 127.0.0.1", 1, 65535},
    {"process", CONF_LIST, offsetof(struct options, processes), NULL, "NAME=PID", "whose CPU and memory to count", 0, 0},
    {"limit-program", CONF_STRING, offsetof(struct options, limit), "bench-limit", "PATH", "what measures the limit", 0, 0},
    {"commit", CONF_STRING, offsetof(struct options, commit), "", "TEXT", "goes into the result", 0, 0},
    {"kafka-version", CONF_STRING, offsetof(struct options, kafka_version), "", "TEXT", "goes into the result", 0, 0},
    {"results", CONF_STRING, offsetof(struct options, results), NULL, "FILE", "write the result there too", 0, 0},
    {"compare", CONF_STRING, offsetof(struct options, compare), NULL, "FILE", "print the differences to that result", 0, 0},
    {"phases", CONF_LIST, offsetof(struct options, phases), "limit,closed,flood,compensated,lone,half-rate,idle", "LIST",
     "which to run", 0, 0},
    {"duration", CONF_DURATION, offsetof(struct options, duration_ms), "30s", "TIME", "of the closed loop", 1000, 3600000},
    {"smoke", CONF_FLAG, offsetof(struct options, smoke), NULL, NULL, "all phases, each very short", 0, 0},
    {"real-workers", CONF_FLAG, offsetof(struct options, real_workers), NULL, NULL, "the example services carry the steps out", 0, 0},
    SERVICE_OPTIONS(struct options, service),
    {NULL, CONF_FLAG, 0, NULL, NULL, NULL, 0, 0},
};
static const struct conf_spec spec = {"bench", "measures sagas against the limit of the machine", NULL, NULL, option_table};

struct bench {
    struct options options;
    struct pg *pg;
    struct process processes[PROCESSES_MAX];
    size_t processes_n;
    json_t *result;
    int64_t phase_ms; /* when the phase began */

    /* at the beginning and at the end of the closed loop's measured time */
    double cpu_s[2][PROCESSES_MAX];
    struct database_counters counters[2];
    json_t *statements;
    int64_t messages[2];

    double per_s, lone_ms; /* what the phases found */
    double limits[2][2];   /* before and after: rate, milliseconds */
    size_t limits_n;
};

static _Noreturn void die(const char *phase, const char *text)
{
    fprintf(stderr, "\nbench: %s: %s\nbench: no figures\n", phase, text);
    exit(EXIT_FAILURE);
}

static double rounded(double value, int digits)
{
    double scale = pow(10, digits);
    return round(value * scale) / scale;
}

static void put(json_t *object, const char *name, double value, int digits)
{
    json_object_set_new(object, name, digits ? json_real(rounded(value, digits)) : json_integer((json_int_t)llround(value)));
}

/* ---- requests and checks ---- */

static void write_order(struct buf *body, uint64_t n, const char *country)
{
    buf_printf(body,
               "{\"definition\":\"order\",\"input\":{\"sku\":\"book-%03d\",\"qty\":1,\"account\":\"alice-%03d\",\"amount\":1999,"
               "\"country\":\"%s\",\"address\":\"1 Example Street\"}}",
               (int)(n % ARTICLES), (int)(n * 7 % ARTICLES), country);
}

static void write_good_order(struct buf *body, uint64_t n)
{
    write_order(body, n, "DE");
}

static void write_bad_order(struct buf *body, uint64_t n)
{
    write_order(body, n, "XX");
}

static int64_t count_rows(struct bench *bench, const struct pg_statement *statement, const char *text, int64_t *other)
{
    struct err err;
    struct pg_rows *rows;
    struct pg_params params = {0};
    if (text) {
        pg_param_time(&params, bench->phase_ms);
        pg_param_text(&params, PG_TEXT, text);
    }
    if (!pg_call(bench->pg, statement, &params, &rows, &err))
        die("check", err.text);
    int64_t n = pg_get_int(rows, 0, 0);
    if (other)
        *other = pg_get_int(rows, 0, 1);
    pg_rows_free(rows);
    pg_params_free(&params);
    return n;
}

static int64_t count_outbox(struct bench *bench)
{
    static const struct pg_statement own = {"own", "SELECT count(*) FROM saga.outbox"};
    static const struct pg_statement services = {
        "services", "SELECT (SELECT count(*) FROM inventory.outbox) + (SELECT count(*) FROM payment.outbox)"
                    " + (SELECT count(*) FROM shipping.outbox)"};
    return count_rows(bench, &own, NULL, NULL) +
           (bench->options.real_workers ? count_rows(bench, &services, NULL, NULL) : 0);
}

/* All sagas of the phase are there and in the state, and nothing waits to be sent. */
static void check(struct bench *bench, const char *phase, uint64_t started, const char *state)
{
    static const struct pg_statement sagas = {
        "sagas", "SELECT count(*), count(*) FILTER (WHERE state = $2) FROM saga.saga WHERE created_at >= $1"};
    char text[200];
    int64_t until_ms = clock_mono_ms() + END_MS, all = 0, good = 0, waiting = 0;
    for (;;) {
        all = count_rows(bench, &sagas, state, &good);
        waiting = count_outbox(bench);
        if ((uint64_t)all == started && good == all && !waiting)
            return;
        if (clock_mono_ms() > until_ms)
            break;
        usleep(100000);
    }
    snprintf(text, sizeof text, "%" PRIu64 " sagas were started, %" PRId64 " are there, %" PRId64 " are %s; %" PRId64
             " messages wait in the outbox", started, all, good, state, waiting);
    die(phase, text);
}

static void begin_phase(struct bench *bench)
{
    usleep(5000); /* so that no saga of the phase before has this millisecond */
    bench->phase_ms = clock_real_ms();
}

static void run_load(struct bench *bench, const struct load_plan *plan, struct load_result *result)
{
    struct load_plan full = *plan;
    full.port = bench->options.port;
    begin_phase(bench);
    if (!load_run(&full, result))
        die(plan->name, result->failure);
}

static void free_samples(struct load_result *result)
{
    samples_free(&result->start);
    samples_free(&result->e2e);
}

/* ---- the limit ---- */

static void limit(struct bench *bench)
{
    char command[1024], line[1024] = "";
    struct err err;
    const struct options *o = &bench->options;
    fprintf(stderr, "  %-28s ", "limit of the machine");
    snprintf(command, sizeof command, "'%s' --database-url '%s' --kafka-brokers '%s' --warm-up %s --duration %s --lone %d 2>/dev/null",
             o->limit, o->database_url, o->brokers, o->smoke ? "500ms" : "3s", o->smoke ? "1s" : "9s", o->smoke ? 20 : 200);
    FILE *pipe = popen(command, "re");
    bool read = pipe && fgets(line, sizeof line, pipe);
    if (!pipe || pclose(pipe) != 0 || !read)
        die("limit", "the limit program failed");
    json_t *answer = json_read(line, strlen(line), &err);
    if (!answer)
        die("limit", err.text);
    double per_s = json_number_value(json_object_get(answer, "sagas_per_s"));
    double p50 = json_number_value(json_object_get(answer, "e2e_p50_ms"));
    fprintf(stderr, "%.0f sagas a second, one alone in %.1f ms\n", per_s, p50);
    bench->limits[bench->limits_n][0] = per_s;
    bench->limits[bench->limits_n++][1] = p50;
    json_decref(answer);
}

/* ---- the phases ---- */

static void on_window(void *context, bool begins)
{
    struct bench *bench = context;
    struct err err;
    int at = begins ? 0 : 1;
    for (size_t i = 0; i < bench->processes_n; i++)
        bench->cpu_s[at][i] = process_cpu_s(&bench->processes[i]);
    if ((begins && !database_reset(bench->pg, &err)) || !database_read(bench->pg, &bench->counters[at], &err) ||
        (!begins && !database_statements(bench->pg, STATEMENTS_SHOWN, &bench->statements, &err)))
        die("closed loop", err.text);
}

/* The closed loop's costs are those of its measured time, its messages those of the whole phase. */
static void put_costs(struct bench *bench, const struct load_result *result)
{
    double sagas = result->per_s * (double)bench->options.duration_ms / 1000;
    const struct database_counters *a = &bench->counters[0], *b = &bench->counters[1];
    json_t *cpu = json_object();
    double sum = 0;
    for (size_t i = 0; i < bench->processes_n; i++) {
        double s = (bench->cpu_s[1][i] - bench->cpu_s[0][i]) / sagas * 1000;
        put(cpu, bench->processes[i].name, s, 4);
        sum += s;
    }
    put(cpu, "all", sum, 4);
    json_object_set_new(bench->result, "cpu_s_per_1000", cpu);
    json_t *statements = json_object(), *ms;
    const char *text;
    json_object_foreach(bench->statements, text, ms)
        put(statements, text, json_number_value(ms) / sagas * 1000, 1);
    json_object_set_new(bench->result, "statement_ms_per_1000", statements);
    json_decref(bench->statements);
    put(bench->result, "wal_bytes_per_saga", (double)(b->wal_bytes - a->wal_bytes) / sagas, 0);
    put(bench->result, "sql_statements_per_saga", (double)(b->statements - a->statements) / sagas, 3);
    put(bench->result, "commits_per_saga", (double)(b->commits - a->commits) / sagas, 3);
    put(bench->result, "seq_scans", (double)(b->seq_scans - a->seq_scans), 0);
    put(bench->result, "kafka_msgs_per_saga", (double)(bench->messages[1] - bench->messages[0]) / (double)result->ended, 3);
}

static void put_memory(struct bench *bench)
{
    json_t *memory = json_object();
    for (size_t i = 0; i < bench->processes_n; i++)
        put(memory, bench->processes[i].name, process_rss_mb(&bench->processes[i]), 1);
    json_object_set_new(bench->result, "rss_mb", memory);
}

static void closed_loop(struct bench *bench)
{
    struct load_result result;
    bool smoke = bench->options.smoke;
    if (smoke)
        bench->options.duration_ms = 3000;
    bench->messages[0] = kafka_messages(bench->options.brokers, "saga.");
    run_load(bench, &(struct load_plan){.name = "closed loop, 256 clients", .kind = LOAD_WAIT, .clients = 256,
             .warm_up_ms = smoke ? 3000 : 15000, .duration_ms = bench->options.duration_ms, .end_state = "COMPLETED",
             .write_body = write_good_order, .on_window = on_window, .context = bench}, &result);
    check(bench, "closed loop", result.started, "COMPLETED");
    bench->messages[1] = kafka_messages(bench->options.brokers, "saga.");
    put(bench->result, "sagas_per_s", result.per_s, 1);
    put(bench->result, "first_third_per_s", result.first_third_per_s, 1);
    put(bench->result, "last_third_per_s", result.last_third_per_s, 1);
    put(bench->result, "loaded_e2e_p50_ms", samples_ms(&result.e2e, 0.5), 2);
    put(bench->result, "loaded_e2e_p99_ms", samples_ms(&result.e2e, 0.99), 2);
    put(bench->result, "load_generator_busy", result.busy, 3);
    put_costs(bench, &result);
    put_memory(bench);
    free_samples(&result);
    bench->per_s = result.per_s;
}

struct flood {
    struct bench *bench;
    int64_t ended[2], at_us[2];
};

static void on_flood_window(void *context, bool begins)
{
    static const struct pg_statement ended = {
        "ended", "SELECT count(*) FROM saga.saga WHERE created_at >= $1 AND state = $2"};
    struct flood *flood = context;
    int at = begins ? 0 : 1;
    flood->at_us[at] = clock_mono_us();
    flood->ended[at] = begins ? 0 : count_rows(flood->bench, &ended, "COMPLETED", NULL);
}

static void flood(struct bench *bench)
{
    struct load_result result;
    struct flood flood = {.bench = bench};
    run_load(bench, &(struct load_plan){.name = "flood of starts, 64 clients", .kind = LOAD_START, .clients = 64,
             .duration_ms = bench->options.smoke ? 2000 : 15000, .write_body = write_good_order, .on_window = on_flood_window,
             .context = &flood}, &result);
    double seconds = (double)(flood.at_us[1] - flood.at_us[0]) / 1e6;
    int64_t drain_us = clock_mono_us();
    check(bench, "flood", result.started, "COMPLETED");
    put(bench->result, "flood_completed_per_s", (double)flood.ended[1] / seconds, 1);
    put(bench->result, "flood_accepted_per_s", (double)result.ended / seconds, 1);
    put(bench->result, "flood_refused_per_s", (double)result.refused / seconds, 1);
    put(bench->result, "flood_drain_s", (double)(clock_mono_us() - drain_us) / 1e6, 1);
    free_samples(&result);
}

static void compensated(struct bench *bench)
{
    struct load_result result;
    bool smoke = bench->options.smoke;
    run_load(bench, &(struct load_plan){.name = "compensated, 256 clients", .kind = LOAD_WAIT, .clients = 256,
             .warm_up_ms = smoke ? 500 : 2000, .duration_ms = smoke ? 1500 : 10000, .end_state = "COMPENSATED",
             .write_body = write_bad_order}, &result);
    check(bench, "compensated", result.started, "COMPENSATED");
    put(bench->result, "compensated_per_s", result.per_s, 1);
    free_samples(&result);
}

static void lone(struct bench *bench)
{
    struct load_result result;
    run_load(bench, &(struct load_plan){.name = "one at a time", .kind = LOAD_FOLLOW, .clients = 1,
             .count = bench->options.smoke ? 30 : 300, .duration_ms = 60000, .end_state = "COMPLETED",
             .write_body = write_good_order}, &result);
    check(bench, "one at a time", result.started, "COMPLETED");
    bench->lone_ms = samples_ms(&result.e2e, 0.5);
    put(bench->result, "start_p50_ms", samples_ms(&result.start, 0.5), 2);
    put(bench->result, "start_p99_ms", samples_ms(&result.start, 0.99), 2);
    put(bench->result, "e2e_p50_ms", bench->lone_ms, 2);
    put(bench->result, "e2e_p99_ms", samples_ms(&result.e2e, 0.99), 2);
    free_samples(&result);
}

static void half_rate(struct bench *bench)
{
    struct load_result result;
    bool smoke = bench->options.smoke;
    if (!bench->per_s)
        die("half-rate", "needs the phase closed");
    run_load(bench, &(struct load_plan){.name = "open loop at half the rate", .kind = LOAD_FOLLOW, .clients = 512,
             .rate = bench->per_s / 2, .warm_up_ms = smoke ? 500 : 2000, .duration_ms = smoke ? 1500 : 10000,
             .end_state = "COMPLETED", .write_body = write_good_order}, &result);
    check(bench, "open loop", result.started, "COMPLETED");
    put(bench->result, "half_rate_start_p50_ms", samples_ms(&result.start, 0.5), 2);
    put(bench->result, "half_rate_start_p99_ms", samples_ms(&result.start, 0.99), 2);
    put(bench->result, "half_rate_e2e_p50_ms", samples_ms(&result.e2e, 0.5), 2);
    put(bench->result, "half_rate_e2e_p99_ms", samples_ms(&result.e2e, 0.99), 2);
    free_samples(&result);
}

/* Ours: everything that is not a server. */
static bool is_ours(const struct process *process)
{
    return strncmp(process->name, "saga-", 5) == 0;
}

static void idle(struct bench *bench)
{
    struct database_counters a, b;
    struct err err;
    double before = 0, after = 0;
    int64_t ms = bench->options.smoke ? 1500 : 10000;
    fprintf(stderr, "  %-28s ", "idle");
    sleep(bench->options.smoke ? 0 : 2); /* the counters of what went before arrive late */
    for (size_t i = 0; i < bench->processes_n; i++)
        before += is_ours(&bench->processes[i]) ? process_cpu_s(&bench->processes[i]) : 0;
    if (!database_read(bench->pg, &a, &err))
        die("idle", err.text);
    usleep((useconds_t)ms * 1000);
    if (!database_read(bench->pg, &b, &err))
        die("idle", err.text);
    for (size_t i = 0; i < bench->processes_n; i++)
        after += is_ours(&bench->processes[i]) ? process_cpu_s(&bench->processes[i]) : 0;
    put(bench->result, "idle_cpu_percent", (after - before) * 100000 / (double)ms, 2);
    put(bench->result, "idle_statements_per_s", (double)(b.statements - a.statements - 1) * 1000 / (double)ms, 1);
    fprintf(stderr, "done\n");
}

static bool wanted(const struct bench *bench, const char *phase)
{
    for (size_t i = 0; i < bench->options.phases.n; i++) {
        if (strcmp(bench->options.phases.items[i], phase) == 0)
            return true;
    }
    return false;
}

/* The limit is measured before and after, since the machine's pace changes. */
static void run_phases(struct bench *bench)
{
    static const struct {
        const char *name;
        void (*run)(struct bench *bench);
    } phases[] = {{"limit", limit}, {"closed", closed_loop}, {"flood", flood}, {"compensated", compensated},
                  {"lone", lone}, {"half-rate", half_rate}, {"idle", idle}, {"limit", limit}};
    for (size_t i = 0; i < sizeof phases / sizeof phases[0]; i++) {
        if (wanted(bench, phases[i].name))
            phases[i].run(bench);
    }
}

static void put_ratios(struct bench *bench)
{
    if (!bench->limits_n)
        return;
    double per_s = (bench->limits[0][0] + bench->limits[1][0]) / 2, ms = (bench->limits[0][1] + bench->limits[1][1]) / 2;
    put(bench->result, "limit_per_s", per_s, 1);
    if (bench->per_s > 0)
        put(bench->result, "ratio_to_limit", bench->per_s / per_s, 3);
    put(bench->result, "limit_e2e_p50_ms", ms, 2);
    if (bench->lone_ms > 0)
        put(bench->result, "lone_ratio", bench->lone_ms / ms, 2);
}

/* ---- set-up ---- */

static void read_processes(struct bench *bench)
{
    for (size_t i = 0; i < bench->options.processes.n; i++) {
        const char *item = bench->options.processes.items[i], *equals = strchr(item, '=');
        if (!equals)
            die("start", "--process takes NAME=PID");
        struct process *process = &bench->processes[bench->processes_n++];
        snprintf(process->name, sizeof process->name, "%.*s", (int)(equals - item), item);
        process->pid = (pid_t)strtol(equals + 1, NULL, 10);
        process->with_children = strcmp(process->name, "postgresql") == 0;
    }
}

/* Articles and accounts enough that services do not queue for one row. */
static void fill_services(struct bench *bench)
{
    static const struct pg_statement fill[] = {
        {"stock", "INSERT INTO inventory.stock SELECT 'book-' || lpad(n::text, 3, '0'), 1000000000 FROM generate_series(0, 999) n"
                  " ON CONFLICT DO NOTHING"},
        {"accounts", "INSERT INTO payment.account (id, balance, charge_max) SELECT 'alice-' || lpad(n::text, 3, '0'),"
                     " 1000000000000, 500000 FROM generate_series(0, 999) n ON CONFLICT DO NOTHING"},
    };
    struct err err;
    for (size_t i = 0; bench->options.real_workers && i < 2; i++) {
        struct pg_rows *rows;
        if (!pg_call(bench->pg, &fill[i], NULL, &rows, &err))
            die("services", err.text);
        pg_rows_free(rows);
    }
}

static void cpu_model(char *out, size_t size)
{
    FILE *file = fopen("/proc/cpuinfo", "re");
    char line[256];
    snprintf(out, size, "unknown");
    while (file && fgets(line, sizeof line, file)) {
        char *colon = strncmp(line, "model name", 10) == 0 ? strchr(line, ':') : NULL;
        if (!colon)
            continue;
        snprintf(out, size, "%s", colon + 2);
        out[strcspn(out, "\n")] = '\0';
        break;
    }
    if (file)
        fclose(file);
}

static void put_about(struct bench *bench)
{
    static const struct pg_statement version = {"version", "SHOW server_version"};
    struct utsname system;
    struct err err;
    struct pg_rows *rows;
    char model[200], time[CLOCK_TEXT_MAX];
    cpu_model(model, sizeof model);
    uname(&system);
    if (!pg_call(bench->pg, &version, NULL, &rows, &err))
        die("start", err.text);
    json_t *about = json_object();
    json_object_set_new(about, "at", json_string(clock_format(clock_real_ms(), time)));
    json_object_set_new(about, "commit", json_string(bench->options.commit));
    json_object_set_new(about, "version", json_string(SAGA_VERSION));
    json_object_set_new(about, "cpu", json_string(model));
    json_object_set_new(about, "cores", json_integer(sysconf(_SC_NPROCESSORS_ONLN)));
    json_object_set_new(about, "memory_mb", json_integer(sysconf(_SC_PHYS_PAGES) / 256 * (sysconf(_SC_PAGESIZE) / 4096)));
    json_object_set_new(about, "kernel", json_string(system.release));
    json_object_set_new(about, "postgresql", json_string(pg_get_text(rows, 0, 0, NULL)));
    json_object_set_new(about, "kafka", json_string(bench->options.kafka_version));
    json_object_set_new(about, "workers", json_string(bench->options.real_workers ? "example services" : "trivial"));
    json_object_set_new(about, "smoke", json_boolean(bench->options.smoke));
    json_object_set_new(bench->result, "about", about);
    pg_rows_free(rows);
}

/* ---- the result ---- */

static void show_number(const char *group, const char *name, const json_t *value, const json_t *before)
{
    char full[100];
    snprintf(full, sizeof full, "%s%s%s", group, *group ? "." : "", name);
    double now = json_number_value(value), was = json_number_value(before);
    fprintf(stderr, "  %-36s %12.10g", full, now);
    if (json_is_number(before) && was != 0)
        fprintf(stderr, "  %12.10g  %+7.1f %%", was, (now - was) / was * 100);
    else if (json_is_number(before))
        fprintf(stderr, "  %12.10g", was);
    fputc('\n', stderr);
}

/* As a table; beside an earlier result when there is one. */
static void show(json_t *result, const json_t *before)
{
    const char *name, *inner_name;
    json_t *value, *inner;
    fprintf(stderr, "\n  %-36s %12s%s\n", "", "now", before ? "        before   change" : "");
    json_object_foreach(result, name, value) {
        const json_t *other = json_object_get(before, name);
        if (json_is_number(value))
            show_number("", name, value, other);
        else if (strcmp(name, "about") != 0)
            json_object_foreach(value, inner_name, inner) {
                show_number(name, inner_name, inner, json_object_get(other, inner_name));
            }
    }
    fputc('\n', stderr);
}

static json_t *read_result(const char *path)
{
    json_error_t why;
    json_t *result = json_load_file(path, JSON_DISABLE_EOF_CHECK, &why);
    if (!result)
        die("compare", why.text);
    return result;
}

static void finish(struct bench *bench, const json_t *before)
{
    show(bench->result, before);
    char *text = json_text(bench->result);
    FILE *file = bench->options.results ? fopen(bench->options.results, "we") : NULL;
    if (bench->options.results && (!file || fprintf(file, "%s\n", text) < 0 || fclose(file) != 0))
        die("result", "the file cannot be written");
    printf("%s\n", text);
    free(text);
}

int main(int argc, char **argv)
{
    static struct bench bench;
    struct conf_result result;
    struct err err;
    int status;
    if (!service_open(&spec, argc, argv, &bench.options, &bench.options.service, &result, &status))
        return status;
    json_t *before = bench.options.compare ? read_result(bench.options.compare) : NULL;
    read_processes(&bench);
    bench.pg = pg_new(bench.options.database_url, "public", "bench", PG_ADHOC);
    if (!database_prepare(bench.pg, &err))
        die("start", err.text);
    fill_services(&bench);
    bench.result = json_object();
    put_about(&bench);

    run_phases(&bench);
    put_ratios(&bench);
    finish(&bench, before);
    json_decref(before);
    json_decref(bench.result);
    pg_free(bench.pg);
    return EXIT_SUCCESS;
}
