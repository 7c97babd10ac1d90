/* A client for questions to the broker, and whether it is the one of development. Private to lib/kafka. */
#ifndef KAFKA_ADMIN_H
#define KAFKA_ADMIN_H

#include "conf.h"

/* rd_kafka_destroy ends it. */
rd_kafka_t *admin_client(const char *brokers, struct err *err);
/* BROKER_MOCK is the one in a process, this one's or another's: it has no controller and describes no groups. */
enum admin_broker { BROKER_REAL, BROKER_MOCK, BROKER_AWAY };
enum admin_broker admin_broker(rd_kafka_t *client);

#endif
