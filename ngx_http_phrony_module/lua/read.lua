-- Decides on a read: one window of a minute.
--
--     KEYS[1]   <prefix>:{<workspace>}:reads:<trigger>
--     ARGV[1]   limit; -1 is none
--
-- Answers with integers: 1 (the version of this answer), granted, sum, reset,
-- wait, as admit.lua does.
--
-- The key is a string of numbers of 4 bytes: "PHR" and the layout's version;
-- newest bucket, sum, oldest bucket, newest's count; until when, in s, the
-- key lives; and the ring.

local call = redis.call
local window = KEYS[1]

local time = call('TIME') -- clock
local second, micro = time[1] + 0, time[2] + 0
local now = second * 1000 + (micro - micro % 1000) / 1000

local head = call('GETRANGE', window, '0', '23')
local fresh = head == ''
local changed = false

local layout, bucket, sum, oldest, newest, lives

if fresh then
    bucket, sum, oldest, newest, lives = second, 0, second, 0, 0

else
    if #head == 24 then
        layout, bucket, sum, oldest, newest, lives
            = struct.unpack('<I4I4I4I4I4I4', head)
    end

    if layout ~= 0x01524850 then
        return redis.error_reply('PHRONYLAYOUT unknown layout of reads')
    end
end

if bucket ~= second then

    -- include parts/window.lua

    sum, oldest, newest = advance(24, 61, bucket, second, sum, oldest, newest)
    bucket = second

    if not sum then
        return redis.error_reply('PHRONYLAYOUT a window was cut')
    end

    -- extends the TTL each few minutes; a clock that was set back as well

    if second + 120 > lives or second + 600 < lives then
        lives = second + 600
        call('PEXPIRE', window, '600000')
    end

    changed = true
end

local limit = ARGV[1] + 0
local granted = 0

if limit < 0 or sum < limit then
    granted = 1
    changed = true

    if sum == 0 then
        oldest = bucket
    end

    if sum < 4294967295 then
        sum = sum + 1
        newest = newest + 1
    end
end

if changed then
    if fresh then
        call('SET', window,
             struct.pack('<I4I4I4I4I4I4', 0x01524850, bucket, sum, oldest,
                         newest, second + 600) .. ('\0'):rep(244),
             'PX', '600000')
    else
        call('SETRANGE', window, '0',
             struct.pack('<I4I4I4I4I4I4', 0x01524850, bucket, sum, oldest,
                         newest, lives))
    end
end

if limit > 0 and sum > limit then

    -- the limit was lowered: more than the oldest bucket is to leave

    -- include parts/leaves.lua

    oldest = leaves(24, 61, bucket, sum - limit + 1)

    if not oldest then
        return redis.error_reply('PHRONYLAYOUT a window was cut')
    end
end

local reset, wait = -1, 0

if limit == 0 then
    wait = -1

elseif sum > 0 then
    reset = (oldest + 61) * 1000 - now

    if limit > 0 and sum >= limit then
        wait = reset
    end
end

return {1, granted, sum, reset, wait}
