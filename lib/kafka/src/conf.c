#include "conf.h"

#include "base/log.h"

static void on_log(const rd_kafka_t *client, int level, const char *facility, const char *text)
{
    (void)client;
    log_line(level <= 2 ? LOG_WARN : LOG_DEBUG, "kafka.client", LOG_STR("facility", facility), LOG_STR("text", text));
}

rd_kafka_conf_t *kafka_conf(const struct kafka_setting *settings, size_t n, struct err *err)
{
    char text[256];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set_log_cb(conf, on_log);
    for (size_t i = 0; i < n; i++) {
        if (!settings[i].value)
            continue;
        if (rd_kafka_conf_set(conf, settings[i].name, settings[i].value, text, sizeof text) != RD_KAFKA_CONF_OK) {
            rd_kafka_conf_destroy(conf);
            err_set(err, ERR_FATAL, "Kafka: %s", text);
            return NULL;
        }
    }
    return conf;
}

rd_kafka_t *kafka_client(rd_kafka_type_t type, rd_kafka_conf_t *conf, struct err *err)
{
    char text[256];
    rd_kafka_t *client = rd_kafka_new(type, conf, text, sizeof text);
    if (client)
        return client;
    rd_kafka_conf_destroy(conf);
    err_set(err, ERR_FATAL, "Kafka: %s", text);
    return NULL;
}

enum err_kind kafka_err_kind(rd_kafka_resp_err_t code)
{
    switch (code) {
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
    case RD_KAFKA_RESP_ERR__INVALID_ARG:
        return ERR_REFUSED;
    default:
        return ERR_RETRY;
    }
}

bool kafka_err(struct err *err, rd_kafka_resp_err_t code, const char *what)
{
    return err_set_code(err, kafka_err_kind(code), rd_kafka_err2name(code), "Kafka: %s: %s", what,
                        rd_kafka_err2str(code));
}
