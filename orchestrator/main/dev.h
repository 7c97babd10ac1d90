/* Development without servers: a private PostgreSQL cluster, a broker inside this process, and the example workers as
 * children. Everything started here ends with this process. */
#ifndef MAIN_DEV_H
#define MAIN_DEV_H

#include <stdbool.h>

#include "base/err.h"

/* The broker in the process does not wake a waiting fetch, so fetches must be short. */
#define DEV_FETCH_WAIT_MS 10

struct dev;

/* Starts the broker and, unless `database_url` is given, a PostgreSQL cluster in `data_dir` (made on first use). Takes a
 * few seconds the first time. NULL with `err` when something is missing. */
struct dev *dev_start(const char *data_dir, const char *database_url, struct err *err);
const char *dev_database_url(const struct dev *dev);
const char *dev_brokers(const struct dev *dev);
/* Starts the example workers that stand beside this program; a missing one is said and left out. */
void dev_start_workers(struct dev *dev);
/* Stops the workers, then PostgreSQL, then the broker. NULL is fine. */
void dev_stop(struct dev *dev);

#endif
