#include "admin.h"

#include <stdbool.h>
#include <string.h>

#define ANSWER_MS 3000

rd_kafka_t *admin_client(const char *brokers, struct err *err)
{
    const struct kafka_setting settings[] = {{"bootstrap.servers", brokers}, {"client.id", "saga-admin"},
                                             {"reconnect.backoff.max.ms", "500"}};
    rd_kafka_conf_t *conf = kafka_conf(settings, 3, err);
    return conf ? kafka_client(RD_KAFKA_PRODUCER, conf, err) : NULL;
}

/* Its clusters are named so. */
enum admin_broker admin_broker(rd_kafka_t *client)
{
    char *cluster = rd_kafka_clusterid(client, ANSWER_MS);
    if (!cluster)
        return BROKER_AWAY;
    bool mock = strncmp(cluster, "mockCluster", strlen("mockCluster")) == 0;
    rd_kafka_mem_free(client, cluster);
    return mock ? BROKER_MOCK : BROKER_REAL;
}
