#include "dev.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <grp.h>
#include <libgen.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "kafka/kafka.h"
#include "pg/pg.h"

#define WORKERS_N 3
#define PATH_BYTES 4096
#define START_MS 60000
#define STOP_MS 15000

static const char *const worker_names[WORKERS_N] = {"saga-worker-inventory", "saga-worker-payment", "saga-worker-shipping"};

struct dev {
    struct kafka_mock *broker;
    char *database_url;
    char *data_dir; /* of the cluster; NULL: the database is somebody else's */
    char *bin_dir;  /* of PostgreSQL */
    pid_t postgres, workers[WORKERS_N];
};

/* ---- children ---- */

/* PostgreSQL refuses to run as root: then the user that its package made runs it. */
static bool become_postgres(void)
{
    const struct passwd *user = geteuid() == 0 ? getpwnam("postgres") : NULL;
    if (geteuid() != 0)
        return true;
    return user && initgroups(user->pw_name, user->pw_gid) == 0 && setgid(user->pw_gid) == 0 && setuid(user->pw_uid) == 0;
}

/* `log` NULL: this process's standard error. */
static void run_child(char *const *argv, bool as_postgres, const char *log, int end_signal)
{
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0); /* a Ctrl-C is for the parent, which ends its children in order */
    int fd = log ? open(log, O_WRONLY | O_CREAT | O_APPEND, 0644) : -1;
    if (fd >= 0 && (dup2(fd, STDOUT_FILENO) < 0 || dup2(fd, STDERR_FILENO) < 0))
        _exit(126);
    if (as_postgres && (!become_postgres() || chdir("/") != 0))
        _exit(126);
    prctl(PR_SET_PDEATHSIG, end_signal);
    execv(argv[0], argv);
    _exit(127);
}

static pid_t start_child(char *const *argv, bool as_postgres, const char *log, int end_signal)
{
    pid_t pid = fork();
    if (pid == 0)
        run_child(argv, as_postgres, log, end_signal);
    return pid;
}

static void end_child(pid_t pid, int signal_number)
{
    if (pid <= 0)
        return;
    kill(pid, signal_number);
    int64_t deadline = clock_mono_ms() + STOP_MS;
    while (waitpid(pid, NULL, WNOHANG) == 0) {
        if (clock_mono_ms() > deadline)
            kill(pid, SIGKILL);
        usleep(10000);
    }
}

/* ---- PostgreSQL ---- */

static char *find_bin_dir(void)
{
    glob_t found = {0};
    char *dir = NULL;
    int best = 0;
    if (glob("/usr/lib/postgresql/*/bin/initdb", 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++) {
            int version = atoi(found.gl_pathv[i] + strlen("/usr/lib/postgresql/"));
            if (version <= best)
                continue;
            best = version;
            free(dir);
            dir = mem_strndup(found.gl_pathv[i], strlen(found.gl_pathv[i]) - strlen("/initdb"));
        }
    }
    globfree(&found);
    return dir;
}

static int free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0), port = 0;
    if (fd >= 0 && bind(fd, (struct sockaddr *)&address, len) == 0 && getsockname(fd, (struct sockaddr *)&address, &len) == 0)
        port = ntohs(address.sin_port);
    if (fd >= 0)
        close(fd);
    return port;
}

static bool make_data_dir(struct dev *dev, const char *data_dir, struct err *err)
{
    char absolute[PATH_BYTES];
    if (mkdir(data_dir, 0755) != 0 && errno != EEXIST)
        return err_set(err, ERR_FATAL, "%s cannot be made: %s", data_dir, strerror(errno));
    if (!realpath(data_dir, absolute))
        return err_set(err, ERR_FATAL, "%s: %s", data_dir, strerror(errno));
    dev->data_dir = mem_printf("%s/postgres", absolute);
    if (mkdir(dev->data_dir, 0700) != 0 && errno != EEXIST)
        return err_set(err, ERR_FATAL, "%s cannot be made: %s", dev->data_dir, strerror(errno));
    const struct passwd *user = geteuid() == 0 ? getpwnam("postgres") : NULL;
    if (user && chown(dev->data_dir, user->pw_uid, user->pw_gid) != 0)
        return err_set(err, ERR_FATAL, "%s cannot be given to the user postgres", dev->data_dir);
    return true;
}

static bool init_cluster(struct dev *dev, const char *log, struct err *err)
{
    char *version = mem_printf("%s/PG_VERSION", dev->data_dir);
    bool made = access(version, F_OK) == 0;
    free(version);
    if (made)
        return true;
    log_line(LOG_INFO, "dev.making_cluster", LOG_STR("directory", dev->data_dir));
    char *program = mem_printf("%s/initdb", dev->bin_dir);
    char options[][16] = {"-D", "-A", "trust", "-U", "saga", "-E", "UTF8", "--locale=C"};
    char *argv[] = {program, options[0], dev->data_dir, options[1], options[2], options[3], options[4], options[5],
                    options[6], options[7], NULL};
    int status = 0;
    pid_t pid = start_child(argv, true, log, SIGTERM);
    waitpid(pid, &status, 0);
    free(program);
    if (pid > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return true;
    return err_set(err, ERR_FATAL, "initdb failed: see %s (the user postgres must be able to reach %s)", log, dev->data_dir);
}

static bool start_postgres(struct dev *dev, const char *log)
{
    int port = free_port();
    char *program = mem_printf("%s/postgres", dev->bin_dir);
    char *settings[] = {mem_printf("port=%d", port), mem_strdup("listen_addresses=127.0.0.1"),
                        mem_strdup("unix_socket_directories=")};
    char data[] = "-D", set[] = "-c";
    char *argv[] = {program, data, dev->data_dir, set, settings[0], set, settings[1], set, settings[2], NULL};
    dev->postgres = start_child(argv, true, log, SIGINT);
    dev->database_url = mem_printf("postgresql://saga@127.0.0.1:%d/postgres", port);
    free(program);
    for (size_t i = 0; i < 3; i++)
        free(settings[i]);
    return dev->postgres > 0;
}

static bool await_postgres(struct dev *dev, const char *log, struct err *err)
{
    struct pg *pg = pg_new(dev->database_url, "public", "saga-orchestrator dev", PG_ADHOC);
    int64_t deadline = clock_mono_ms() + START_MS;
    bool up = false, ended = false;
    while (!up && !ended && clock_mono_ms() < deadline) {
        up = pg_connect(pg, err);
        ended = waitpid(dev->postgres, NULL, WNOHANG) != 0;
        if (!up && !ended)
            usleep(50000);
    }
    pg_free(pg);
    if (ended)
        dev->postgres = 0;
    return up || err_set(err, ERR_FATAL, "the private PostgreSQL did not start: see %s", log);
}

static bool open_cluster(struct dev *dev, const char *data_dir, struct err *err)
{
    dev->bin_dir = find_bin_dir();
    if (!dev->bin_dir)
        return err_set(err, ERR_FATAL, "no PostgreSQL server in /usr/lib/postgresql: install the package 'postgresql' or give "
                                       "--database-url");
    if (!make_data_dir(dev, data_dir, err))
        return false;
    char *log = mem_printf("%s/postgres.log", data_dir);
    bool ok = init_cluster(dev, log, err);
    if (ok)
        log_line(LOG_INFO, "dev.starting_postgresql", LOG_STR("directory", dev->data_dir));
    if (ok && !start_postgres(dev, log))
        ok = err_set(err, ERR_FATAL, "PostgreSQL could not be started");
    ok = ok && await_postgres(dev, log, err);
    free(log);
    return ok;
}

/* ---- all together ---- */

struct dev *dev_start(const char *data_dir, const char *database_url, struct err *err)
{
    struct dev *dev = mem_alloc(sizeof *dev);
    bool ok = true;
    if (database_url)
        dev->database_url = mem_strdup(database_url);
    else
        ok = open_cluster(dev, data_dir, err);
    if (ok)
        dev->broker = kafka_mock_new(err);
    if (ok && dev->broker)
        return dev;
    dev_stop(dev);
    return NULL;
}

const char *dev_database_url(const struct dev *dev)
{
    return dev->database_url;
}

const char *dev_brokers(const struct dev *dev)
{
    return kafka_mock_brokers(dev->broker);
}

static pid_t start_worker(const struct dev *dev, const char *directory, const char *name)
{
    char *program = mem_printf("%s/%s", directory, name);
    char *url = mem_printf("--database-url=%s", dev->database_url), *brokers = mem_printf("--kafka-brokers=%s", dev_brokers(dev));
    char *fetch_wait = mem_printf("--kafka-fetch-wait=%dms", DEV_FETCH_WAIT_MS);
    char *argv[] = {program, url, brokers, fetch_wait, NULL};
    pid_t pid = 0;
    if (access(program, X_OK) == 0)
        pid = start_child(argv, false, NULL, SIGTERM);
    else
        log_line(LOG_WARN, "dev.worker_missing", LOG_STR("program", program));
    free(program);
    free(url);
    free(brokers);
    free(fetch_wait);
    return pid;
}

void dev_start_workers(struct dev *dev)
{
    char self[PATH_BYTES];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    if (len <= 0)
        return;
    self[len] = '\0';
    const char *directory = dirname(self);
    for (int i = 0; i < WORKERS_N; i++)
        dev->workers[i] = start_worker(dev, directory, worker_names[i]);
}

void dev_stop(struct dev *dev)
{
    if (!dev)
        return;
    for (int i = 0; i < WORKERS_N; i++)
        end_child(dev->workers[i], SIGTERM);
    end_child(dev->postgres, SIGINT); /* PostgreSQL's fast shutdown */
    kafka_mock_free(dev->broker);
    free(dev->database_url);
    free(dev->data_dir);
    free(dev->bin_dir);
    free(dev);
}
