-- Decides on a start: both windows and a slot, or nothing.
--
--     KEYS[1]   <prefix>:{<workspace>}:window:<trigger>
--     KEYS[2]   <prefix>:{<workspace>}:runs:<trigger>
--     KEYS[3]   <prefix>:{<workspace>}:delivery:<trigger>:<digest>, if the
--               start has a delivery id
--     ARGV[1]   rpm limit; -1 is none, here and below
--     ARGV[2]   rpd limit
--     ARGV[3]   runs limit
--     ARGV[4]   ttl of the lease, ms
--     ARGV[5]   id of the lease
--     ARGV[6]   with KEYS[3]: 49 bytes, each part of a fixed width:
--
--         mode          1  R replay, A annotate; L: as R, but claim nothing
--         doubtful      1  1 if the gateway knows it as of unknown outcome
--         ttl          15  ms, of what becomes of it
--         fingerprint  32
--
--     ARGV[6]   or 7, and following: settlements of the same trigger, which
--               are applied first, see parts/settle.lua
--
-- Answers with integers:
--
--     1         version of this answer
--     granted   1, or 0, or 2: not, since the lease was given up already; 3:
--               not, whatever the limits are, since the delivery is a
--               duplicate
--     sum       starts in the minute, with this one
--     reset     ms until the first of them leaves; -1: none is to leave
--     wait      ms until one more is within the limit; -1: never
--     sum, reset, wait of the day
--     held      slots, with this one
--     seen      with KEYS[3]: what its delivery was, see parts/delivery.lua
--
-- and behind them, as a string, the answer that is to be sent again, if there
-- is one.  A start that is granted claims a delivery that is new, or of which
-- the outcome is unknown; the key is described in parts/claim.lua.
--
-- The window key is a string:
--
--     0    4  "PHW" and the layout's version
--     4    8  the minute's newest bucket, and its oldest that is not empty
--     12   8  the day's, likewise
--     20   4  until when, in s, the runs key surely lives
--     24   8  the minute's sum, and the count of its newest bucket
--     32   8  the day's, likewise
--     40      the minute's ring, 61 places; the day's, 97
--
-- all of them numbers of 4 bytes; most often the last 16 bytes before the
-- rings are all that changes.  The runs key is a sorted set: of a lease
-- or run that holds a slot the score is the time at which it expires, in ms;
-- of one that has ended, or was given up, the same below zero.  It is known
-- until then, so that an answer that comes late does not revive it.  Marks of
-- runs that were found are below zero, too: "found:" and the id of the run.

local call = redis.call
local window, runs, delivery = unpack(KEYS)
local rpm, rpd, slots, reserved, lease_id, ride, behind = unpack(ARGV)

rpm, rpd, slots, reserved = rpm + 0, rpd + 0, slots + 0, reserved + 0

local time = call('TIME') -- clock
local second, micro = time[1] + 0, time[2] + 0
local now = second * 1000 + (micro - micro % 1000) / 1000
local day = (second - second % 900) / 900

local head = call('GETRANGE', window, '0', '39')

local layout, m_bucket, m_oldest, d_bucket, d_oldest, lives,
      m_sum, m_newest, d_sum, d_newest

-- how much of it is to be written: its last 16 bytes, all, or the whole key

local counted, moved, fresh = false, false, false

if #head == 40 then
    layout, m_bucket, m_oldest, d_bucket, d_oldest, lives,
    m_sum, m_newest, d_sum, d_newest
        = struct.unpack('<I4I4I4I4I4I4I4I4I4I4', head)

elseif head == '' then
    layout, m_bucket, m_oldest, d_bucket, d_oldest, lives,
    m_sum, m_newest, d_sum, d_newest
        = 0x01574850, second, second, day, day, 0, 0, 0, 0, 0
    fresh = true
end

if layout ~= 0x01574850 then
    return redis.error_reply('PHRONYLAYOUT unknown layout of a window')
end

local claim
local first = 6

if delivery then
    claim, ride, first = ride, behind, 7

    if not claim or #claim ~= 49 then
        return redis.error_reply('PHRONYARGUMENT not a delivery')
    end

    -- include parts/head.lua
end

local ttl = reserved
local added, doubt, wrong = false, false, false

if ride then
    -- include parts/settle.lua
end

if wrong then

    if added and call('PTTL', runs) < ttl then
        call('PEXPIRE', runs, ttl + 3600000)
    end

    return redis.error_reply('PHRONYARGUMENT not a settlement')
end

local seen, blocked, stored, taken, kept

if delivery then
    -- include parts/delivery.lua
end

local held = call('ZCOUNT', runs, ('%d'):format(now + 1), '+inf')

if m_bucket ~= second or d_bucket ~= day then

    -- include parts/window.lua

    if m_bucket ~= second then
        m_sum, m_oldest, m_newest = advance(40, 61, m_bucket, second, m_sum,
                                            m_oldest, m_newest)
        m_bucket = second
    end

    if d_bucket ~= day then
        d_sum, d_oldest, d_newest = advance(284, 97, d_bucket, day, d_sum,
                                            d_oldest, d_newest)
        d_bucket = day

        -- 98 buckets: what is counted in this one leaves before

        call('PEXPIRE', window, '88200000')
    end

    if not m_sum or not d_sum then
        return redis.error_reply('PHRONYLAYOUT a window was cut')
    end

    moved = true
end

local granted = 0

if blocked then
    granted = 3

elseif (rpm < 0 or m_sum < rpm)
   and (rpd < 0 or d_sum < rpd)
   and (slots < 0 or held < slots)
then
    granted = 2

    if call('ZADD', runs, 'NX', ('%d'):format(now + reserved), lease_id) == 1
    then
        granted = 1
        counted = true

        if taken then
            call('SET', delivery, taken, 'PX', kept)
        end

        added = true

        if held == 0 then
            doubt = true
        end

        if d_newest % 64 == 0 then

            -- now and then: forget what has expired, some of it at a time

            doubt = true

            local from, to = ('-%d'):format(now), ('%d'):format(now)
            local expired = call('ZCOUNT', runs, from, to)

            if expired > 0 then
                local rank = call('ZCOUNT', runs, '-inf', '(' .. from)

                call('ZREMRANGEBYRANK', runs, rank,
                     rank + math.min(expired, 1000) - 1)
            end
        end

        held = held + 1

        if m_sum == 0 then
            m_oldest = m_bucket
        end

        if d_sum == 0 then
            d_oldest = d_bucket
        end

        if m_sum < 4294967295 then
            m_sum = m_sum + 1
            m_newest = m_newest + 1
        end

        if d_sum < 4294967295 then
            d_sum = d_sum + 1
            d_newest = d_newest + 1
        end
    end
end

if added and (doubt or now + ttl > lives * 1000) then
    local left = call('PTTL', runs)

    if left < ttl then
        left = ttl + 3600000
        call('PEXPIRE', runs, left)
    end

    lives = math.min((now + left - (now + left) % 1000) / 1000, 4294967295)
    moved = true
end

if counted and fresh then
    call('SET', window,
         struct.pack('<I4I4I4I4I4I4I4I4I4I4', 0x01574850,
                     m_bucket, m_oldest, d_bucket, d_oldest, lives,
                     m_sum, m_newest, d_sum, d_newest) .. ('\0'):rep(632),
         'PX', '88200000')

elseif moved and not fresh then
    call('SETRANGE', window, '0',
         struct.pack('<I4I4I4I4I4I4I4I4I4I4', 0x01574850,
                     m_bucket, m_oldest, d_bucket, d_oldest, lives,
                     m_sum, m_newest, d_sum, d_newest))

elseif counted then
    call('SETRANGE', window, '24',
         struct.pack('<I4I4I4I4', m_sum, m_newest, d_sum, d_newest))
end

if rpm > 0 and m_sum > rpm or rpd > 0 and d_sum > rpd then

    -- a limit was lowered: more than the oldest bucket is to leave

    -- include parts/leaves.lua

    if rpm > 0 and m_sum > rpm then
        m_oldest = leaves(40, 61, m_bucket, m_sum - rpm + 1)
    end

    if rpd > 0 and d_sum > rpd then
        d_oldest = leaves(284, 97, d_bucket, d_sum - rpd + 1)
    end

    if not m_oldest or not d_oldest then
        return redis.error_reply('PHRONYLAYOUT a window was cut')
    end
end

local m_reset, m_wait, d_reset, d_wait = -1, 0, -1, 0

if rpm == 0 then
    m_wait = -1

elseif m_sum > 0 then
    m_reset = (m_oldest + 61) * 1000 - now

    if rpm > 0 and m_sum >= rpm then
        m_wait = m_reset
    end
end

if rpd == 0 then
    d_wait = -1

elseif d_sum > 0 then
    d_reset = (d_oldest + 97) * 900000 - now

    if rpd > 0 and d_sum >= rpd then
        d_wait = d_reset
    end
end

return {1, granted, m_sum, m_reset, m_wait, d_sum, d_reset, d_wait, held,
        seen, stored}
