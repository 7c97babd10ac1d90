#include "measure.h"

#include <dirent.h>
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

/* ---- /proc ---- */

struct stat_line {
    pid_t parent;
    unsigned long long own, of_children; /* ticks, of children that were waited for */
};

/* Fields of /proc/PID/stat, counted from the state that follows the name in parentheses. */
static bool read_stat(pid_t pid, struct stat_line *line)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    size_t n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[n] = '\0';
    const char *after = strrchr(text, ')');
    unsigned long long user, system, children_user, children_system;
    int parent;
    if (!after || sscanf(after + 1, " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %llu %llu", &parent, &user, &system,
                         &children_user, &children_system) != 5)
        return false;
    *line = (struct stat_line){parent, user + system, children_user + children_system};
    return true;
}

/* The children that are alive now. */
static size_t list_children(pid_t parent, pid_t *children, size_t max)
{
    size_t n = 0;
    DIR *dir = opendir("/proc");
    for (struct dirent *entry; dir && n < max && (entry = readdir(dir));) {
        struct stat_line line;
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (pid > 0 && read_stat(pid, &line) && line.parent == parent)
            children[n++] = pid;
    }
    if (dir)
        closedir(dir);
    return n;
}

#define CHILDREN_MAX 512

double process_cpu_s(const struct process *process)
{
    struct stat_line line;
    pid_t children[CHILDREN_MAX];
    if (!read_stat(process->pid, &line))
        return 0;
    unsigned long long ticks = line.own;
    size_t n = process->with_children ? list_children(process->pid, children, CHILDREN_MAX) : 0;
    if (process->with_children)
        ticks += line.of_children;
    for (size_t i = 0; i < n; i++) {
        if (read_stat(children[i], &line))
            ticks += line.own;
    }
    return (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

static double read_kb(pid_t pid, const char *file_name, const char *field)
{
    char path[64], line[256];
    double kb = 0;
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, file_name);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof line, file)) {
        if (strncmp(line, field, strlen(field)) == 0)
            kb = strtod(line + strlen(field), NULL);
    }
    if (file)
        fclose(file);
    return kb;
}

double process_rss_mb(const struct process *process)
{
    pid_t children[CHILDREN_MAX];
    if (!process->with_children)
        return read_kb(process->pid, "status", "VmRSS:") / 1024;
    double kb = read_kb(process->pid, "smaps_rollup", "Pss:");
    size_t n = list_children(process->pid, children, CHILDREN_MAX);
    for (size_t i = 0; i < n; i++)
        kb += read_kb(children[i], "smaps_rollup", "Pss:");
    return kb / 1024;
}

/* ---- PostgreSQL ---- */

bool database_prepare(struct pg *pg, struct err *err)
{
    static const struct pg_statement make = {"make", "CREATE EXTENSION IF NOT EXISTS pg_stat_statements SCHEMA public"};
    struct pg_rows *rows;
    if (!pg_call(pg, &make, NULL, &rows, err))
        return false;
    pg_rows_free(rows);
    return true;
}

bool database_reset(struct pg *pg, struct err *err)
{
    static const struct pg_statement reset = {"reset", "SELECT public.pg_stat_statements_reset()"};
    return pg_call(pg, &reset, NULL, NULL, err);
}

bool database_statements(struct pg *pg, int limit, json_t **out, struct err *err)
{
    static const struct pg_statement read = {
        "read_statements",
        "SELECT left(regexp_replace(query, '\\s+', ' ', 'g'), 30), (sum(total_exec_time) * 1000)::bigint"
        " FROM public.pg_stat_statements GROUP BY 1 ORDER BY 2 DESC LIMIT $1"};
    struct pg_params params = {0};
    struct pg_rows *rows;
    pg_param_int(&params, PG_INT8, limit);
    bool ok = pg_call(pg, &read, &params, &rows, err);
    pg_params_free(&params);
    if (!ok)
        return false;
    *out = json_object();
    for (size_t i = 0; i < pg_rows_count(rows); i++)
        json_object_set_new(*out, pg_get_text(rows, i, 0, NULL), json_real((double)pg_get_int(rows, i, 1) / 1000));
    pg_rows_free(rows);
    return true;
}

bool database_read(struct pg *pg, struct database_counters *counters, struct err *err)
{
    static const struct pg_statement read = {
        "read",
        "SELECT (SELECT sum(calls)::bigint FROM public.pg_stat_statements),"
        " (SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()),"
        " (pg_current_wal_insert_lsn() - '0/0')::bigint,"
        " (SELECT sum(seq_scan)::bigint FROM pg_stat_user_tables)"};
    struct pg_rows *rows;
    if (!pg_call(pg, &read, NULL, &rows, err))
        return false;
    *counters = (struct database_counters){pg_get_int(rows, 0, 0), pg_get_int(rows, 0, 1), pg_get_int(rows, 0, 2),
                                           pg_get_int(rows, 0, 3)};
    pg_rows_free(rows);
    return true;
}

/* ---- Kafka ---- */

static int64_t topic_messages(rd_kafka_t *client, const rd_kafka_metadata_topic_t *topic)
{
    int64_t sum = 0;
    for (int i = 0; i < topic->partition_cnt; i++) {
        int64_t low, high;
        if (rd_kafka_query_watermark_offsets(client, topic->topic, topic->partitions[i].id, &low, &high, 5000))
            return -1;
        sum += high;
    }
    return sum;
}

int64_t kafka_messages(const char *brokers, const char *prefix)
{
    char text[256];
    const rd_kafka_metadata_t *metadata;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", brokers, text, sizeof text);
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    if (!client)
        return -1;
    int64_t sum = -1;
    if (rd_kafka_metadata(client, 1, NULL, &metadata, 5000) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        sum = 0;
        for (int i = 0; i < metadata->topic_cnt && sum >= 0; i++) {
            if (strncmp(metadata->topics[i].topic, prefix, strlen(prefix)) != 0)
                continue;
            int64_t n = topic_messages(client, &metadata->topics[i]);
            sum = n < 0 ? -1 : sum + n;
        }
        rd_kafka_metadata_destroy(metadata);
    }
    rd_kafka_destroy(client);
    return sum;
}
