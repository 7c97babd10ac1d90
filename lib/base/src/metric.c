#include "base/metric.h"

#include <dirent.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

#define SHAPE(name, per, ...)                                                                                          \
    static const int64_t name##_bounds[] = {__VA_ARGS__};                                                              \
    const struct histogram_shape name = {name##_bounds, sizeof name##_bounds / sizeof name##_bounds[0], per}

SHAPE(histogram_durations, 1e3, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 3600000);
SHAPE(histogram_short_durations, 1e6, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000, 1000000, 10000000);
SHAPE(histogram_fine, 1e3, 1, 2, 3, 4, 6, 8, 11, 16, 23, 32, 45, 64, 91, 128, 181, 256, 362, 512, 724, 1024, 1448, 2048, 2896, 4096,
      5793, 8192, 11585, 16384, 23170, 32768, 46341, 65536, 92682, 131072, 185364, 262144, 370728, 524288, 741455,
      1048576, 1482910, 2097152, 2965821, 4194304, 5931642, 8388608, 11863283, 16777216, 23726566, 33554432,
      47453133, 67108864, 94906266, 134217728, 189812531, 268435456, 379625062, 536870912);
SHAPE(histogram_sizes, 1, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000);

void histogram_observe(struct histogram *histogram, int64_t value)
{
    const struct histogram_shape *shape = histogram->shape;
    size_t i = 0;
    if (value < 0) /* between two clocks */
        value = 0;
    while (i < shape->bounds_n && value > shape->bounds[i])
        i++;
    histogram->counts[i]++;
    histogram->sum += value;
}

static uint64_t count_all(const struct histogram *histogram)
{
    uint64_t count = 0;
    for (size_t i = 0; i <= histogram->shape->bounds_n; i++)
        count += histogram->counts[i];
    return count;
}

double histogram_quantile(const struct histogram *histogram, double q)
{
    const struct histogram_shape *shape = histogram->shape;
    double rank = q * (double)count_all(histogram), below = 0;
    if (rank <= 0)
        return -1;
    for (size_t i = 0; i < shape->bounds_n; i++) {
        double here = (double)histogram->counts[i];
        if (here > 0 && below + here >= rank) {
            double low = i ? (double)shape->bounds[i - 1] : 0;
            return low + ((double)shape->bounds[i] - low) * (rank - below) / here;
        }
        below += here;
    }
    return (double)shape->bounds[shape->bounds_n - 1];
}

void metric_family(struct buf *out, const char *name, const char *type, const char *help)
{
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void add_label(struct buf *out, char before, const char *name, const char *value)
{
    buf_char(out, before);
    buf_str(out, name);
    buf_str(out, "=\"");
    for (; *value; value++) {
        if (*value == '\n')
            buf_str(out, "\\n");
        else if (*value == '"' || *value == '\\')
            buf_printf(out, "\\%c", *value);
        else
            buf_char(out, *value);
    }
    buf_char(out, '"');
}

/* `le` NULL: no bucket's. */
static void sample(struct buf *out, const char *name, const char *suffix, const struct metric_label *labels, const char *le,
                   double value)
{
    char before = '{';
    buf_str(out, name);
    buf_str(out, suffix);
    for (; labels && labels->name; labels++, before = ',')
        add_label(out, before, labels->name, labels->value);
    if (le) {
        add_label(out, before, "le", le);
        before = ',';
    }
    buf_printf(out, before == '{' ? " %.15g\n" : "} %.15g\n", value);
}

void metric_value(struct buf *out, const char *name, const struct metric_label *labels, double value)
{
    sample(out, name, "", labels, NULL, value);
}

void metric_histogram(struct buf *out, const char *name, const struct metric_label *labels, const struct histogram *histogram)
{
    const struct histogram_shape *shape = histogram->shape;
    uint64_t count = 0;
    for (size_t i = 0; i < shape->bounds_n; i++) {
        char le[32];
        count += histogram->counts[i];
        snprintf(le, sizeof le, "%g", (double)shape->bounds[i] / shape->per_unit);
        sample(out, name, "_bucket", labels, le, (double)count);
    }
    count += histogram->counts[shape->bounds_n];
    sample(out, name, "_bucket", labels, "+Inf", (double)count);
    sample(out, name, "_sum", labels, NULL, (double)histogram->sum / shape->per_unit);
    sample(out, name, "_count", labels, NULL, (double)count);
}

/* ---- the process ---- */

static double count_fds(void)
{
    DIR *directory = opendir("/proc/self/fd");
    double n = -3; /* ".", ".." and the directory itself */
    while (directory && readdir(directory))
        n++;
    if (directory)
        closedir(directory);
    return n > 0 ? n : 0;
}

static void write_memory(struct buf *out)
{
    unsigned long size = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file)
        return;
    if (fscanf(file, "%lu %lu", &size, &resident) == 2) {
        double page = (double)sysconf(_SC_PAGESIZE);
        metric_family(out, "process_virtual_memory_bytes", "gauge", "Virtual memory size in bytes.");
        metric_value(out, "process_virtual_memory_bytes", NULL, (double)size * page);
        metric_family(out, "process_resident_memory_bytes", "gauge", "Resident memory size in bytes.");
        metric_value(out, "process_resident_memory_bytes", NULL, (double)resident * page);
    }
    fclose(file);
}

/* Seconds since 1970: when this process began, by the time since the machine's start in its stat file. */
static double read_start_time(void)
{
    char text[2048];
    unsigned long long ticks = 0;
    FILE *file = fopen("/proc/self/stat", "r");
    size_t len = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file)
        fclose(file);
    text[len] = '\0';
    const char *at = strrchr(text, ')'); /* behind the name, which may hold anything */
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    if (at)
        ticks = strtoull(at, NULL, 10);
    struct timespec up;
    clock_gettime(CLOCK_BOOTTIME, &up);
    double up_s = (double)up.tv_sec + (double)up.tv_nsec / 1e9, after_boot_s = (double)ticks / (double)sysconf(_SC_CLK_TCK);
    return (double)clock_real_ms() / 1e3 - (up_s - after_boot_s);
}

static double started_s;

static void set_start_time(void)
{
    started_s = read_start_time();
}

/* Read once: it must not move with the clocks. */
static double start_time(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, set_start_time);
    return started_s;
}

static double cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

void metric_process(struct buf *out)
{
    struct rlimit files = {0};
    getrlimit(RLIMIT_NOFILE, &files);
    metric_family(out, "process_cpu_seconds_total", "counter", "Total user and system CPU time spent in seconds.");
    metric_value(out, "process_cpu_seconds_total", NULL, cpu_seconds());
    metric_family(out, "process_open_fds", "gauge", "Number of open file descriptors.");
    metric_value(out, "process_open_fds", NULL, count_fds());
    metric_family(out, "process_max_fds", "gauge", "Maximum number of open file descriptors.");
    metric_value(out, "process_max_fds", NULL, (double)files.rlim_cur);
    write_memory(out);
    metric_family(out, "process_start_time_seconds", "gauge", "Start time of the process since unix epoch in seconds.");
    metric_value(out, "process_start_time_seconds", NULL, start_time());
}
