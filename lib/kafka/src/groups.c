#include <stdlib.h>
#include <string.h>

#include "admin.h"
#include "base/mem.h"
#include "kafka/kafka.h"

#define ANSWER_MS 2000
#define GROUPS_MAX 500

static void set_count(const char *const *groups, size_t n, int *members, const rd_kafka_ConsumerGroupDescription_t *group)
{
    const char *name = rd_kafka_ConsumerGroupDescription_group_id(group);
    if (rd_kafka_error_code(rd_kafka_ConsumerGroupDescription_error(group)) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(groups[i], name) == 0)
            members[i] = (int)rd_kafka_ConsumerGroupDescription_member_count(group);
    }
}

static bool read_counts(rd_kafka_event_t *event, const char *const *groups, size_t n, int *members, struct err *err)
{
    size_t found = 0;
    if (!event || rd_kafka_event_type(event) != RD_KAFKA_EVENT_DESCRIBECONSUMERGROUPS_RESULT)
        return err_set(err, ERR_RETRY, "Kafka: no answer about consumer groups");
    if (rd_kafka_event_error(event))
        return kafka_err(err, rd_kafka_event_error(event), "consumer groups not described");
    const rd_kafka_ConsumerGroupDescription_t **all =
        rd_kafka_DescribeConsumerGroups_result_groups(rd_kafka_event_DescribeConsumerGroups_result(event), &found);
    for (size_t i = 0; i < found; i++)
        set_count(groups, n, members, all[i]);
    return true;
}

static bool describe(rd_kafka_t *client, const char *const *groups, size_t n, int *members, struct err *err)
{
    char text[256];
    const char *names[GROUPS_MAX];
    memcpy(names, groups, n * sizeof *names);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client);
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(client, RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS);
    rd_kafka_AdminOptions_set_request_timeout(options, ANSWER_MS, text, sizeof text);
    rd_kafka_DescribeConsumerGroups(client, names, n, options, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, ANSWER_MS + 500);
    bool ok = read_counts(event, groups, n, members, err);
    rd_kafka_event_destroy(event);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_queue_destroy(queue);
    return ok;
}

bool kafka_count_members(const char *brokers, const char *const *groups, size_t n, int *members, struct err *err)
{
    for (size_t i = 0; i < n; i++)
        members[i] = -1;
    rd_kafka_t *client = admin_client(brokers, err);
    if (!client)
        return false;
    size_t asked = n < GROUPS_MAX ? n : GROUPS_MAX;
    enum admin_broker broker = admin_broker(client);
    bool ok = broker != BROKER_AWAY || err_set(err, ERR_RETRY, "Kafka does not answer");
    if (ok && asked && broker == BROKER_REAL)
        ok = describe(client, groups, asked, members, err);
    rd_kafka_destroy(client);
    return ok;
}
