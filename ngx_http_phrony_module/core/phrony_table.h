
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#ifndef PHRONY_TABLE_H_
#define PHRONY_TABLE_H_


#include "phrony_memory.h"


#define PHRONY_TABLE_MAX   0x3fffffff   /* records */
#define PHRONY_TABLE_NONE  UINT32_MAX   /* no record's number */


PHRONY_HIDDEN_BEGIN


/*
 * A growing array of records of one size.  It begins at a multiple of
 * PHRONY_MEMORY_ALIGN: a record of that size is one line of the cache.
 */

typedef struct {
    void      *data;
    size_t     size;        /* of a record, bytes */
    uint32_t   n;
    uint32_t   max;         /* there is room for so many */
} phrony_table_t;


/*
 * An open-addressing table over one member of a phrony_table_t's records,
 * which must be unique.  Probing is linear; at most half of the slots are in
 * use.  One half of a member's hash chooses the slot, the other is the tag,
 * so that a record with another tag, and so nearly every other one, is passed
 * over without a look at it:
 *
 *     hash   | 32 bits: where to begin | 32 bits: tag |
 *                        |                      =
 *     slots  |  ...  | tag, record | tag, record |  0  | ...
 */

typedef struct {
    uint32_t        tag;
    uint32_t        record;     /* its number plus one, 0: a free slot */
} phrony_slot_t;


typedef struct {
    phrony_slot_t  *slots;
    uint32_t        n;          /* slots, 0: none yet */
    uint32_t        offset;     /* of the member in a record */
    uint32_t        len;        /* of the member: a UUID's or a SHA-256's */
    uint64_t        seed;
} phrony_index_t;


/* Makes an empty table of records of "size" bytes; allocates nothing. */

void phrony_table_init(phrony_table_t *table, size_t size);


/*
 * Appends a copy of the record; earlier pointers to records become invalid.
 * Returns 0, or -1 if there is no memory or the table has PHRONY_TABLE_MAX
 * records.
 */

int phrony_table_push(phrony_table_t *table, const void *record);

/* The same for "n" records; n may be 0. */

int phrony_table_append(phrony_table_t *table, const void *records,
    size_t n);


/*
 * Gives back the room that is not in use.  If there is no memory for the
 * move the table stays as it is.
 */

void phrony_table_trim(phrony_table_t *table);

void phrony_table_free(phrony_table_t *table);


/* Makes an empty index; "len" is 16 (a UUID) or 32 (a SHA-256). */

void phrony_index_init(phrony_index_t *index, size_t offset, size_t len,
    uint64_t seed);


/*
 * Enters the last record of the table, whose member must not be in the index
 * yet.  Returns 0, or -1 if there is no memory.
 */

int phrony_index_add(phrony_index_t *index, const phrony_table_t *table);


/*
 * The number of the record whose member is "id", PHRONY_TABLE_NONE if there
 * is none.  SHA-256s with the same tag, which is bytes 4 to 7, are compared
 * in a time that does not tell how many of the others are equal.
 */

uint32_t phrony_index_find(const phrony_index_t *index,
    const phrony_table_t *table, const unsigned char *id);


/*
 * Makes the index as small as it may be: two slots of 8 bytes a record.  If
 * there is no memory for the move it stays as it is.
 */

void phrony_index_trim(phrony_index_t *index, const phrony_table_t *table);

void phrony_index_free(phrony_index_t *index);


/* The record with this number, n < table->n. */

static inline void *
phrony_table_at(const phrony_table_t *table, uint32_t n)
{
    return (char *) table->data + n * table->size;
}


PHRONY_HIDDEN_END


#endif /* PHRONY_TABLE_H_ */
