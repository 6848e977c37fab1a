
/*
 * Copyright (C) the ngx_http_phrony_module authors
 */


#include "phrony_reason.h"


#define phrony_reason(status, code, title, detail)                            \
    { status, phrony_str(code), phrony_str(title), phrony_str(detail) }


/* The texts go into JSON as they are: plain ASCII, no quotes or escapes. */

static const phrony_reason_info_t  phrony_reasons[PHRONY_REASON_MAX] = {

    [PHRONY_REASON_NONE] = phrony_reason(0, "", "", ""),

    [PHRONY_REASON_PATH_NOT_CANONICAL] = phrony_reason(400,
        "path_not_canonical",
        "Path is not canonical",
        "Send the path as the API documents it, with ids as UUIDs and "
        "without percent-encoding, empty or dot segments, or a trailing "
        "slash."),

    [PHRONY_REASON_METHOD_OVERRIDE] = phrony_reason(400,
        "method_override",
        "Method override is not accepted",
        "Send the intended method in the request itself, without an "
        "X-HTTP-Method-Override, X-HTTP-Method or X-Method-Override field."),

    [PHRONY_REASON_ROUTE_UNKNOWN] = phrony_reason(404,
        "route_unknown",
        "Route is unknown",
        "Check the path against the routes that the API documents."),

    [PHRONY_REASON_METHOD_NOT_ALLOWED] = phrony_reason(405,
        "method_not_allowed",
        "Method is not allowed",
        "Use one of the methods in the Allow field of this answer."),

    [PHRONY_REASON_KEY_MISSING] = phrony_reason(401,
        "key_missing",
        "API key is missing",
        "Send the API key in an X-API-Key field."),

    [PHRONY_REASON_KEY_MALFORMED] = phrony_reason(401,
        "key_malformed",
        "API key is malformed",
        "Send the API key exactly as it was issued, beginning with phk_."),

    [PHRONY_REASON_KEY_REPEATED] = phrony_reason(400,
        "key_repeated",
        "API key is repeated",
        "Send exactly one X-API-Key field."),

    [PHRONY_REASON_KEY_INVALID] = phrony_reason(401,
        "key_invalid",
        "API key is not valid",
        "Use an API key that is active and has not expired."),

    [PHRONY_REASON_WORKSPACE_SUSPENDED] = phrony_reason(403,
        "workspace_suspended",
        "Workspace is suspended",
        "Ask the owner of the workspace to have it reactivated."),

    [PHRONY_REASON_AGENT_OUT_OF_SCOPE] = phrony_reason(403,
        "agent_out_of_scope",
        "Agent is out of scope",
        "Use an API key whose scopes include this agent."),

    [PHRONY_REASON_RUN_OUT_OF_SCOPE] = phrony_reason(403,
        "run_out_of_scope",
        "Run is out of scope",
        "Use an API key whose scopes include the agent and the trigger of "
        "this run."),

    [PHRONY_REASON_UPLOADS_NOT_ALLOWED] = phrony_reason(403,
        "uploads_not_allowed",
        "File uploads are not allowed",
        "Use an API key that allows file uploads."),

    [PHRONY_REASON_ADDRESS_NOT_ALLOWED] = phrony_reason(403,
        "address_not_allowed",
        "Client address is not allowed",
        "Call from an address that the API trigger allows."),

    [PHRONY_REASON_TRIGGER_INACTIVE] = phrony_reason(403,
        "trigger_inactive",
        "API trigger is inactive",
        "Activate the API trigger of this agent before starting runs."),

    [PHRONY_REASON_CONTENT_TYPE] = phrony_reason(415,
        "content_type",
        "Content type is not supported",
        "Send the body as application/json, without Content-Encoding."),

    [PHRONY_REASON_BODY_TOO_LARGE] = phrony_reason(413,
        "body_too_large",
        "Body is too large",
        "Send a smaller body."),

    [PHRONY_REASON_BODY_INVALID] = phrony_reason(400,
        "body_invalid",
        "Body is not valid",
        "Send one JSON object in UTF-8 without duplicate members, its "
        "member input, if present, an object too."),

    [PHRONY_REASON_INPUT_TOO_LARGE] = phrony_reason(413,
        "input_too_large",
        "Input is too large",
        "Shorten the input until it is within the token limit of the API "
        "trigger."),

    [PHRONY_REASON_DELIVERY_ID_INVALID] = phrony_reason(400,
        "delivery_id_invalid",
        "Delivery id is not valid",
        "Send one delivery id of 1 to 255 visible ASCII characters, bare or "
        "as a quoted string without parameters."),

    [PHRONY_REASON_DELIVERY_MISMATCH] = phrony_reason(422,
        "delivery_mismatch",
        "Delivery id was used with another body",
        "Repeat a delivery with the body that it had first, or give a new "
        "delivery an id of its own."),

    [PHRONY_REASON_DELIVERY_IN_PROGRESS] = phrony_reason(409,
        "delivery_in_progress",
        "Delivery is in progress",
        "Repeat the delivery, with the same id and body, after the time in "
        "the Retry-After field."),

    [PHRONY_REASON_RATE_LIMITED] = phrony_reason(429,
        "rate_limited",
        "Rate limit exceeded",
        "Try again after the time in the Retry-After field; without that "
        "field the limit admits nothing."),

    [PHRONY_REASON_CONCURRENCY_LIMITED] = phrony_reason(429,
        "concurrency_limited",
        "Too many unfinished runs",
        "Try again when a run of this API trigger has ended."),

    [PHRONY_REASON_STORE_UNAVAILABLE] = phrony_reason(503,
        "store_unavailable",
        "Request cannot be decided now",
        "Try again in a few seconds."),

    [PHRONY_REASON_POLICY_UNAVAILABLE] = phrony_reason(503,
        "policy_unavailable",
        "API key cannot be checked now",
        "Try again in a few seconds."),

    [PHRONY_REASON_POLICY_INVALID] = phrony_reason(503,
        "policy_invalid",
        "API key is not configured well",
        "Tell the operator of this service that the records of this API key "
        "are broken.")
};


const phrony_reason_info_t *
phrony_reason_info(phrony_reason_t reason)
{
    if ((unsigned) reason >= PHRONY_REASON_MAX) {
        return &phrony_reasons[PHRONY_REASON_NONE];
    }

    return &phrony_reasons[reason];
}
