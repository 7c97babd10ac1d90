#include "service/service.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

#define RETRY_PAUSE_MS 500

static bool asked_to_end;

static void end_signals(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
}

static bool open_log(const char *program, const struct service_config *config, struct err *err)
{
    enum log_level level;
    const char *format = config->log_format ? config->log_format : isatty(STDERR_FILENO) ? "text" : "json";
    bool json = strcmp(format, "json") == 0;
    if (!log_level_parse(config->log_level, &level))
        return err_set(err, ERR_REFUSED, "log-level: '%s' is not debug, info, warn or error", config->log_level);
    if (!json && strcmp(format, "text") != 0)
        return err_set(err, ERR_REFUSED, "log-format: '%s' is neither text nor json", format);
    log_init(program, level, json);
    return true;
}

bool service_open(const struct conf_spec *spec, int argc, char **argv, void *target, const struct service_config *config,
                  struct conf_result *result, int *exit_status)
{
    struct err err;
    if (!conf_parse(spec, argc, argv, target, result, &err) || !open_log(spec->program, config, &err)) {
        fprintf(stderr, "%s: %s\n", spec->program, err.text);
        *exit_status = 2;
        return false;
    }
    *exit_status = EXIT_SUCCESS;
    if (result->help)
        conf_help(spec);
    else if (result->version)
        printf("%s %s\n", spec->program, SAGA_VERSION);
    if (result->help || result->version)
        return false;
    sigset_t set;
    end_signals(&set);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    return true;
}

bool service_wait(int64_t timeout_ms)
{
    sigset_t set;
    end_signals(&set);
    int64_t deadline = clock_mono_ms() + timeout_ms;
    while (!asked_to_end) {
        int64_t left = timeout_ms < 0 ? 60000 : deadline - clock_mono_ms();
        if (left < 0)
            left = 0;
        struct timespec pause = {.tv_sec = left / 1000, .tv_nsec = left % 1000 * 1000000};
        if (sigtimedwait(&set, NULL, &pause) > 0)
            asked_to_end = true;
        else if (errno == EAGAIN && timeout_ms >= 0)
            break;
    }
    return asked_to_end;
}

bool service_retry(const char *what, bool (*attempt)(void *context, struct err *err), void *context, struct err *err)
{
    bool waiting = false;
    while (!attempt(context, err)) {
        if (err->kind != ERR_RETRY)
            return false;
        if (!waiting)
            log_line(LOG_WARN, "waiting", LOG_STR("for", what), LOG_ERR(err));
        waiting = true;
        if (service_wait(RETRY_PAUSE_MS)) {
            err_set(err, ERR_NONE, "asked to end");
            return false;
        }
    }
    if (waiting)
        log_line(LOG_INFO, "found", LOG_STR("what", what));
    return true;
}
