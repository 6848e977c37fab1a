
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_cache.h"


#define NGX_PHRONY_CACHE_SHARE    4     /* a part of the zone */
#define NGX_PHRONY_CACHE_OTHERS   8     /* a part of that, without texts */
#define NGX_PHRONY_CACHE_LARGEST  8     /* a part of that, for one */
#define NGX_PHRONY_CACHE_EVICT    64    /* at most, to make room for one */


static ngx_uint_t ngx_phrony_cache_same(ngx_phrony_cache_record_t *record,
    ngx_phrony_cache_found_t *found);
static ngx_phrony_cache_record_t *ngx_phrony_cache_alloc(
    ngx_phrony_zone_t *zone, ngx_phrony_cache_found_t *found);
static void *ngx_phrony_cache_take(ngx_phrony_zone_t *zone, size_t size,
    ngx_phrony_cache_state_t state);
static ngx_uint_t ngx_phrony_cache_fits(ngx_phrony_cache_t *cache,
    ngx_phrony_cache_state_t state, size_t room);
static void ngx_phrony_cache_free(ngx_phrony_zone_t *zone,
    ngx_phrony_cache_record_t *record);
static void ngx_phrony_cache_index(ngx_phrony_cache_t *cache,
    ngx_phrony_cache_record_t *record);
static void ngx_phrony_cache_unindex(ngx_phrony_cache_t *cache,
    ngx_phrony_cache_record_t *record);
static ngx_uint_t ngx_phrony_cache_evict_last(ngx_phrony_zone_t *zone,
    ngx_queue_t *queue);
static ngx_queue_t *ngx_phrony_cache_queue(ngx_phrony_cache_t *cache,
    ngx_phrony_cache_state_t state);
static size_t ngx_phrony_cache_size(size_t len);
static uint64_t ngx_phrony_cache_hash(ngx_phrony_root_t *root,
    const phrony_policy_name_t *name);


ngx_phrony_cache_t *
ngx_phrony_cache_create(ngx_slab_pool_t *shpool, ngx_phrony_origin_t *origin)
{
    size_t               size, n;
    ngx_phrony_cache_t  *cache;

    cache = ngx_slab_calloc_locked(shpool, sizeof(ngx_phrony_cache_t));
    if (cache == NULL) {
        return NULL;
    }

    size = shpool->end - shpool->start;

    /* chains of about two if all texts are of 256 bytes */

    for (n = 16; n < size / 2048; n *= 2) { /* void */ }

    cache->chains = ngx_slab_calloc_locked(shpool, n * sizeof(void *));
    if (cache->chains == NULL) {
        return NULL;
    }

    cache->mask = n - 1;

    ngx_queue_init(&cache->texts);
    ngx_queue_init(&cache->others);

    cache->max_bytes = size / NGX_PHRONY_CACHE_SHARE;
    cache->max_others = cache->max_bytes / NGX_PHRONY_CACHE_OTHERS;

    cache->all = ++origin->last_change;
    cache->epoch = cache->all;

    return cache;
}


void
ngx_phrony_cache_repair(ngx_phrony_cache_t *cache)
{
    ngx_uint_t                  i;
    ngx_phrony_cache_record_t  *record;

    ngx_queue_init(&cache->texts);
    ngx_queue_init(&cache->others);

    cache->bytes = 0;
    cache->others_bytes = 0;

    ngx_memzero(cache->n, sizeof(cache->n));

    for (i = 0; i <= cache->mask; i++) {

        for (record = cache->chains[i]; record; record = record->next) {
            ngx_phrony_cache_index(cache, record);
        }
    }
}


ngx_phrony_cache_record_t *
ngx_phrony_cache_find(ngx_phrony_root_t *root,
    const phrony_policy_name_t *name)
{
    ngx_queue_t                *queue;
    ngx_phrony_cache_t         *cache;
    ngx_phrony_cache_record_t  *record;

    cache = root->cache;
    record = cache->chains[ngx_phrony_cache_hash(root, name) & cache->mask];

    while (record && !phrony_policy_name_eq(&record->name, name)) {
        record = record->next;
    }

    if (record) {
        queue = ngx_phrony_cache_queue(cache, record->state);

        ngx_queue_remove(&record->queue);
        ngx_queue_insert_head(queue, &record->queue);
    }

    return record;
}


uint64_t
ngx_phrony_cache_add(ngx_phrony_zone_t *zone, ngx_phrony_cache_found_t *found)
{
    ngx_phrony_root_t          *root;
    ngx_phrony_cache_t         *cache;
    ngx_phrony_cache_record_t  *record, **chain;

    root = zone->shpool->data;
    record = ngx_phrony_cache_find(root, &found->name);

    if (record) {

        if (ngx_phrony_cache_same(record, found)) {
            record->fetched = ngx_max(record->fetched, found->fetched);
            return record->version;
        }

        if (record->fetched > found->fetched) {
            return 0;
        }

        /* it had changed without anybody being told */

        ngx_phrony_cache_forget(zone, &found->name);
    }

    record = ngx_phrony_cache_alloc(zone, found);
    if (record == NULL) {
        return 0;
    }

    cache = root->cache;
    chain = &cache->chains[ngx_phrony_cache_hash(root, &found->name)
                           & cache->mask];

    record->version = ++root->origin.last_change;
    record->next = *chain;

    ngx_memory_barrier();
    *chain = record;

    ngx_phrony_cache_index(cache, record);

    return record->version;
}


static ngx_uint_t
ngx_phrony_cache_same(ngx_phrony_cache_record_t *record,
    ngx_phrony_cache_found_t *found)
{
    if (record->state != found->state) {
        return 0;
    }

    if (record->state != NGX_PHRONY_CACHE_TEXT) {
        return 1;
    }

    return record->len == found->text.len
           && ngx_memcmp(record->text, found->text.data, record->len) == 0;
}


/* A copy of what was found, in no chain yet; NULL if there is no room. */

static ngx_phrony_cache_record_t *
ngx_phrony_cache_alloc(ngx_phrony_zone_t *zone,
    ngx_phrony_cache_found_t *found)
{
    size_t                      size, len, room;
    ngx_uint_t                  n;
    ngx_phrony_cache_t         *cache;
    ngx_phrony_cache_record_t  *record;

    cache = ((ngx_phrony_root_t *) zone->shpool->data)->cache;
    len = (found->state == NGX_PHRONY_CACHE_TEXT) ? found->text.len : 0;
    size = ngx_phrony_cache_size(len);

    room = ngx_phrony_zone_room(size);

    if (room > cache->max_bytes / NGX_PHRONY_CACHE_LARGEST) {
        return NULL;
    }

    for (n = 0; !ngx_phrony_cache_fits(cache, found->state, room); n++) {

        if (n == NGX_PHRONY_CACHE_EVICT
            || !ngx_phrony_cache_evict_last(zone,
                             ngx_phrony_cache_queue(cache, found->state)))
        {
            return NULL;
        }
    }

    record = ngx_phrony_cache_take(zone, size, found->state);
    if (record == NULL) {
        return NULL;
    }

    record->fetched = found->fetched;
    record->state = found->state;
    record->name = found->name;
    record->len = len;

    if (len) {
        ngx_memcpy(record->text, found->text.data, len);
    }

    return record;
}


/*
 * In a full zone a text may take the place of others, unless it is so large
 * that it would hardly find one; what is not there may only take that of its
 * like.
 */

static void *
ngx_phrony_cache_take(ngx_phrony_zone_t *zone, size_t size,
    ngx_phrony_cache_state_t state)
{
    void                *p;
    ngx_phrony_cache_t  *cache;

    p = ngx_phrony_zone_try_alloc(zone, size);

    if (p || size > ngx_pagesize / 2) {
        return p;
    }

    if (state == NGX_PHRONY_CACHE_TEXT) {
        return ngx_phrony_zone_alloc(zone, size, NULL);
    }

    cache = ((ngx_phrony_root_t *) zone->shpool->data)->cache;

    if (!ngx_phrony_cache_evict_last(zone, &cache->others)) {
        return NULL;
    }

    return ngx_phrony_zone_try_alloc(zone, size);
}


static ngx_uint_t
ngx_phrony_cache_fits(ngx_phrony_cache_t *cache,
    ngx_phrony_cache_state_t state, size_t room)
{
    if (state != NGX_PHRONY_CACHE_TEXT) {
        return cache->others_bytes + room <= cache->max_others;
    }

    return cache->bytes - cache->others_bytes + room
           <= cache->max_bytes - cache->max_others;
}


void
ngx_phrony_cache_forget(ngx_phrony_zone_t *zone,
    const phrony_policy_name_t *name)
{
    uint64_t                    number;
    ngx_uint_t                  i;
    ngx_phrony_root_t          *root;
    ngx_phrony_cache_t         *cache;
    ngx_phrony_cache_record_t  *record;

    root = zone->shpool->data;
    cache = root->cache;
    number = ++root->origin.last_change;

    if (name) {
        cache->names[ngx_phrony_cache_hash(root, name)
                     % NGX_PHRONY_CACHE_NAMES] = number;

        record = ngx_phrony_cache_find(root, name);

        if (record) {
            ngx_phrony_cache_free(zone, record);
        }

    } else {
        cache->all = number;

        for (i = 0; i <= cache->mask; i++) {
            while (cache->chains[i]) {
                ngx_phrony_cache_free(zone, cache->chains[i]);
            }
        }
    }

    /* who sees it does not find what it had before */

    ngx_memory_barrier();
    cache->epoch = number;
}


uint64_t
ngx_phrony_cache_changed(ngx_phrony_root_t *root,
    const phrony_policy_name_t *name)
{
    uint64_t             number;
    ngx_phrony_cache_t  *cache;

    cache = root->cache;
    number = cache->names[ngx_phrony_cache_hash(root, name)
                          % NGX_PHRONY_CACHE_NAMES];

    return ngx_max(number, cache->all);
}


void
ngx_phrony_cache_watched(ngx_phrony_root_t *root, uint64_t from,
    uint64_t until)
{
    ngx_phrony_cache_t  *cache;

    cache = root->cache;

    /* two that overlap are one: there was always somebody who was told */

    if (cache->watched_until < from || until < cache->watched_from) {

        if (until > cache->watched_until) {
            cache->watched_from = from;
            cache->watched_until = until;
        }

        return;
    }

    cache->watched_from = ngx_min(cache->watched_from, from);
    cache->watched_until = ngx_max(cache->watched_until, until);
}


uint64_t
ngx_phrony_cache_good(ngx_phrony_root_t *root, uint64_t fetched)
{
    ngx_phrony_cache_t  *cache;

    cache = root->cache;

    if (fetched > cache->watched_from && fetched < cache->watched_until) {
        return cache->watched_until;
    }

    return fetched;
}


static void
ngx_phrony_cache_free(ngx_phrony_zone_t *zone,
    ngx_phrony_cache_record_t *record)
{
    ngx_phrony_root_t           *root;
    ngx_phrony_cache_t          *cache;
    ngx_phrony_cache_record_t  **link;

    root = zone->shpool->data;
    cache = root->cache;

    link = &cache->chains[ngx_phrony_cache_hash(root, &record->name)
                          & cache->mask];

    while (*link != record) {
        link = &(*link)->next;
    }

    *link = record->next;
    ngx_memory_barrier();

    ngx_phrony_cache_unindex(cache, record);

    ngx_phrony_zone_free(zone, record);
}


static void
ngx_phrony_cache_index(ngx_phrony_cache_t *cache,
    ngx_phrony_cache_record_t *record)
{
    size_t  room;

    room = ngx_phrony_zone_room(ngx_phrony_cache_size(record->len));
    cache->bytes += room;

    if (record->state == NGX_PHRONY_CACHE_TEXT) {
        cache->n[record->name.kind]++;

    } else {
        cache->others_bytes += room;
    }

    ngx_queue_insert_head(ngx_phrony_cache_queue(cache, record->state),
                          &record->queue);
}


static void
ngx_phrony_cache_unindex(ngx_phrony_cache_t *cache,
    ngx_phrony_cache_record_t *record)
{
    size_t  room;

    room = ngx_phrony_zone_room(ngx_phrony_cache_size(record->len));
    cache->bytes -= room;

    if (record->state == NGX_PHRONY_CACHE_TEXT) {
        cache->n[record->name.kind]--;

    } else {
        cache->others_bytes -= room;
    }

    ngx_queue_remove(&record->queue);
}


void
ngx_phrony_cache_evict(ngx_phrony_zone_t *zone)
{
    ngx_uint_t           n;
    ngx_phrony_cache_t  *cache;

    cache = ((ngx_phrony_root_t *) zone->shpool->data)->cache;

    for (n = 0; n < NGX_PHRONY_CACHE_EVICT; n++) {

        if (!ngx_phrony_cache_evict_last(zone, &cache->others)
            && !ngx_phrony_cache_evict_last(zone, &cache->texts))
        {
            return;
        }
    }
}


/* Returns 0 if there is none. */

static ngx_uint_t
ngx_phrony_cache_evict_last(ngx_phrony_zone_t *zone, ngx_queue_t *queue)
{
    ngx_queue_t  *q;

    if (ngx_queue_empty(queue)) {
        return 0;
    }

    q = ngx_queue_last(queue);

    ngx_phrony_cache_free(zone, ngx_queue_data(q, ngx_phrony_cache_record_t,
                                               queue));

    return 1;
}


static ngx_queue_t *
ngx_phrony_cache_queue(ngx_phrony_cache_t *cache,
    ngx_phrony_cache_state_t state)
{
    return (state == NGX_PHRONY_CACHE_TEXT) ? &cache->texts : &cache->others;
}


static size_t
ngx_phrony_cache_size(size_t len)
{
    return ngx_max(sizeof(ngx_phrony_cache_record_t),
                   offsetof(ngx_phrony_cache_record_t, text) + len);
}


static uint64_t
ngx_phrony_cache_hash(ngx_phrony_root_t *root,
    const phrony_policy_name_t *name)
{
    phrony_uuid_t  first;

    /* half of a SHA-256 is as good as all of it */

    ngx_memcpy(first.bytes, name->id, PHRONY_UUID_LEN);

    return phrony_uuid_hash(&first, root->origin.seed + name->kind);
}


uint64_t
ngx_phrony_cache_epoch(ngx_phrony_zone_t *zone)
{
    ngx_phrony_root_t   *root;
    ngx_phrony_cache_t  *cache;

    /* there is none while another process makes the zone anew */

    root = zone->shpool->data;
    cache = root->cache;

    return cache ? cache->epoch : 0;
}
