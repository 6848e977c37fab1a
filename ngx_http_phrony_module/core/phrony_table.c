
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <stdlib.h>

#include "phrony_table.h"
#include "phrony_uuid.h"


#define PHRONY_TABLE_FIRST  16      /* records that the first growth fits */


static int phrony_index_resize(phrony_index_t *index,
    const phrony_table_t *table, uint32_t n);
static void phrony_index_enter(phrony_index_t *index,
    const phrony_table_t *table, uint32_t record);
static uint32_t phrony_index_slot(const phrony_index_t *index,
    const unsigned char *id);
static int phrony_index_equal(const phrony_index_t *index,
    const unsigned char *one, const unsigned char *two);
static const unsigned char *phrony_index_member(const phrony_index_t *index,
    const phrony_table_t *table, uint32_t record);


void
phrony_table_init(phrony_table_t *table, size_t size)
{
    table->data = NULL;
    table->size = size;
    table->n = 0;
    table->max = 0;
}


int
phrony_table_push(phrony_table_t *table, const void *record)
{
    void      *data;
    uint32_t   max;

    if (table->n == table->max) {
        if (table->n == PHRONY_TABLE_MAX) {
            return -1;
        }

        max = table->max ? table->max * 2 : PHRONY_TABLE_FIRST;

        if (max > PHRONY_TABLE_MAX) {
            max = PHRONY_TABLE_MAX;
        }

        data = realloc(table->data, max * table->size);
        if (data == NULL) {
            return -1;
        }

        table->data = data;
        table->max = max;
    }

    memcpy(phrony_table_at(table, table->n), record, table->size);
    table->n++;

    return 0;
}


void
phrony_table_trim(phrony_table_t *table)
{
    void  *data;

    if (table->n == table->max) {
        return;
    }

    if (table->n == 0) {
        phrony_table_free(table);
        return;
    }

    data = realloc(table->data, table->n * table->size);
    if (data == NULL) {
        return;
    }

    table->data = data;
    table->max = table->n;
}


void
phrony_table_free(phrony_table_t *table)
{
    free(table->data);
    phrony_table_init(table, table->size);
}


void
phrony_index_init(phrony_index_t *index, size_t offset, size_t len,
    uint64_t seed)
{
    index->slots = NULL;
    index->n = 0;
    index->offset = (uint32_t) offset;
    index->len = (uint32_t) len;
    index->seed = seed;
}


int
phrony_index_add(phrony_index_t *index, const phrony_table_t *table)
{
    uint32_t  n;

    if (index->n / 2 >= table->n) {
        phrony_index_enter(index, table, table->n - 1);
        return 0;
    }

    /* the new slots are filled from all records, the last one included */

    n = (table->n < PHRONY_TABLE_FIRST) ? PHRONY_TABLE_FIRST : table->n;

    if (n <= PHRONY_TABLE_MAX / 2) {
        n *= 2;
    }

    return phrony_index_resize(index, table, n * 2);
}


uint32_t
phrony_index_find(const phrony_index_t *index, const phrony_table_t *table,
    const unsigned char *id)
{
    uint32_t              slot, record;
    const unsigned char  *member;

    if (index->n == 0) {
        return PHRONY_TABLE_NONE;
    }

    slot = phrony_index_slot(index, id);

    while (index->slots[slot]) {
        record = index->slots[slot] - 1;
        member = phrony_index_member(index, table, record);

        if (phrony_index_equal(index, member, id)) {
            return record;
        }

        slot = (slot + 1 == index->n) ? 0 : slot + 1;
    }

    return PHRONY_TABLE_NONE;
}


void
phrony_index_trim(phrony_index_t *index, const phrony_table_t *table)
{
    if (table->n && index->n > table->n * 2) {
        (void) phrony_index_resize(index, table, table->n * 2);
    }
}


void
phrony_index_free(phrony_index_t *index)
{
    free(index->slots);
    index->slots = NULL;
    index->n = 0;
}


/* Moves all records into "n" slots; the old ones stay if that fails. */

static int
phrony_index_resize(phrony_index_t *index, const phrony_table_t *table,
    uint32_t n)
{
    uint32_t  *slots, record;

    slots = calloc(n, sizeof(uint32_t));
    if (slots == NULL) {
        return -1;
    }

    free(index->slots);

    index->slots = slots;
    index->n = n;

    for (record = 0; record < table->n; record++) {
        phrony_index_enter(index, table, record);
    }

    return 0;
}


static void
phrony_index_enter(phrony_index_t *index, const phrony_table_t *table,
    uint32_t record)
{
    uint32_t  slot;

    slot = phrony_index_slot(index, phrony_index_member(index, table, record));

    while (index->slots[slot]) {
        slot = (slot + 1 == index->n) ? 0 : slot + 1;
    }

    index->slots[slot] = record + 1;
}


/* The slot where the search for "id" begins. */

static uint32_t
phrony_index_slot(const phrony_index_t *index, const unsigned char *id)
{
    uint32_t       hash;
    phrony_uuid_t  uuid;

    if (index->len == PHRONY_UUID_LEN) {
        memcpy(uuid.bytes, id, PHRONY_UUID_LEN);
        hash = (uint32_t) (phrony_uuid_hash(&uuid, index->seed) >> 32);

    } else {
        /* SHA-256 is uniform, and nobody can aim at a slot with it cheaply */
        memcpy(&hash, id, sizeof(uint32_t));
    }

    /* scales the hash to the number of slots, which is any number */

    return (uint32_t) (((uint64_t) hash * index->n) >> 32);
}


/* A hash is made of a secret; ids are public. */

static int
phrony_index_equal(const phrony_index_t *index, const unsigned char *one,
    const unsigned char *two)
{
    if (index->len == PHRONY_UUID_LEN) {
        return memcmp(one, two, PHRONY_UUID_LEN) == 0;
    }

    return phrony_equal_const_time(one, two, index->len);
}


static const unsigned char *
phrony_index_member(const phrony_index_t *index, const phrony_table_t *table,
    uint32_t record)
{
    return (const unsigned char *) phrony_table_at(table, record)
           + index->offset;
}
