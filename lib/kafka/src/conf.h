/* What the files of lib/kafka share. */
#ifndef KAFKA_CONF_H
#define KAFKA_CONF_H

#include <librdkafka/rdkafka.h>

#include "base/err.h"

struct kafka_setting {
    const char *name;
    const char *value; /* NULL: left alone */
};

/* A configuration with the settings, its log lines going to ours. NULL with ERR_FATAL for a setting that is refused. */
rd_kafka_conf_t *kafka_conf(const struct kafka_setting *settings, size_t n, struct err *err);
/* Makes the client; takes the configuration in every case. */
rd_kafka_t *kafka_client(rd_kafka_type_t type, rd_kafka_conf_t *conf, struct err *err);
/* Whether the same call may work later. */
enum err_kind kafka_err_kind(rd_kafka_resp_err_t code);
bool kafka_err(struct err *err, rd_kafka_resp_err_t code, const char *what);

#endif
