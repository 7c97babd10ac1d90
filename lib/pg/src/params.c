#include "pg/pg.h"

#include <arpa/inet.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "pg_private.h"

#define COLUMN_MAX_BYTES (256u * 1024 * 1024)

void pg_params_reset(struct pg_params *params)
{
    for (size_t i = 0; i < params->n; i++)
        buf_reset(&params->columns[i].data);
    params->n = 0;
}

void pg_params_free(struct pg_params *params)
{
    for (size_t i = 0; i < PG_PARAMS_MAX; i++)
        buf_free(&params->columns[i].data);
    params->n = 0;
}

static struct pg_column *next_column(struct pg_params *params, enum pg_type type, bool array)
{
    if (params->n == PG_PARAMS_MAX)
        abort(); /* a statement with more parameters than the header allows */
    struct pg_column *column = &params->columns[params->n++];
    struct buf data = column->data;
    data.max = COLUMN_MAX_BYTES;
    *column = (struct pg_column){.type = type, .array = array, .data = data};
    buf_reset(&column->data);
    return column;
}

static void add_be32(struct buf *data, uint32_t value)
{
    uint32_t be = htonl(value);
    buf_add(data, &be, sizeof be);
}

static void add_be64(struct buf *data, uint64_t value)
{
    uint64_t be = htobe64(value);
    buf_add(data, &be, sizeof be);
}

/* An element of an array is preceded by its length. */
static void open_value(struct pg_column *column, size_t len)
{
    column->count++;
    if (column->array)
        add_be32(&column->data, (uint32_t)len);
}

void pg_add_null(struct pg_column *column)
{
    column->count++;
    column->has_null = true;
    if (column->array)
        add_be32(&column->data, UINT32_MAX);
    else
        column->null = true;
}

void pg_add_int(struct pg_column *column, int64_t value)
{
    char flag = value ? 1 : 0;
    switch (column->type) {
    case PG_BOOL:
        open_value(column, 1);
        buf_add(&column->data, &flag, 1);
        return;
    case PG_INT4:
        open_value(column, 4);
        add_be32(&column->data, (uint32_t)value);
        return;
    default:
        open_value(column, 8);
        add_be64(&column->data, (uint64_t)value);
    }
}

void pg_add_bytes(struct pg_column *column, const char *text, size_t len)
{
    open_value(column, len);
    buf_add(&column->data, text, len);
}

void pg_add_text(struct pg_column *column, const char *text)
{
    if (text)
        pg_add_bytes(column, text, strlen(text));
    else
        pg_add_null(column);
}

void pg_add_uuid(struct pg_column *column, const struct uuid *id)
{
    open_value(column, sizeof id->bytes);
    buf_add(&column->data, id->bytes, sizeof id->bytes);
}

void pg_add_time(struct pg_column *column, int64_t real_ms)
{
    if (!real_ms) {
        pg_add_null(column);
        return;
    }
    open_value(column, 8);
    add_be64(&column->data, (uint64_t)((real_ms - PG_EPOCH_MS) * 1000));
}

void pg_add_tid(struct pg_column *column, uint64_t tid)
{
    uint16_t offset = htons((uint16_t)tid);
    open_value(column, 6);
    add_be32(&column->data, (uint32_t)(tid >> 16));
    buf_add(&column->data, &offset, sizeof offset);
}

void pg_param_int(struct pg_params *params, enum pg_type type, int64_t value)
{
    pg_add_int(next_column(params, type, false), value);
}

void pg_param_text(struct pg_params *params, enum pg_type type, const char *text)
{
    pg_add_text(next_column(params, type, false), text);
}

void pg_param_uuid(struct pg_params *params, const struct uuid *id)
{
    pg_add_uuid(next_column(params, PG_UUID, false), id);
}

void pg_param_time(struct pg_params *params, int64_t real_ms)
{
    pg_add_time(next_column(params, PG_TIME, false), real_ms);
}

struct pg_column *pg_param_array(struct pg_params *params, enum pg_type type)
{
    struct pg_column *column = next_column(params, type, true);
    static const char header[PG_ARRAY_HEADER];
    buf_add(&column->data, header, sizeof header); /* filled in when the array is complete */
    return column;
}

/* ndim, has nulls, element type, length, lower bound (src/backend/utils/adt/arrayfuncs.c, array_recv). */
void pg_column_close(const struct pg_column *column)
{
    if (!column->array)
        return;
    uint32_t header[5] = {htonl(1), htonl(column->has_null), htonl(pg_type_oid(column->type, false)),
                          htonl((uint32_t)column->count), htonl(1)};
    memcpy(column->data.data, header, sizeof header);
}

unsigned pg_type_oid(enum pg_type type, bool array)
{
    static const struct {
        unsigned one, many;
    } oids[] = {[PG_BOOL] = {16, 1000},   [PG_INT4] = {23, 1007},  [PG_INT8] = {20, 1016},
                [PG_TEXT] = {25, 1009},   [PG_JSON] = {114, 199},  [PG_UUID] = {2950, 2951},
                [PG_TIME] = {1184, 1185}, [PG_XID8] = {5069, 271}, [PG_TID] = {27, 1010}};
    return array ? oids[type].many : oids[type].one;
}
