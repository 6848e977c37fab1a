-- Decides on the delivery of a start, as phrony_delivery_decide() does.  Sets
-- "seen" to the state, 0 new, 1 in progress, 2 done, 3 unknown, and 4 more if
-- it was seen with another fingerprint; "blocked" if the start is not to be
-- proxied, whatever its limits; "stored" to the answer that is to be sent
-- again; "taken" to the key's value if the start, once granted, is to claim
-- it, and "kept" to its TTL.

-- include parts/claim.lua

local mode, doubt, life, body = struct.unpack('c1c1c15c32', claim)

seen = 0

if state ~= 'N' then
    seen = state == 'P' and 1 or state == 'D' and 2 or 3

    if known ~= body then
        seen = seen + 4
    end
end

if mode ~= 'A' then

    if seen == 2 then
        stored = call('GETRANGE', delivery, '90', '-1')

        if stored == '' then
            stored = nil
        end
    end

    blocked = seen > 3 or seen == 1 or stored
end

if not blocked and mode ~= 'L' and (seen == 0 or seen == 3) then

    if seen == 3 then
        doubt = '1'
    end

    taken = 'PHD\1P' .. doubt .. 'A' .. ('%015d'):format(now + reserved)
            .. lease_id .. body
    kept = life + 0 < reserved and ('%d'):format(reserved)
           or ('%d'):format(life)
end
