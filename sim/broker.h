/* The simulated Kafka: what the world and the checks see of it. The programs see kafka/kafka.h. */
#ifndef SIM_BROKER_H
#define SIM_BROKER_H

#include "kafka/kafka.h"
#include "simulation.h"

/* Called when a message is appended to its partition. */
typedef void sim_append_hook(const struct kafka_record *record);
/* Called when a consumer says that a record is done with, while it still has the partition. */
typedef void sim_done_hook(const char *group, const struct kafka_record *record);
void sim_on_broker(sim_append_hook *append, sim_done_hook *done);

/* Nobody reaches the broker for so long; what it has acknowledged stays. */
void sim_broker_away(int64_t us);
/* This share of the messages is never acknowledged. */
void sim_broker_weather(double doubt_share);
/* From now on every message arrives and is acknowledged. */
void sim_broker_calm(void);
/* Whether every group has read and committed all there is. */
bool sim_broker_at_rest(void);

#endif
