#include "process.h"

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

#define ARGUMENTS_MAX 32

static void run_child(const char *path, char **argv, const char *log, const char *fault)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (fd < 0 || dup2(fd, STDERR_FILENO) < 0 || dup2(fd, STDOUT_FILENO) < 0)
        _exit(126);
    if (fault)
        setenv("SAGA_FAULT", fault, 1);
    else
        unsetenv("SAGA_FAULT");
    execv(path, argv);
    _exit(127);
}

pid_t process_start(const char *program, const char *const *arguments, const char *log, const char *fault)
{
    char path[512];
    char *argv[ARGUMENTS_MAX];
    size_t n = 0;
    snprintf(path, sizeof path, "%s/%s", SAGA_BIN_DIR, program);
    argv[n++] = path;
    for (size_t i = 0; arguments[i]; i++) {
        ck_assert_uint_lt(n, ARGUMENTS_MAX - 1);
        argv[n++] = mem_strdup(arguments[i]);
    }
    argv[n] = NULL;
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0)
        run_child(path, argv, log, fault);
    for (size_t i = 1; i < n; i++)
        free(argv[i]);
    return pid;
}

int process_await(pid_t pid, int within_s)
{
    int64_t deadline = clock_mono_ms() + within_s * 1000;
    int status = 0;
    pid_t ended;
    while ((ended = waitpid(pid, &status, WNOHANG)) == 0 && clock_mono_ms() < deadline)
        usleep(5000);
    ck_assert_msg(ended == pid, "process %d has not ended within %d s", (int)pid, within_s);
    return status;
}

void process_kill(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

int process_stop(pid_t pid, int within_s)
{
    kill(pid, SIGTERM);
    int status = process_await(pid, within_s);
    ck_assert_msg(WIFEXITED(status), "ended by signal %d", WTERMSIG(status));
    return WEXITSTATUS(status);
}

char *process_log_path(const char *test, const char *name)
{
    mkdir(SAGA_LOG_DIR, 0755);
    return mem_printf("%s/%s-%s.log", SAGA_LOG_DIR, test, name);
}

static bool contains(const char *path, const char *text)
{
    FILE *file = fopen(path, "r");
    char line[8192];
    bool found = false;
    while (file && !found && fgets(line, sizeof line, file))
        found = strstr(line, text) != NULL;
    if (file)
        fclose(file);
    return found;
}

void process_await_log(const char *log, const char *text, int within_s)
{
    int64_t deadline = clock_mono_ms() + within_s * 1000;
    while (!contains(log, text) && clock_mono_ms() < deadline)
        usleep(10000);
    ck_assert_msg(contains(log, text), "no '%s' in %s within %d s", text, log, within_s);
}
