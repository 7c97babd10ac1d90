/* The private PostgreSQL and Kafka that the test run started; a test that needs them names a schema and a topic prefix
 * of its own, so that tests run beside each other. */
#ifndef SERVERS_H
#define SERVERS_H

/* From the file that scripts/servers.sh wrote; the test fails when there is none. Static memory. */
const char *servers_database_url(void);
const char *servers_kafka_brokers(void);
/* A name that no other test uses, "t_" and hexadecimal digits; the caller frees it. */
char *servers_unique_name(void);

#endif
