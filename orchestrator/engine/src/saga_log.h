/* What happened to a saga, as log lines: the entries of its history under their own names, after the commit. */
#ifndef ENGINE_SAGA_LOG_H
#define ENGINE_SAGA_LOG_H

#include "core/machine.h"

/* Any thread. One who needs a person is a warning, all else is for debugging. */
void saga_log(const struct saga *saga, const struct history_entry *history);

#endif
