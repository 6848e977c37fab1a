-- Rolling windows in a string: phrony_window.h, in Redis.  A ring of "places"
-- counters of 4 bytes stands at byte "at" of the key, bucket b at place
-- b % places.  The count of the newest bucket is not in it yet, but in the
-- header, with the bucket's number, the sum, and the number of the oldest
-- bucket that is not empty.

-- The ring's counters from the oldest bucket to the newest, or nil.

local function line_of(at, places, bucket)
    local ring = call('GETRANGE', window, at, at + places * 4 - 1)

    if #ring ~= places * 4 then
        return nil
    end

    local cut = (bucket + 1) % places * 4

    return ring:sub(cut + 1) .. ring:sub(1, cut)
end


-- Moves a window on from "bucket" to "to": returns sum, oldest, newest; or
-- nil if the key is not what it should be.  A clock that was set back takes
-- the counts with it: they leave no earlier than they would have, and a
-- bucket's width later at most.

local function advance(at, places, bucket, to, sum, oldest, newest)
    if sum == 0 then
        return 0, to, 0
    end

    local shift = to - bucket

    if shift >= places then
        call('SETRANGE', window, at, ('\0'):rep(places * 4))
        return 0, to, 0
    end

    if shift > 0 and oldest > to - places then

        -- nothing leaves

        if newest > 0 then
            call('SETRANGE', window, at + bucket % places * 4,
                 struct.pack('<I4', newest))
        end

        return sum, oldest, 0
    end

    local line = line_of(at, places, bucket)

    if not line then
        return nil
    end

    if shift > 0 then
        line = line:sub(1, -5) .. struct.pack('<I4', newest)

        -- buckets are found by their bytes that are not zero

        local byte = line:find('[^%z]')

        oldest = to
        newest = 0

        while byte do
            local index = (byte - 1 - (byte - 1) % 4) / 4

            if index >= shift then
                oldest = bucket - places + 1 + index
                break
            end

            sum = sum - struct.unpack('<I4', line, index * 4 + 1)
            byte = line:find('[^%z]', index * 4 + 5)
        end

        line = line:sub(shift * 4 + 1) .. ('\0'):rep(shift * 4)

    else
        oldest = oldest + shift
    end

    local cut = (to + 1) % places * 4

    call('SETRANGE', window, at, line:sub(places * 4 - cut + 1)
                                 .. line:sub(1, places * 4 - cut))

    return sum, oldest, newest
end
