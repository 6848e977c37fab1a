
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "ngx_phrony_delivery.h"


void
ngx_phrony_delivery_begin(ngx_phrony_delivery_t *delivery)
{
    delivery->action = PHRONY_DELIVERY_ACTION_CLAIM;
    delivery->duplicate = PHRONY_DUPLICATE_NONE;
    delivery->claimed = 0;

    ngx_str_null(&delivery->stored);
}


ngx_int_t
ngx_phrony_delivery_keep(ngx_phrony_delivery_t *delivery)
{
    u_char  *copy;

    if (delivery->stored.len == 0) {
        return NGX_OK;
    }

    copy = ngx_alloc(delivery->stored.len, ngx_cycle->log);

    if (copy == NULL) {
        ngx_str_null(&delivery->stored);
        return NGX_ERROR;
    }

    ngx_memcpy(copy, delivery->stored.data, delivery->stored.len);
    delivery->stored.data = copy;

    return NGX_OK;
}


ngx_uint_t
ngx_phrony_delivery_blocks(ngx_phrony_delivery_t *delivery)
{
    return delivery->mode != PHRONY_DELIVERY_MODE_OFF
           && delivery->action != PHRONY_DELIVERY_ACTION_CLAIM
           && delivery->action != PHRONY_DELIVERY_ACTION_PROXY;
}


ngx_uint_t
ngx_phrony_delivery_asks(ngx_phrony_op_t *op)
{
    ngx_phrony_delivery_t  *delivery;

    delivery = &op->delivery;

    if (op->read || delivery->mode == PHRONY_DELIVERY_MODE_OFF) {
        return 0;
    }

    return ngx_phrony_delivery_wanted(delivery)
           || (delivery->mode == PHRONY_DELIVERY_MODE_REPLAY
               && delivery->action == PHRONY_DELIVERY_ACTION_PROXY
               && delivery->duplicate == PHRONY_DUPLICATE_DONE);
}


ngx_uint_t
ngx_phrony_delivery_wanted(ngx_phrony_delivery_t *delivery)
{
    if (delivery->mode == PHRONY_DELIVERY_MODE_OFF) {
        return 0;
    }

    return delivery->action == PHRONY_DELIVERY_ACTION_CLAIM
           || delivery->duplicate == PHRONY_DUPLICATE_UNKNOWN;
}
