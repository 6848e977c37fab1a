-- What wrk sends.  The arguments behind "--" are a file of Lua with the
-- request in parts (written by lib/Cases.pm), the number of keys, and the
-- seed: the same seed gives the same keys in the same order.  Two more are the
-- least and the most milliseconds that a connection waits after an answer.

local request_of, keys, least, most, drawn
local seed, sent = 0, 0

function init(args)
    request_of = dofile(args[1])
    keys = tonumber(args[2])
    seed = args[3]
    math.randomseed(tonumber(seed))

    if request_of.id then
        request = deliver
    end

    -- wrk asks for no delay, not even of 0, if there is no such function

    if args[4] then
        least, most = tonumber(args[4]), tonumber(args[5])
        drawn = tonumber(args[3])
        delay = pause
    end
end


-- numbers of its own: the order of the keys must not depend on when the
-- answers come

function pause()
    drawn = (drawn * 75 + 74) % 65537

    return least + drawn % (most - least + 1)
end


-- key N has the scope of trigger N mod 10

function request()
    local n = math.random(0, keys - 1)

    return request_of.head[n % #request_of.head + 1] .. n .. request_of.tail
end


-- with a delivery id: one for each request, or the key's own for all of its

function deliver()
    local n = math.random(0, keys - 1)
    local id = 'key-' .. n

    if request_of.id == 'each' then
        sent = sent + 1
        id = seed .. '-' .. sent
    end

    return request_of.head[n % #request_of.head + 1] .. n
        .. '\r\nIdempotency-Key: ' .. id .. request_of.tail
end


function done(summary, latency, requests)
    local errors = summary.errors

    io.write(string.format(
        "\nresult requests=%d us=%d p50=%d p99=%d refused=%d broken=%d\n",
        summary.requests, summary.duration, latency:percentile(50),
        latency:percentile(99), errors.status,
        errors.connect + errors.read + errors.write + errors.timeout))
end
