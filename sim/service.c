/* service/service.h for simulated processes: SIGTERM is a flag of the process. */
#include "service/service.h"

#include "base/log.h"
#include "simulation.h"

#define LOOK_US 50000
#define RETRY_PAUSE_MS 500

bool service_open(const struct conf_spec *spec, int argc, char **argv, void *target, const struct service_config *config,
                  struct conf_result *result, int *exit_status)
{
    (void)config, (void)exit_status;
    struct err err;
    if (!conf_parse(spec, argc, argv, target, result, &err))
        sim_fail("%s: %s", spec->program, err.text);
    return true;
}

bool service_wait(int64_t timeout_ms)
{
    int64_t until_us = timeout_ms < 0 ? INT64_MAX : sim_now_us() + timeout_ms * 1000;
    while (!sim_process()->asked_to_end && sim_now_us() < until_us) {
        int64_t left_us = until_us - sim_now_us();
        sim_sleep(left_us < LOOK_US ? left_us : LOOK_US);
    }
    return sim_process()->asked_to_end;
}

bool service_retry(const char *what, bool (*attempt)(void *context, struct err *err), void *context, struct err *err)
{
    while (!attempt(context, err)) {
        if (err->kind != ERR_RETRY)
            return false;
        if (service_wait(RETRY_PAUSE_MS))
            return err_set(err, ERR_NONE, "asked to end");
    }
    log_line(LOG_INFO, "found", LOG_STR("what", what));
    return true;
}
