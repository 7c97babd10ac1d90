#include <arpa/inet.h>
#include <endian.h>
#include <libpq-fe.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "pg_private.h"

/* A struct pg_rows is a PGresult by another name, so that libpq's header stays in this folder. */
static const PGresult *result_of(const struct pg_rows *rows)
{
    return (const PGresult *)rows;
}

void pg_rows_free(struct pg_rows *rows)
{
    PQclear((PGresult *)rows);
}

size_t pg_rows_count(const struct pg_rows *rows)
{
    return (size_t)PQntuples(result_of(rows));
}

size_t pg_rows_affected(const struct pg_rows *rows)
{
    return strtoul(PQcmdTuples((PGresult *)(uintptr_t)rows), NULL, 10);
}

bool pg_is_null(const struct pg_rows *rows, size_t row, int column)
{
    return PQgetisnull(result_of(rows), (int)row, column);
}

/* The value's bytes when there are exactly `len`, else NULL: a NULL value or a select list that was changed. */
static const char *fixed(const struct pg_rows *rows, size_t row, int column, int len)
{
    if (PQgetlength(result_of(rows), (int)row, column) != len)
        return NULL;
    return PQgetvalue(result_of(rows), (int)row, column);
}

bool pg_get_bool(const struct pg_rows *rows, size_t row, int column)
{
    const char *value = fixed(rows, row, column, 1);
    return value && *value;
}

int64_t pg_get_int(const struct pg_rows *rows, size_t row, int column)
{
    const char *value = fixed(rows, row, column, 4);
    uint32_t small;
    uint64_t large;
    if (value) {
        memcpy(&small, value, sizeof small);
        return (int32_t)ntohl(small);
    }
    value = fixed(rows, row, column, 8);
    if (!value)
        return 0;
    memcpy(&large, value, sizeof large);
    return (int64_t)be64toh(large);
}

const char *pg_get_text(const struct pg_rows *rows, size_t row, int column, size_t *len)
{
    bool null = pg_is_null(rows, row, column);
    if (len)
        *len = null ? 0 : (size_t)PQgetlength(result_of(rows), (int)row, column);
    return null ? NULL : PQgetvalue(result_of(rows), (int)row, column);
}

struct uuid pg_get_uuid(const struct pg_rows *rows, size_t row, int column)
{
    struct uuid id = {{0}};
    const char *value = fixed(rows, row, column, sizeof id.bytes);
    if (value)
        memcpy(id.bytes, value, sizeof id.bytes);
    return id;
}

int64_t pg_get_time(const struct pg_rows *rows, size_t row, int column)
{
    if (!fixed(rows, row, column, 8))
        return 0;
    return pg_get_int(rows, row, column) / 1000 + PG_EPOCH_MS;
}

uint64_t pg_get_tid(const struct pg_rows *rows, size_t row, int column)
{
    const char *value = fixed(rows, row, column, 6);
    uint32_t block;
    uint16_t offset;
    if (!value)
        return 0;
    memcpy(&block, value, sizeof block);
    memcpy(&offset, value + sizeof block, sizeof offset);
    return (uint64_t)ntohl(block) << 16 | ntohs(offset);
}
