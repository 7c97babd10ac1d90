#include "broker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/wake.h"

#define TOPICS_MAX 16
#define PARTITIONS 3
#define GROUPS_MAX 8
#define MEMBERS_MAX 64 /* with those that died lately */
#define PRODUCE_US 400        /* until a message is appended, and again until its report is there */
#define FETCH_US 300
#define JOIN_US 30000
#define COMMIT_US 200000      /* auto.commit.interval.ms */
#define SESSION_US 6000000    /* session.timeout.ms */
#define RETRY_US 100000
#define SLOW_SHARE 0.01
#define SLOW_US 200000

struct kafka_record {
    struct wire_message message; /* its own copies */
    int partition;
    int64_t offset;
};

struct partition {
    struct kafka_record **log;
    size_t n, cap;
};

struct topic {
    char name[WIRE_TOPIC_MAX];
    struct partition partitions[PARTITIONS];
};

struct kafka_consumer {
    struct process *process;
    struct group *group;
    int life;         /* of the process */
    char *instance;
    int fd;
    bool closed;      /* by the process */
    bool member;
    int64_t joined_ms;
    int64_t positions[PARTITIONS];
    int64_t stored[PARTITIONS]; /* -1: nothing */
};

struct group {
    char name[WIRE_TOPIC_MAX];
    struct topic *topic;
    struct kafka_consumer *members[MEMBERS_MAX];
    size_t members_n;
    struct kafka_consumer *owners[PARTITIONS];
    int64_t committed[PARTITIONS];
};

/* A message on its way. */
struct flight {
    struct flight *next;
    struct kafka_producer *producer;
    struct topic *topic;
    struct kafka_record *record;
    void *tag;
    int64_t pushed_us;
    bool in_doubt; /* no acknowledgement will come */
    bool appended;
    struct err err;
};

struct kafka_producer {
    struct process *process;
    kafka_report *report;
    void *context;
    int fd;
    struct flight *queued, **queued_tail;
    struct flight *reported, **reported_tail;
    size_t open;
    bool gone;
    int64_t last_us[PARTITIONS]; /* a producer's messages of one partition arrive in their order */
};


static struct {
    struct topic *topics[TOPICS_MAX];
    size_t topics_n;
    struct group *groups[GROUPS_MAX];
    size_t groups_n;
    struct kafka_producer **producers;
    size_t producers_n;
    int64_t away_until_us;
    double doubt_share;
    bool calm;
    sim_append_hook *on_append;
    sim_done_hook *on_done;
} broker;

static bool is_away(void)
{
    return sim_now_us() < broker.away_until_us;
}

static struct topic *topic_of(const char *name)
{
    for (size_t i = 0; i < broker.topics_n; i++) {
        if (strcmp(broker.topics[i]->name, name) == 0)
            return broker.topics[i];
    }
    if (broker.topics_n == TOPICS_MAX)
        sim_fail("the simulator has no room for another topic");
    struct topic *topic = mem_alloc(sizeof *topic);
    snprintf(topic->name, sizeof topic->name, "%s", name);
    return broker.topics[broker.topics_n++] = topic;
}

static struct kafka_record *copy_record(const struct wire_message *message, const char *topic)
{
    struct kafka_record *record = mem_alloc(sizeof *record);
    record->message = *message;
    record->message.topic = topic;
    record->message.key = message->key ? mem_strndup(message->key, message->key_len) : NULL;
    record->message.value = message->value ? mem_strndup(message->value, message->value_len) : NULL;
    for (size_t i = 0; i < message->headers_n; i++) {
        struct wire_header *header = &record->message.headers[i];
        header->name = mem_strdup(header->name);
        header->value = mem_strndup(header->value, header->value_len);
    }
    return record;
}

/* ---- groups ---- */

static struct group *group_of(const char *name, const char *topic)
{
    for (size_t i = 0; i < broker.groups_n; i++) {
        if (strcmp(broker.groups[i]->name, name) == 0)
            return broker.groups[i];
    }
    if (broker.groups_n == GROUPS_MAX)
        sim_fail("the simulator has no room for another consumer group");
    struct group *group = mem_alloc(sizeof *group);
    snprintf(group->name, sizeof group->name, "%s", name);
    group->topic = topic_of(topic);
    return broker.groups[broker.groups_n++] = group;
}

static bool is_gone(const struct kafka_consumer *consumer)
{
    return consumer->closed || !consumer->process->alive || consumer->process->life != consumer->life;
}

static void commit_stored(struct kafka_consumer *consumer, int p)
{
    struct group *group = consumer->group;
    if (group->owners[p] == consumer && consumer->stored[p] > group->committed[p])
        group->committed[p] = consumer->stored[p];
}

static void rebalance(struct group *group)
{
    for (int p = 0; p < PARTITIONS; p++) {
        struct kafka_consumer *owner = group->members_n ? group->members[(size_t)p % group->members_n] : NULL;
        struct kafka_consumer *before = group->owners[p];
        if (owner == before)
            continue;
        if (before && !is_gone(before))
            commit_stored(before, p);
        group->owners[p] = owner;
        if (!owner)
            continue;
        owner->positions[p] = group->committed[p];
        owner->stored[p] = -1;
        wake_ring(owner->fd);
    }
    sim_trace("group %s has %zu members", group->name, group->members_n);
}

static void remove_member(struct kafka_consumer *consumer)
{
    struct group *group = consumer->group;
    consumer->member = false;
    consumer->joined_ms = 0;
    for (size_t i = 0; i < group->members_n; i++) {
        if (group->members[i] != consumer)
            continue;
        memmove(&group->members[i], &group->members[i + 1], (--group->members_n - i) * sizeof group->members[0]);
        rebalance(group);
        return;
    }
}

/* The member that went silent under the same name, whose place is taken over. */
static bool take_place(struct kafka_consumer *consumer)
{
    struct group *group = consumer->group;
    for (size_t i = 0; i < group->members_n && consumer->instance; i++) {
        struct kafka_consumer *other = group->members[i];
        if (!other->instance || strcmp(other->instance, consumer->instance) != 0)
            continue;
        other->member = false;
        group->members[i] = consumer;
        rebalance(group);
        return true;
    }
    return false;
}

static void join(void *argument)
{
    struct kafka_consumer *consumer = argument;
    struct group *group = consumer->group;
    if (is_gone(consumer) || consumer->member)
        return;
    if (is_away()) {
        sim_at(RETRY_US, join, consumer);
        return;
    }
    consumer->member = true;
    consumer->joined_ms = clock_mono_ms();
    if (take_place(consumer))
        return;
    if (group->members_n == MEMBERS_MAX)
        sim_fail("the simulator has no room for another member of a group");
    group->members[group->members_n++] = consumer;
    rebalance(group);
}

static bool is_silent(const struct kafka_consumer *consumer)
{
    return is_gone(consumer) || consumer->process->frozen_until_us > sim_now_us();
}

static void expire(void *argument)
{
    struct kafka_consumer *consumer = argument;
    if (consumer->member && is_silent(consumer))
        remove_member(consumer);
}

/* Stored offsets are committed from time to time, while the member lives. */
static void auto_commit(void *argument)
{
    struct kafka_consumer *consumer = argument;
    if (is_gone(consumer))
        return;
    for (int p = 0; p < PARTITIONS && !is_away() && !is_silent(consumer); p++)
        commit_stored(consumer, p);
    if (consumer->member && consumer->process->frozen_until_us > sim_now_us() + SESSION_US)
        sim_at(SESSION_US, expire, consumer);
    sim_at(COMMIT_US, auto_commit, consumer);
}

struct kafka_consumer *kafka_consumer_new(const struct kafka_consumer_config *config, struct err *err)
{
    (void)err;
    struct kafka_consumer *consumer = mem_alloc(sizeof *consumer);
    consumer->process = sim_process();
    consumer->life = consumer->process->life;
    consumer->group = group_of(config->group, config->topics[0]);
    consumer->instance = mem_strdup(config->instance);
    consumer->fd = wake_new();
    sim_at(sim_spread(JOIN_US), join, consumer);
    sim_at(COMMIT_US, auto_commit, consumer);
    return consumer;
}

void kafka_consumer_free(struct kafka_consumer *consumer)
{
    if (!consumer)
        return;
    sim_sleep(sim_spread(FETCH_US));
    for (int p = 0; p < PARTITIONS; p++)
        commit_stored(consumer, p);
    consumer->closed = true;
    if (consumer->member && !consumer->instance)
        remove_member(consumer);
    else if (consumer->member)
        sim_at(SESSION_US, expire, consumer);
}

static bool has_record(const struct kafka_consumer *consumer, int p)
{
    return consumer->group->owners[p] == consumer && consumer->positions[p] < (int64_t)consumer->group->topic->partitions[p].n;
}

static size_t take_records(struct kafka_consumer *consumer, struct kafka_record **records, size_t max)
{
    size_t n = 0;
    int first = (int)sim_below(PARTITIONS);
    for (int i = 0; i < PARTITIONS; i++) {
        int p = (first + i) % PARTITIONS;
        size_t some = sim_chance(0.2) ? 1 + sim_below(3) : max;
        for (; has_record(consumer, p) && n < max && some; some--)
            records[n++] = consumer->group->topic->partitions[p].log[consumer->positions[p]++];
    }
    return n;
}

bool kafka_receive(struct kafka_consumer *consumer, struct kafka_record **records, size_t max, int timeout_ms, size_t *n,
                   struct err *err)
{
    (void)err;
    int64_t until_us = sim_now_us() + (int64_t)timeout_ms * 1000;
    if (!consumer->member && consumer->joined_ms == 0)
        sim_at(sim_spread(JOIN_US), join, consumer);
    for (;;) {
        sim_sleep(sim_spread(FETCH_US));
        sim_danger("the broker's door");
        *n = is_away() ? 0 : take_records(consumer, records, max);
        if (*n || sim_now_us() >= until_us)
            return true;
        wake_clear(consumer->fd);
        sim_wait(&consumer->fd, 1, until_us - sim_now_us());
    }
}

void kafka_done(struct kafka_consumer *consumer, struct kafka_record *const *records, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int p = records[i]->partition;
        if (consumer->group->owners[p] != consumer)
            continue;
        consumer->stored[p] = records[i]->offset + 1;
        if (broker.on_done)
            broker.on_done(consumer->group->name, records[i]);
    }
}

int64_t kafka_joined_ms(struct kafka_consumer *consumer)
{
    return consumer->joined_ms;
}

int kafka_partitions(struct kafka_consumer *consumer)
{
    int n = 0;
    for (int p = 0; p < PARTITIONS; p++)
        n += consumer->group->owners[p] == consumer;
    return n;
}

void kafka_record_message(const struct kafka_record *record, struct wire_message *message)
{
    *message = record->message;
}

int kafka_record_partition(const struct kafka_record *record)
{
    return record->partition;
}

int64_t kafka_record_offset(const struct kafka_record *record)
{
    return record->offset;
}

void kafka_record_free(struct kafka_record *record)
{
    (void)record; /* the log keeps it */
}

/* ---- producers ---- */

static void ring_group(const struct topic *topic, int p)
{
    for (size_t i = 0; i < broker.groups_n; i++) {
        struct group *group = broker.groups[i];
        if (group->topic == topic && group->owners[p])
            wake_ring(group->owners[p]->fd);
    }
}

static void append(struct flight *flight)
{
    struct partition *partition = &flight->topic->partitions[flight->record->partition];
    if (partition->n == partition->cap) {
        partition->cap = partition->cap ? 2 * partition->cap : 64;
        partition->log = mem_grow(partition->log, partition->cap, sizeof(struct kafka_record *));
    }
    flight->record->offset = (int64_t)partition->n;
    partition->log[partition->n++] = flight->record;
    flight->appended = true;
    if (broker.on_append)
        broker.on_append(flight->record);
    ring_group(flight->topic, flight->record->partition);
}

static void report(void *argument)
{
    struct flight *flight = argument;
    struct kafka_producer *producer = flight->producer;
    if (producer->gone)
        return;
    *producer->reported_tail = flight;
    producer->reported_tail = &flight->next;
    flight->next = NULL;
    wake_ring(producer->fd);
}

static bool is_too_old(const struct flight *flight)
{
    return sim_now_us() - flight->pushed_us > (int64_t)KAFKA_GIVE_UP_MS * 1000;
}

static void arrive(void *argument)
{
    struct flight *flight = argument;
    if (flight->producer->gone && sim_chance(0.5))
        return; /* it never left the process */
    if (is_too_old(flight)) {
        err_set_code(&flight->err, ERR_RETRY, "_MSG_TIMED_OUT", "Kafka: not delivered");
        report(flight);
        return;
    }
    if (is_away()) {
        sim_at(sim_spread(RETRY_US), arrive, flight);
        return;
    }
    append(flight);
    sim_at(sim_spread(PRODUCE_US), report, flight);
}

/* It arrives or not, and nobody ever hears of it. */
static void arrive_in_doubt(void *argument)
{
    struct flight *flight = argument;
    if (sim_chance(0.5) && !is_away())
        append(flight);
    err_set_code(&flight->err, ERR_RETRY, "_MSG_TIMED_OUT", "Kafka: not acknowledged");
    flight->err.in_doubt = true;
    int64_t left_us = flight->pushed_us + (int64_t)KAFKA_GIVE_UP_MS * 1000 - sim_now_us();
    sim_at(left_us > 0 ? left_us : 0, report, flight);
}

static int choose_partition(const struct wire_message *message)
{
    return message->key ? (int)(hash_bytes(message->key, message->key_len, 0) % PARTITIONS) : (int)sim_below(PARTITIONS);
}

static void take_off(struct flight *flight)
{
    struct kafka_producer *producer = flight->producer;
    int p = flight->record->partition;
    flight->pushed_us = sim_now_us();
    if (!broker.calm && sim_chance(broker.doubt_share)) {
        sim_at((int64_t)sim_below((uint64_t)KAFKA_GIVE_UP_MS * 1000), arrive_in_doubt, flight);
        return;
    }
    int64_t at_us = sim_now_us() + sim_spread(!broker.calm && sim_chance(SLOW_SHARE) ? SLOW_US : PRODUCE_US);
    if (at_us < producer->last_us[p])
        at_us = producer->last_us[p];
    producer->last_us[p] = at_us;
    sim_at(at_us - sim_now_us(), arrive, flight);
}

static void on_kill(struct process *process)
{
    for (size_t i = 0; i < broker.producers_n; i++) {
        if (broker.producers[i]->process == process)
            broker.producers[i]->gone = true;
    }
    for (size_t g = 0; g < broker.groups_n; g++) {
        for (size_t i = 0; i < broker.groups[g]->members_n; i++) {
            struct kafka_consumer *consumer = broker.groups[g]->members[i];
            if (consumer->process == process && consumer->life == process->life && !consumer->closed)
                sim_at(SESSION_US, expire, consumer);
        }
    }
}

struct kafka_producer *kafka_producer_new(const char *brokers, const char *client, kafka_report *on_report, void *context,
                                          struct err *err)
{
    (void)brokers, (void)client, (void)err;
    if (!broker.producers_n)
        sched_on_kill(on_kill);
    struct kafka_producer *producer = mem_alloc(sizeof *producer);
    *producer = (struct kafka_producer){.process = sim_process(), .report = on_report, .context = context, .fd = wake_new()};
    producer->queued_tail = &producer->queued;
    producer->reported_tail = &producer->reported;
    broker.producers = mem_grow(broker.producers, broker.producers_n + 1, sizeof(struct kafka_producer *));
    broker.producers[broker.producers_n++] = producer;
    return producer;
}

void kafka_send(struct kafka_producer *producer, const struct wire_message *message, void *tag)
{
    struct flight *flight = mem_alloc(sizeof *flight);
    flight->producer = producer;
    flight->topic = topic_of(message->topic);
    flight->record = copy_record(message, flight->topic->name);
    flight->record->partition = choose_partition(message);
    flight->tag = tag;
    producer->open++;
    *producer->queued_tail = flight;
    producer->queued_tail = &flight->next;
    wake_ring(producer->fd);
}

static struct flight *take_queued(struct kafka_producer *producer)
{
    struct flight *first = producer->queued;
    producer->queued = NULL;
    producer->queued_tail = &producer->queued;
    return first;
}

static void serve(struct kafka_producer *producer)
{
    struct flight *first = producer->reported;
    producer->reported = NULL;
    producer->reported_tail = &producer->reported;
    for (struct flight *flight = first, *next; flight; flight = next) {
        next = flight->next;
        producer->open--;
        bool failed = flight->err.kind != ERR_NONE;
        producer->report(producer->context, flight->tag, flight->record, failed ? &flight->err : NULL);
        free(flight);
    }
}

void kafka_push(struct kafka_producer *producer, int timeout_ms)
{
    int64_t until_us = sim_now_us() + (int64_t)timeout_ms * 1000;
    for (struct flight *flight = take_queued(producer), *next; flight; flight = next) {
        next = flight->next;
        take_off(flight);
    }
    for (;;) {
        serve(producer);
        if (!producer->open || sim_now_us() >= until_us)
            return;
        wake_clear(producer->fd);
        sim_wait(&producer->fd, 1, until_us - sim_now_us());
    }
}

size_t kafka_open(struct kafka_producer *producer)
{
    return producer->open;
}

int kafka_producer_fd(const struct kafka_producer *producer)
{
    return producer->fd;
}

bool kafka_producer_is_fatal(struct kafka_producer *producer)
{
    (void)producer;
    return false;
}

bool kafka_reachable(struct kafka_producer *producer, int timeout_ms)
{
    (void)producer;
    int64_t until_us = sim_now_us() + (int64_t)timeout_ms * 1000;
    do
        sim_sleep(sim_spread(PRODUCE_US));
    while (is_away() && sim_now_us() < until_us);
    return !is_away();
}

void kafka_producer_free(struct kafka_producer *producer)
{
    if (!producer)
        return;
    for (struct flight *flight = take_queued(producer), *next; flight; flight = next) {
        next = flight->next;
        struct err err;
        err_set_code(&err, ERR_RETRY, "_PURGE_QUEUE", "Kafka: not sent");
        producer->open--;
        producer->report(producer->context, flight->tag, NULL, &err);
    }
    while (producer->open)
        kafka_push(producer, 100);
    producer->gone = true;
}

/* ---- the rest ---- */

bool kafka_ensure_topics(const char *brokers, const char *const *topics, size_t n, int partitions, struct err *err)
{
    (void)brokers, (void)partitions;
    sim_sleep(sim_spread(PRODUCE_US));
    if (is_away())
        return err_set(err, ERR_RETRY, "Kafka: all brokers are down");
    for (size_t i = 0; i < n; i++)
        topic_of(topics[i]);
    return true;
}

bool kafka_count_members(const char *brokers, const char *const *groups, size_t n, int *members, struct err *err)
{
    (void)brokers, (void)groups, (void)members, (void)n;
    return err_set(err, ERR_RETRY, "Kafka: not asked");
}

void sim_on_broker(sim_append_hook *on_append, sim_done_hook *on_done)
{
    broker.on_append = on_append;
    broker.on_done = on_done;
}

void sim_broker_away(int64_t us)
{
    sim_trace("Kafka is away for %lld us", (long long)us);
    broker.away_until_us = sim_now_us() + us;
}

void sim_broker_weather(double doubt_share)
{
    broker.doubt_share = doubt_share;
}

void sim_broker_calm(void)
{
    broker.calm = true;
}

bool sim_broker_at_rest(void)
{
    for (size_t g = 0; g < broker.groups_n; g++) {
        for (int p = 0; p < PARTITIONS; p++) {
            if (broker.groups[g]->committed[p] < (int64_t)broker.groups[g]->topic->partitions[p].n)
                return false;
        }
    }
    return true;
}
