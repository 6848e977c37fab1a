-- Tells what became of a delivery that was claimed.
--
--     KEYS[1]   <prefix>:{<workspace>}:delivery:<trigger>:<digest>
--     KEYS[2]   <prefix>:{<workspace>}:runs:<trigger>
--     ARGV[1]   101 bytes, each part of a fixed width:
--
--         event         1  P, D, U, F, see below
--         doubtful      1  P: 1 if it was of unknown outcome before, else 0
--         by            1  as in the key, see parts/claim.lua
--         left         15  P: ms until which the owner may settle it
--         ttl          15  ms, of the key
--         owner        36  id of the lease
--         fingerprint  32
--
--     ARGV[2]   D: the stored answer, or empty
--
--     P   it was claimed while Redis was away, and is in progress
--     D   the start was accepted
--     U   it may have been
--     F   it was not: the delivery is what it was before the claim
--
-- Answers 1, or 2 if another owner's answer is the one that counts.  What is
-- no longer the owner's to tell changes nothing, and each can be told twice.

local call = redis.call
local delivery, runs = unpack(KEYS)
local tidings, answer = unpack(ARGV)

if #tidings ~= 101 or not tidings:find('^[PDUF]') then
    return redis.error_reply('PHRONYARGUMENT not a delivery')
end

local time = call('TIME') -- clock
local micro = time[2] + 0
local now = time[1] * 1000 + (micro - micro % 1000) / 1000

local head

-- include parts/head.lua

-- include parts/claim.lua

local event, before, teller, left, ttl, whose, body
    = struct.unpack('c1c1c1c15c15c36c32', tidings)

left, ttl = left + 0, ('%d'):format(math.max(ttl, 1))

if event == 'F' then

    if owner == whose and letter == 'P' then

        if doubtful == '0' then
            call('DEL', delivery)

        else
            call('SETRANGE', delivery, '4', 'U')
        end
    end

    return 1

elseif owner == whose then

    -- that it is in progress is known, and U becomes D at most

    if event == 'P' or letter == 'D' or letter == 'U' and event == 'U' then
        return 1
    end

elseif state == 'U' then

    -- somebody else's, which a start took over that was decided elsewhere

    if event == 'U' then
        return 1
    end

    before = '1'

elseif state ~= 'N' then
    return event == 'D' and letter == 'D' and 2 or 1
end

left = ('%015d'):format(event == 'P' and now + left or 0)

call('SET', delivery,
     'PHD\1' .. event .. before .. teller .. left .. whose .. body
     .. (event == 'D' and answer or ''),
     'PX', ttl)

return 1
