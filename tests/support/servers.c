#include "servers.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/uuid.h"

static const char *read_value(const char *name, char *out, size_t size)
{
    const char *path = getenv("SAGA_TEST_SERVERS");
    ck_assert_msg(path != NULL, "SAGA_TEST_SERVERS does not name the servers' env file");
    FILE *file = fopen(path, "r");
    ck_assert_msg(file != NULL, "cannot read %s", path);
    char line[256];
    bool found = false;
    while (fgets(line, sizeof line, file)) {
        size_t len = strlen(name);
        if (strncmp(line, name, len) != 0 || line[len] != '=')
            continue;
        line[strcspn(line, "\n")] = '\0';
        snprintf(out, size, "%s", line + len + 1);
        found = true;
    }
    fclose(file);
    ck_assert_msg(found, "no %s in %s", name, path);
    return out;
}

const char *servers_database_url(void)
{
    static char url[256];
    return *url ? url : read_value("SAGA_DATABASE_URL", url, sizeof url);
}

const char *servers_kafka_brokers(void)
{
    static char brokers[256];
    return *brokers ? brokers : read_value("SAGA_KAFKA_BROKERS", brokers, sizeof brokers);
}

char *servers_unique_name(void)
{
    struct uuid id = uuid_v7();
    uint64_t random;
    memcpy(&random, id.bytes + 8, sizeof random);
    return mem_printf("t_%016llx", (unsigned long long)random);
}
