#include <stdlib.h>
#include <string.h>

#include "admin.h"
#include "base/mem.h"
#include "kafka/kafka.h"

#include <librdkafka/rdkafka_mock.h> /* wants rdkafka.h before it */

#define TOPICS_MAX 128

static bool is_fine(rd_kafka_resp_err_t code)
{
    return code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS ||
           code == RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE;
}

static bool check_results(rd_kafka_event_t *event, struct err *err)
{
    if (rd_kafka_event_type(event) != RD_KAFKA_EVENT_CREATETOPICS_RESULT)
        return err_set(err, ERR_RETRY, "Kafka: no answer to the creation of topics");
    if (!is_fine(rd_kafka_event_error(event)))
        return kafka_err(err, rd_kafka_event_error(event), "topics not created");
    const rd_kafka_CreateTopics_result_t *result = rd_kafka_event_CreateTopics_result(event);
    size_t n = 0;
    const rd_kafka_topic_result_t **topics = result ? rd_kafka_CreateTopics_result_topics(result, &n) : NULL;
    for (size_t i = 0; i < n; i++) {
        if (!is_fine(rd_kafka_topic_result_error(topics[i])))
            return kafka_err(err, rd_kafka_topic_result_error(topics[i]), rd_kafka_topic_result_name(topics[i]));
    }
    return true;
}

static bool create_topics(rd_kafka_t *client, const char *const *topics, size_t n, int partitions, struct err *err)
{
    char text[256];
    rd_kafka_NewTopic_t *wanted[TOPICS_MAX];
    size_t made = 0;
    for (; made < n && made < TOPICS_MAX; made++)
        wanted[made] = rd_kafka_NewTopic_new(topics[made], partitions, -1, text, sizeof text);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(client, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    rd_kafka_AdminOptions_set_request_timeout(options, 5000, text, sizeof text);
    rd_kafka_AdminOptions_set_operation_timeout(options, 5000, text, sizeof text);
    rd_kafka_CreateTopics(client, wanted, made, options, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, 8000);
    bool ok = check_results(event, err);
    rd_kafka_event_destroy(event);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    rd_kafka_NewTopic_destroy_array(wanted, made);
    return ok;
}

bool kafka_ensure_topics(const char *brokers, const char *const *topics, size_t n, int partitions, struct err *err)
{
    rd_kafka_t *client = admin_client(brokers, err);
    if (!client)
        return false;
    bool ok = admin_broker(client) == BROKER_MOCK || create_topics(client, topics, n, partitions, err);
    rd_kafka_destroy(client);
    return ok;
}

struct kafka_mock {
    rd_kafka_t *client; /* the cluster lives inside a client */
    rd_kafka_mock_cluster_t *cluster;
};

struct kafka_mock *kafka_mock_new(struct err *err)
{
    rd_kafka_conf_t *conf = kafka_conf(NULL, 0, err);
    rd_kafka_t *client = conf ? kafka_client(RD_KAFKA_PRODUCER, conf, err) : NULL;
    if (!client)
        return NULL;
    struct kafka_mock *mock = mem_alloc(sizeof *mock);
    mock->client = client;
    mock->cluster = rd_kafka_mock_cluster_new(client, 1);
    if (mock->cluster)
        return mock;
    kafka_mock_free(mock);
    err_set(err, ERR_FATAL, "the in-process broker could not be made");
    return NULL;
}

void kafka_mock_free(struct kafka_mock *mock)
{
    if (!mock)
        return;
    if (mock->cluster)
        rd_kafka_mock_cluster_destroy(mock->cluster);
    rd_kafka_destroy(mock->client);
    free(mock);
}

const char *kafka_mock_brokers(const struct kafka_mock *mock)
{
    return rd_kafka_mock_cluster_bootstraps(mock->cluster);
}
