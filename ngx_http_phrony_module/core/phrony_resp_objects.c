
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include <stdlib.h>

#include "phrony_resp_objects.h"


#define PHRONY_RESP_BLOCK_SIZE  4096                /* the first one */
#define PHRONY_RESP_ALIGN       sizeof(void *)
#define PHRONY_RESP_OTHER       "a reply is not RESP 2"


/* what an array's length is for hiredis */

#if (HIREDIS_MAJOR >= 1)
typedef size_t  phrony_resp_length_t;
#else
typedef int     phrony_resp_length_t;
#endif


static void *phrony_resp_objects_string(const redisReadTask *task, char *str,
    size_t len);
static void *phrony_resp_objects_array(const redisReadTask *task,
    phrony_resp_length_t n);
static void *phrony_resp_objects_integer(const redisReadTask *task,
    long long integer);
static void *phrony_resp_objects_nil(const redisReadTask *task);
#if (HIREDIS_MAJOR >= 1)
static void *phrony_resp_objects_double(const redisReadTask *task,
    double value, char *str, size_t len);
static void *phrony_resp_objects_bool(const redisReadTask *task, int value);
#endif
static void phrony_resp_objects_ignore(void *object);
static const char *phrony_resp_objects_check(const redisReadTask *task,
    const char *str, size_t len);
static phrony_resp_t *phrony_resp_objects_place(const redisReadTask *task,
    phrony_resp_type_t type);
static void *phrony_resp_objects_refuse(const redisReadTask *task,
    const char *why);
static size_t phrony_resp_objects_depth(const redisReadTask *task);
static void *phrony_resp_objects_alloc(phrony_resp_objects_t *objects,
    size_t n);


void
phrony_resp_objects_init(phrony_resp_objects_t *objects, size_t limit)
{
    memset(objects, 0, sizeof(phrony_resp_objects_t));

    objects->limit = limit;

    objects->functions.createString = phrony_resp_objects_string;
    objects->functions.createArray = phrony_resp_objects_array;
    objects->functions.createInteger = phrony_resp_objects_integer;
    objects->functions.createNil = phrony_resp_objects_nil;
#if (HIREDIS_MAJOR >= 1)
    objects->functions.createDouble = phrony_resp_objects_double;
    objects->functions.createBool = phrony_resp_objects_bool;
#endif
    objects->functions.freeObject = phrony_resp_objects_ignore;
}


void
phrony_resp_objects_reset(phrony_resp_objects_t *objects, size_t keep)
{
    phrony_resp_block_t  *block;

    /*
     * The last block is at least as large as all the others together, so
     * replies of one size soon do without allocations.
     */

    block = objects->block;

    if (block) {
        objects->block = block->next;
        phrony_resp_objects_free(objects);

        block->next = NULL;
        block->used = 0;
        objects->block = block;
    }

    if (block && block->size > keep) {
        phrony_resp_objects_free(objects);
    }

    objects->n = 0;

    memset(&objects->root, 0, sizeof(phrony_resp_t));
}


void
phrony_resp_objects_free(phrony_resp_objects_t *objects)
{
    phrony_resp_block_t  *block, *next;

    for (block = objects->block; block; block = next) {
        next = block->next;
        free(block);
    }

    objects->block = NULL;
}


static void *
phrony_resp_objects_string(const redisReadTask *task, char *str, size_t len)
{
    char           *copy;
    const char     *why;
    phrony_resp_t  *object;

    why = phrony_resp_objects_check(task, str, len);

    if (why) {
        return phrony_resp_objects_refuse(task, why);
    }

    copy = phrony_resp_objects_alloc(task->privdata, len + 1);

    if (copy == NULL) {
        return phrony_resp_objects_refuse(task, PHRONY_RESP_OBJECTS_NOMEM);
    }

    memcpy(copy, str, len);
    copy[len] = '\0';

    object = phrony_resp_objects_place(task, PHRONY_RESP_STRING);
    object->str.data = (unsigned char *) copy;
    object->str.len = len;

    if (task->type == REDIS_REPLY_STATUS) {
        object->type = PHRONY_RESP_STATUS;

    } else if (task->type == REDIS_REPLY_ERROR) {
        object->type = PHRONY_RESP_ERROR;
    }

    return object;
}


/* What hiredis does not look at, or some versions do not. */

static const char *
phrony_resp_objects_check(const redisReadTask *task, const char *str,
    size_t len)
{
    switch (task->type) {

    case REDIS_REPLY_STRING:

        /* these two bytes are there */

        if (str[len] != '\r' || str[len + 1] != '\n') {
            return "a string does not end where it should";
        }

        return NULL;

    case REDIS_REPLY_STATUS:
    case REDIS_REPLY_ERROR:

        if (memchr(str, '\r', len) || memchr(str, '\n', len)) {
            return "half a line break is within a line";
        }

        return NULL;

    default:
        return PHRONY_RESP_OTHER;
    }
}


static void *
phrony_resp_objects_array(const redisReadTask *task, phrony_resp_length_t n)
{
    size_t                  elements;
    phrony_resp_t          *object, *array;
    phrony_resp_objects_t  *objects;

    objects = task->privdata;
    elements = (size_t) n;
    array = NULL;

    if (task->type != REDIS_REPLY_ARRAY) {
        return phrony_resp_objects_refuse(task, PHRONY_RESP_OTHER);
    }

    if (elements > objects->limit - objects->n) {
        return phrony_resp_objects_refuse(task,
                                          "a reply has too many elements");
    }

    if (phrony_resp_objects_depth(task) >= PHRONY_RESP_OBJECTS_DEPTH) {
        return phrony_resp_objects_refuse(task, "a reply has too many levels");
    }

    if (elements) {
        array = phrony_resp_objects_alloc(objects,
                                          elements * sizeof(phrony_resp_t));

        if (array == NULL) {
            return phrony_resp_objects_refuse(task, PHRONY_RESP_OBJECTS_NOMEM);
        }

        memset(array, 0, elements * sizeof(phrony_resp_t));
    }

    objects->n += elements;

    object = phrony_resp_objects_place(task, PHRONY_RESP_ARRAY);
    object->elements = array;
    object->n = elements;

    return object;
}


static void *
phrony_resp_objects_integer(const redisReadTask *task, long long integer)
{
    phrony_resp_t  *object;

    object = phrony_resp_objects_place(task, PHRONY_RESP_INTEGER);
    object->integer = integer;

    return object;
}


/* Of a string or an array without length; RESP 3 has a type for it. */

static void *
phrony_resp_objects_nil(const redisReadTask *task)
{
    if (task->type != REDIS_REPLY_STRING && task->type != REDIS_REPLY_ARRAY) {
        return phrony_resp_objects_refuse(task, PHRONY_RESP_OTHER);
    }

    return phrony_resp_objects_place(task, PHRONY_RESP_NIL);
}


#if (HIREDIS_MAJOR >= 1)

static void *
phrony_resp_objects_double(const redisReadTask *task, double value, char *str,
    size_t len)
{
    (void) value;
    (void) str;
    (void) len;

    return phrony_resp_objects_refuse(task, PHRONY_RESP_OTHER);
}


static void *
phrony_resp_objects_bool(const redisReadTask *task, int value)
{
    (void) value;

    return phrony_resp_objects_refuse(task, PHRONY_RESP_OTHER);
}

#endif


/* Objects are freed all at once. */

static void
phrony_resp_objects_ignore(void *object)
{
    (void) object;
}


/* Where hiredis is in the reply: at the whole of it, or at an element. */

static phrony_resp_t *
phrony_resp_objects_place(const redisReadTask *task, phrony_resp_type_t type)
{
    phrony_resp_t          *object, *array;
    phrony_resp_objects_t  *objects;

    if (task->parent) {
        array = task->parent->obj;
        object = &array->elements[task->idx];

    } else {
        objects = task->privdata;
        object = &objects->root;
    }

    object->type = type;

    return object;
}


/* hiredis takes it for a lack of memory. */

static void *
phrony_resp_objects_refuse(const redisReadTask *task, const char *why)
{
    phrony_resp_objects_t  *objects;

    objects = task->privdata;
    objects->why = why;

    return NULL;
}


static size_t
phrony_resp_objects_depth(const redisReadTask *task)
{
    size_t  depth;

    for (depth = 0; task->parent; depth++) {
        task = task->parent;
    }

    return depth;
}


/* "n" has a bound: a reply's limits. */

static void *
phrony_resp_objects_alloc(phrony_resp_objects_t *objects, size_t n)
{
    size_t                size;
    unsigned char        *p;
    phrony_resp_block_t  *block;

    n = (n + PHRONY_RESP_ALIGN - 1) & ~(PHRONY_RESP_ALIGN - 1);
    block = objects->block;

    if (block == NULL || n > block->size - block->used) {

        size = block ? 2 * block->size : PHRONY_RESP_BLOCK_SIZE;
        size = (n > size) ? n : size;

        block = malloc(sizeof(phrony_resp_block_t) + size);

        if (block == NULL) {
            return NULL;
        }

        block->size = size;
        block->used = 0;
        block->next = objects->block;
        objects->block = block;
    }

    p = (unsigned char *) &block[1] + block->used;
    block->used += n;

    return p;
}
