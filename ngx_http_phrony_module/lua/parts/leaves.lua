-- The bucket with which the oldest "excess" counts have left; or nil.

local function leaves(at, places, bucket, excess)
    local ring = call('GETRANGE', window, at, at + places * 4 - 1)

    if #ring ~= places * 4 then
        return nil
    end

    for b = bucket - places + 1, bucket - 1 do
        excess = excess - struct.unpack('<I4', ring, b % places * 4 + 1)

        if excess <= 0 then
            return b
        end
    end

    return bucket
end
