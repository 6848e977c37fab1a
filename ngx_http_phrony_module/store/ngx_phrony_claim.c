
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_claim.h"
#include "ngx_phrony_delivery.h"


#define NGX_PHRONY_CLAIM_SWEEP  2       /* expired ones, for each new one */
#define NGX_PHRONY_CLAIM_FEW    8
#define NGX_PHRONY_CLAIM_EVICT  64      /* at most, to make room for one */


static ngx_phrony_claim_t **ngx_phrony_claim_chain(ngx_phrony_root_t *root,
    u_char *digest);
static ngx_phrony_claim_t *ngx_phrony_claim_create(ngx_phrony_zone_t *zone,
    u_char *digest);
static void ngx_phrony_claim_make_room(ngx_phrony_zone_t *zone, size_t size);
static void ngx_phrony_claim_sweep(ngx_phrony_zone_t *zone,
    ngx_queue_t *queue);
static ngx_uint_t ngx_phrony_claim_evict_last(ngx_phrony_zone_t *zone);
static void *ngx_phrony_claim_try_alloc(ngx_phrony_zone_t *zone,
    size_t size);
static void ngx_phrony_claim_store(ngx_phrony_zone_t *zone,
    ngx_phrony_claim_t *claim, ngx_str_t *stored);
static void ngx_phrony_claim_become(ngx_phrony_root_t *root,
    ngx_phrony_claim_t *claim, phrony_delivery_state_t state);
static ngx_queue_t *ngx_phrony_claim_queue(ngx_phrony_root_t *root,
    ngx_phrony_claim_t *claim);


/* What is copied with the lock held, where nothing is allocated. */

static u_char  ngx_phrony_claim_stored[NGX_PHRONY_CLAIM_STORED];


ngx_phrony_claim_t *
ngx_phrony_claim_find(ngx_phrony_zone_t *zone, u_char *digest)
{
    ngx_phrony_root_t   *root;
    ngx_phrony_claim_t  *claim;

    root = zone->shpool->data;

    claim = *ngx_phrony_claim_chain(root, digest);

    while (claim
           && ngx_memcmp(claim->digest, digest, NGX_PHRONY_DIGEST_LEN) != 0)
    {
        claim = claim->next;
    }

    if (claim == NULL) {
        return NULL;
    }

    if (claim->expires <= zone->now) {
        ngx_phrony_claim_free(zone, claim);
        return NULL;
    }

    if (claim->state == PHRONY_DELIVERY_PROGRESS
        && claim->until <= zone->now)
    {
        ngx_phrony_claim_become(root, claim, PHRONY_DELIVERY_UNKNOWN);
    }

    return claim;
}


void
ngx_phrony_claim_look(ngx_phrony_zone_t *zone,
    ngx_phrony_delivery_t *delivery)
{
    int                         same;
    ngx_phrony_claim_t         *claim;
    phrony_delivery_state_t     state;
    phrony_delivery_decision_t  decision;

    ngx_phrony_delivery_begin(delivery);

    claim = ngx_phrony_claim_find(zone, delivery->digest);

    state = PHRONY_DELIVERY_NEW;
    same = 1;

    if (claim) {
        state = claim->state;
        same = (ngx_memcmp(claim->fingerprint, delivery->fingerprint,
                           NGX_PHRONY_DIGEST_LEN)
                == 0);
    }

    decision = phrony_delivery_decide(delivery->mode, state, same,
                                      claim && claim->stored);

    delivery->action = decision.action;
    delivery->duplicate = decision.duplicate;

    if (claim && decision.action == PHRONY_DELIVERY_ACTION_REPLAY) {
        ngx_phrony_claim_copy(claim, &delivery->stored);
    }
}


void
ngx_phrony_claim_copy(ngx_phrony_claim_t *claim, ngx_str_t *stored)
{
    if (claim->stored == NULL) {
        ngx_str_null(stored);
        return;
    }

    ngx_memcpy(ngx_phrony_claim_stored, claim->stored, claim->len);

    stored->data = ngx_phrony_claim_stored;
    stored->len = claim->len;
}


void
ngx_phrony_claim_take(ngx_phrony_zone_t *zone, ngx_phrony_op_t *op)
{
    ngx_phrony_root_t      *root;
    ngx_phrony_claim_t     *claim;
    ngx_phrony_delivery_t  *delivery;

    root = zone->shpool->data;
    delivery = &op->delivery;

    ngx_phrony_claim_sweep(zone, &root->pending);
    ngx_phrony_claim_sweep(zone, &root->kept);

    claim = ngx_phrony_claim_find(zone, delivery->digest);

    if (claim == NULL) {
        claim = ngx_phrony_claim_create(zone, delivery->digest);
    }

    if (claim == NULL) {
        root->exhausted++;
        return;
    }

    if (claim->state == PHRONY_DELIVERY_UNKNOWN
        || delivery->duplicate == PHRONY_DUPLICATE_UNKNOWN)
    {
        claim->doubtful = 1;
    }

    claim->local = 0;
    claim->owner = delivery->owner;
    claim->trigger_id = op->trigger_id;
    claim->workspace_id = op->workspace_id;

    ngx_memcpy(claim->fingerprint, delivery->fingerprint,
               NGX_PHRONY_DIGEST_LEN);

    claim->until = zone->now + op->reservation_ttl;
    claim->expires = zone->now + ngx_max(delivery->ttl, op->reservation_ttl);

    ngx_phrony_claim_become(root, claim, PHRONY_DELIVERY_PROGRESS);

    delivery->claimed = 1;
}


/* In no state yet; in a chain and in root->pending. */

static ngx_phrony_claim_t *
ngx_phrony_claim_create(ngx_phrony_zone_t *zone, u_char *digest)
{
    ngx_phrony_root_t   *root;
    ngx_phrony_claim_t  *claim, **chain;

    root = zone->shpool->data;

    ngx_phrony_claim_make_room(zone, sizeof(ngx_phrony_claim_t));

    claim = ngx_phrony_zone_alloc(zone, sizeof(ngx_phrony_claim_t), NULL);
    if (claim == NULL) {
        return NULL;
    }

    ngx_memzero(claim, sizeof(ngx_phrony_claim_t));

    ngx_memcpy(claim->digest, digest, NGX_PHRONY_DIGEST_LEN);

    /* until it is told otherwise, for whoever repairs the zone */

    claim->state = PHRONY_DELIVERY_PROGRESS;

    chain = ngx_phrony_claim_chain(root, digest);
    claim->next = *chain;

    ngx_memory_barrier();
    *chain = claim;

    ngx_queue_insert_head(&root->pending, &claim->queue);

    root->nclaims++;
    root->claim_bytes += ngx_phrony_zone_room(sizeof(ngx_phrony_claim_t));

    return claim;
}


/* Within what deliveries may take of the zone, as far as that can be done. */

static void
ngx_phrony_claim_make_room(ngx_phrony_zone_t *zone, size_t size)
{
    ngx_uint_t          n;
    ngx_phrony_root_t  *root;

    root = zone->shpool->data;
    size = ngx_phrony_zone_room(size);

    for (n = 0; n < NGX_PHRONY_CLAIM_EVICT; n++) {

        if (root->claim_bytes + size <= root->max_claim_bytes
            || !ngx_phrony_claim_evict_last(zone))
        {
            return;
        }
    }
}


ngx_phrony_claim_t *
ngx_phrony_claim_settle(ngx_phrony_zone_t *zone,
    ngx_phrony_receipt_t *receipt)
{
    ngx_phrony_root_t   *root;
    ngx_phrony_claim_t  *claim;

    root = zone->shpool->data;

    claim = ngx_phrony_claim_find(zone, receipt->digest);

    if (claim && !phrony_uuid_eq(&claim->owner, &receipt->owner)) {

        /* another's that did not end: what was done is known even so */

        if (claim->state != PHRONY_DELIVERY_UNKNOWN
            || receipt->event != NGX_PHRONY_RECEIPT_DONE)
        {
            return NULL;
        }

        claim->owner = receipt->owner;
    }

    if (receipt->event == NGX_PHRONY_RECEIPT_FORGET) {

        if (claim == NULL) {
            return NULL;
        }

        if (!claim->doubtful) {
            ngx_phrony_claim_free(zone, claim);
            return NULL;
        }

        ngx_phrony_claim_become(root, claim, PHRONY_DELIVERY_UNKNOWN);
        return claim;
    }

    if (claim == NULL) {
        claim = ngx_phrony_claim_create(zone, receipt->digest);

        if (claim == NULL) {
            root->exhausted++;
            return NULL;
        }

        claim->owner = receipt->owner;
        claim->trigger_id = receipt->trigger_id;
        claim->workspace_id = receipt->workspace_id;

        ngx_memcpy(claim->fingerprint, receipt->fingerprint,
                   NGX_PHRONY_DIGEST_LEN);
    }

    claim->expires = zone->now + receipt->ttl;

    if (receipt->event == NGX_PHRONY_RECEIPT_UNKNOWN) {
        ngx_phrony_claim_become(root, claim, PHRONY_DELIVERY_UNKNOWN);
        return claim;
    }

    ngx_phrony_claim_store(zone, claim, &receipt->stored);
    ngx_phrony_claim_become(root, claim, PHRONY_DELIVERY_DONE);

    return claim;
}


/* For an answer a few of the oldest deliveries are given up, and no more. */

static void *
ngx_phrony_claim_try_alloc(ngx_phrony_zone_t *zone, size_t size)
{
    void        *p;
    ngx_uint_t   n;

    p = ngx_phrony_zone_try_alloc(zone, size);

    for (n = 0; p == NULL && n < NGX_PHRONY_CLAIM_FEW; n++) {

        if (!ngx_phrony_claim_evict_last(zone)) {
            return NULL;
        }

        p = ngx_phrony_zone_try_alloc(zone, size);
    }

    return p;
}


/* What there is no room for is not stored: the start was done all the same. */

static void
ngx_phrony_claim_store(ngx_phrony_zone_t *zone, ngx_phrony_claim_t *claim,
    ngx_str_t *stored)
{
    u_char             *p;
    ngx_phrony_root_t  *root;

    if (claim->stored
        || stored->len == 0
        || stored->len > NGX_PHRONY_CLAIM_STORED)
    {
        return;
    }

    root = zone->shpool->data;

    /* so that it is not given up to make room for its answer */

    ngx_queue_remove(&claim->queue);
    ngx_queue_insert_head(&root->pending, &claim->queue);

    ngx_phrony_claim_make_room(zone, stored->len);

    p = ngx_phrony_claim_try_alloc(zone, stored->len);
    if (p == NULL) {
        root->exhausted++;
        return;
    }

    ngx_memcpy(p, stored->data, stored->len);

    claim->len = stored->len;

    ngx_memory_barrier();
    claim->stored = p;

    root->claim_bytes += ngx_phrony_zone_room(stored->len);
}


void
ngx_phrony_claim_free(ngx_phrony_zone_t *zone, ngx_phrony_claim_t *claim)
{
    u_char              *stored;
    ngx_phrony_root_t   *root;
    ngx_phrony_claim_t **link;

    root = zone->shpool->data;

    if (claim->untold) {
        ngx_phrony_claim_told(root, claim);
    }

    link = ngx_phrony_claim_chain(root, claim->digest);

    while (*link != claim) {
        link = &(*link)->next;
    }

    *link = claim->next;

    ngx_queue_remove(&claim->queue);

    root->nclaims--;
    root->claim_bytes -= ngx_phrony_zone_room(sizeof(ngx_phrony_claim_t));

    stored = claim->stored;

    if (stored) {
        root->claim_bytes -= ngx_phrony_zone_room(claim->len);
        ngx_phrony_zone_free(zone, stored);
    }

    ngx_phrony_zone_free(zone, claim);
}


void
ngx_phrony_claim_untold(ngx_phrony_root_t *root, ngx_phrony_claim_t *claim)
{
    if (claim->untold) {
        return;
    }

    claim->untold = 1;

    ngx_queue_insert_tail(&root->untold_claims, &claim->untold_queue);
    root->nuntold++;
}


void
ngx_phrony_claim_told(ngx_phrony_root_t *root, ngx_phrony_claim_t *claim)
{
    ngx_queue_remove(&claim->untold_queue);
    root->nuntold--;

    claim->untold = 0;
}


/* Those of one time to live expire in the order in which they are given. */

static void
ngx_phrony_claim_sweep(ngx_phrony_zone_t *zone, ngx_queue_t *queue)
{
    ngx_uint_t           n;
    ngx_queue_t         *q;
    ngx_phrony_claim_t  *claim;

    for (n = 0; n < NGX_PHRONY_CLAIM_SWEEP; n++) {

        if (ngx_queue_empty(queue)) {
            return;
        }

        q = ngx_queue_last(queue);
        claim = ngx_queue_data(q, ngx_phrony_claim_t, queue);

        if (claim->expires <= zone->now) {
            ngx_phrony_claim_free(zone, claim);
            continue;
        }

        if (claim->state != PHRONY_DELIVERY_PROGRESS
            || claim->until > zone->now)
        {
            return;
        }

        ngx_phrony_claim_become(zone->shpool->data, claim,
                                PHRONY_DELIVERY_UNKNOWN);
    }
}


void
ngx_phrony_claim_evict(ngx_phrony_zone_t *zone)
{
    ngx_uint_t  n;

    for (n = 0; n < NGX_PHRONY_CLAIM_EVICT; n++) {

        if (!ngx_phrony_claim_evict_last(zone)) {
            return;
        }
    }
}


/* What Redis is still to be told is kept. */

static ngx_uint_t
ngx_phrony_claim_evict_last(ngx_phrony_zone_t *zone)
{
    ngx_uint_t           n;
    ngx_queue_t         *q;
    ngx_phrony_root_t   *root;
    ngx_phrony_claim_t  *claim;

    root = zone->shpool->data;

    for (n = 0; n < NGX_PHRONY_CLAIM_EVICT; n++) {

        if (ngx_queue_empty(&root->kept)) {
            return 0;
        }

        q = ngx_queue_last(&root->kept);
        claim = ngx_queue_data(q, ngx_phrony_claim_t, queue);

        if (!claim->untold) {
            root->evicted += (claim->expires > zone->now);
            ngx_phrony_claim_free(zone, claim);
            return 1;
        }

        ngx_queue_remove(q);
        ngx_queue_insert_head(&root->kept, q);
    }

    return 0;
}


void
ngx_phrony_claim_repair(ngx_phrony_root_t *root)
{
    ngx_uint_t           i;
    ngx_phrony_claim_t  *claim;

    ngx_queue_init(&root->pending);
    ngx_queue_init(&root->kept);
    ngx_queue_init(&root->untold_claims);

    root->nclaims = 0;
    root->claim_bytes = 0;

    for (i = 0; i <= root->claim_mask; i++) {

        for (claim = root->claims[i]; claim; claim = claim->next) {

            root->nclaims++;
            root->claim_bytes
                += ngx_phrony_zone_room(sizeof(ngx_phrony_claim_t));

            if (claim->stored) {
                root->claim_bytes += ngx_phrony_zone_room(claim->len);
            }

            if (claim->untold) {
                ngx_queue_insert_tail(&root->untold_claims,
                                      &claim->untold_queue);
                root->nuntold++;
            }

            ngx_queue_insert_head(ngx_phrony_claim_queue(root, claim),
                                  &claim->queue);
        }
    }
}


static void
ngx_phrony_claim_become(ngx_phrony_root_t *root, ngx_phrony_claim_t *claim,
    phrony_delivery_state_t state)
{
    claim->state = state;

    ngx_queue_remove(&claim->queue);
    ngx_queue_insert_head(ngx_phrony_claim_queue(root, claim), &claim->queue);
}


static ngx_queue_t *
ngx_phrony_claim_queue(ngx_phrony_root_t *root, ngx_phrony_claim_t *claim)
{
    return (claim->state == PHRONY_DELIVERY_PROGRESS) ? &root->pending
                                                      : &root->kept;
}


static ngx_phrony_claim_t **
ngx_phrony_claim_chain(ngx_phrony_root_t *root, u_char *digest)
{
    uint64_t  hash;

    /* a digest is as good as random, to all who do not choose the id */

    ngx_memcpy(&hash, digest, sizeof(uint64_t));

    hash = (hash ^ root->origin.seed) * 0x9e3779b97f4a7c15;

    return &root->claims[(hash >> 32) & root->claim_mask];
}
