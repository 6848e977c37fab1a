-- Applies the settlements ARGV[first] and following to the trigger's runs.
-- Sets "added" if the key needs a TTL: of "ttl" at least, which becomes the
-- longest that was given to a run.  Sets "doubt" if the key may have been made
-- just now, and so has none.  Sets "wrong", and looks no further, if something
-- is no settlement.
--
-- A settlement is 88 characters, each part of a fixed width:
--
--     event   1  B bind, E end, S seen, R release, A abandon, H hold, F found,
--                G found, and gone
--     lease  36  UUID in lower case, or 36 "-" for none
--     run    36  likewise
--     ttl    15  ms, with zeros in front
--
--     B   the lease becomes the run, which holds a slot, unless it is known
--         to have ended
--     E   the run has ended, known or not; its lease is released
--     S   a run that is known lives longer; nothing, if it is not known
--     R   the lease is released
--     A   the lease is released, should it have been taken, and not granted
--         any more, should it not
--     H   a slot was taken by the run, or the lease if there is none, while
--         Redis was away; as in B
--     F   a run was found that nobody may have told of: if that is so, and the
--         lease holds a slot, the lease becomes the run; or else nothing
--     G   likewise, and the run has ended
--
-- Of whom the run is that was found nobody knew: whose lease it took may still
-- go on. So its mark stays next to it, as if it were a run that has ended, and
-- a lease that is named together with it later stands in for the other one.
--
-- What is added comes before what it replaces is removed: a set that becomes
-- empty is gone, and its TTL with it.

local none = '------------------------------------'

for i = first, #ARGV do
    if #ARGV[i] ~= 88 then
        wrong = true
        break
    end

    local event, lease, run, life = struct.unpack('c1c36c36c15', ARGV[i])

    if event == 'R' then
        call('ZREM', runs, lease)

    else
        life = life + 0

        local expires = ('%d'):format(now + life)
        local new = 0

        if event == 'A' or event == 'H' and run == none then
            run, lease = lease, none
        end

        if event == 'B' or event == 'H' then
            new = call('ZADD', runs, 'NX', expires, run)

            if new == 0 then

                -- known: if it has ended it stays so

                if call('ZSCORE', runs, run) + 0 < -now then
                    expires = '-' .. expires
                end

                call('ZADD', runs, expires, run)
            end

        elseif event == 'E' or event == 'A' then
            new = call('ZADD', runs, '-' .. expires, run)

        elseif event == 'S' then
            local score = (call('ZSCORE', runs, run) or 0) + 0

            if score > now then
                call('ZADD', runs, expires, run)

            elseif score < -now then
                call('ZADD', runs, '-' .. expires, run)
            end

        elseif event == 'F' or event == 'G' then
            local held = (call('ZSCORE', runs, lease) or 0) + 0
            local score = (call('ZSCORE', runs, run) or 0) + 0

            if held > now and score <= now and score >= -now then
                call('ZADD', runs, '-' .. expires, 'found:' .. run)

                expires = (event == 'G' and '-' or '') .. expires
                call('ZADD', runs, expires, run)
                new = 1

            else
                lease = none
            end

        else
            wrong = true
            break
        end

        if lease ~= none
           and (new == 1 or not call('ZSCORE', runs, 'found:' .. run))
           and call('ZREM', runs, lease) == 1
        then
            new = 0
        end

        if new == 1 then
            doubt = true
        end

        added = true
        ttl = math.max(ttl, life)
    end
end
