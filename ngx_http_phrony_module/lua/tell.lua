-- Adds starts that were counted elsewhere, while Redis was away.
--
--     KEYS[1]   <prefix>:{<workspace>}:window:<trigger>
--     ARGV      three for each bucket: "m" for the minute or "d" for the
--               day; how many ms ago the bucket ended, 0 if it has not; how
--               many starts it counted
--
-- Answers 1, the version of this answer.  The key is described in admit.lua.

local call = redis.call
local window = KEYS[1]

local time = call('TIME') -- clock
local micro = time[2] + 0
local now = time[1] * 1000 + (micro - micro % 1000) / 1000

local value = call('GET', window)
local lives = 0

if not value then
    value = nil

elseif #value ~= 672 or struct.unpack('<I4', value) ~= 0x01574850 then
    return redis.error_reply('PHRONYLAYOUT unknown layout of a window')

else
    lives = struct.unpack('<I4', value, 21)
end

-- counts by bucket, taken out of the rings

local shapes = {
    m = {at = 40, places = 61, width = 1000, buckets = 5, sums = 25},
    d = {at = 284, places = 97, width = 900000, buckets = 13, sums = 33}
}

for name, shape in pairs(shapes) do
    local counts = {}

    shape.counts = counts
    shape.now = (now - now % shape.width) / shape.width

    if value then
        local bucket = struct.unpack('<I4', value, shape.buckets)
        local sum, newest = struct.unpack('<I4I4', value, shape.sums)

        -- a clock that was set back takes the counts with it

        local back = math.max(bucket - shape.now, 0)

        for b = bucket - shape.places + 1, bucket - 1 do
            counts[b - back] = struct.unpack('<I4', value, shape.at + 1
                                             + b % shape.places * 4)
        end

        counts[bucket - back] = newest
    end
end

for i = 1, #ARGV, 3 do
    local shape = shapes[ARGV[i]]

    if not shape then
        return redis.error_reply('PHRONYARGUMENT unknown window')
    end

    local at = now - ARGV[i + 1]
    local b = (at - at % shape.width) / shape.width

    shape.counts[b] = (shape.counts[b] or 0) + ARGV[i + 2]
end

-- and back into rings, as far as they have not left

for name, shape in pairs(shapes) do
    local sum, newest, oldest = 0, 0, nil
    local ring = {}

    for b = shape.now - shape.places + 1, shape.now do
        newest = math.min(shape.counts[b] or 0, 4294967295 - sum)
        sum = sum + newest

        if newest > 0 and not oldest then
            oldest = b
        end

        ring[b % shape.places + 1] = newest
    end

    shape.buckets = struct.pack('<I4I4', shape.now, oldest or shape.now)
    shape.sums = struct.pack('<I4I4', sum, newest)
    shape.ring = struct.pack('<' .. ('I4'):rep(shape.places), unpack(ring))
end

local m, d = shapes.m, shapes.d

call('SET', window,
     struct.pack('<I4', 0x01574850) .. m.buckets .. d.buckets
     .. struct.pack('<I4', lives) .. m.sums .. d.sums .. m.ring .. d.ring,
     'PX', '88200000')

return 1
