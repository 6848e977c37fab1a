-- Names leases of a trigger that were not seen for a while, so that the
-- upstream can be asked what became of their runs.  Nobody else is told of
-- any within the interval.
--
--     KEYS[1]   <prefix>:{<workspace>}:runs:<trigger>
--     KEYS[2]   <prefix>:{<workspace>}:asked:<trigger>
--     ARGV[1]   ttl of a run's lease, ms
--     ARGV[2]   ttl of a reservation, ms
--     ARGV[3]   for how long one of them was not seen, ms
--     ARGV[4]   the interval, ms
--
-- Answers 1, the version of this answer; and for each lease its id, as a
-- string, and for how many ms it was not seen: 32 runs and 4 reservations at
-- most, the longest unseen first.  A reservation's id is known by the digit
-- where the version of a UUID stands: it is "f".
--
-- The first key is described in admit.lua.  The second is a string: the time
-- in ms, of 15 digits, and the id at which the next answer begins to look: the
-- fifth run, since four are asked for, so that those of which the upstream
-- says nothing do not hide others.

local call = redis.call
local runs, asked = unpack(KEYS)
local life, reserved, quiet, interval = unpack(ARGV)

life, reserved, quiet, interval = life + 0, reserved + 0, quiet + 0,
                                  interval + 0

local time = call('TIME') -- clock
local micro = time[2] + 0
local now = time[1] * 1000 + (micro - micro % 1000) / 1000

local last = call('GET', asked) or ''
local at = tonumber(last:sub(1, 15)) or 0

if now >= at and now - at < interval then
    return {1}
end

-- by rank: what holds a slot, and may not have been seen for so long

local from = call('ZCOUNT', runs, '-inf', ('%d'):format(now))
local to = call('ZCOUNT', runs, '-inf',
                ('%d'):format(now + math.max(life, reserved) - quiet))

local start = from

if #last > 15 then
    start = call('ZRANK', runs, last:sub(16)) or from

    if start < from or start >= to then
        start = from
    end
end

local answer = {1}
local nruns, nleases, next = 0, 0, nil

-- looks at these ranks

local function look(first, past)
    if first >= past then
        return
    end

    local found = call('ZRANGE', runs, ('%d'):format(first),
                       ('%d'):format(past - 1), 'WITHSCORES')

    for i = 1, #found, 2 do
        local id, expires = found[i], found[i + 1] + 0
        local unseen = now + life - expires
        local few = nruns < 32

        if id:sub(15, 15) == 'f' then
            unseen = now + reserved - expires
            few = nleases < 4
        end

        if few and unseen >= quiet then
            answer[#answer + 1] = id
            answer[#answer + 1] = unseen

            if id:sub(15, 15) == 'f' then
                nleases = nleases + 1

            else
                nruns = nruns + 1

                if nruns == 5 then
                    next = id
                end
            end
        end
    end
end

-- at all, but no more than 256 of them

local past = math.min(to, start + 256)

look(start, past)

if past == to then
    past = math.min(start, from + 256 - (to - start))
    look(from, past)
end

if not next and past ~= to and past ~= start then
    next = call('ZRANGE', runs, ('%d'):format(past), ('%d'):format(past))[1]
end

call('SET', asked, ('%015d'):format(now) .. (next or ''), 'PX', '60000')

return answer
