-- Takes the head of a delivery's key apart, 90 bytes:
--
--     0    4  "PHD" and the layout's version
--     4    1  state: P in progress, D done, U of unknown outcome
--     5    1  1 if it was U before it was claimed, else 0
--     6    1  who claimed it: A a start that was decided here, T one that was
--             decided elsewhere, of which Redis was told
--     7   15  P: ms of the clock until which the owner may settle it, with
--             zeros in front
--     22  36  owner: id of the lease
--     58  32  fingerprint
--     90      D: the stored answer, packed as by phrony_stored.h; maybe none
--
-- Sets "letter" to the state that stands there, N if there is no key; "state"
-- to the one that counts; and what else is in the head.  A claim that was not
-- settled in time counts as U.  One whose lease was given up is what it was
-- before: a start that nobody waits for any more may arrive late, and whoever
-- gives up its lease gives back its claim by that.

local letter, doubtful, by, till, owner, known = 'N', '0', 'A', 0, '', ''
local state = letter

if head ~= '' then
    letter, doubtful, by, till, owner, known
        = struct.unpack('c1c1c1c15c36c32', head, 5)
    state = letter

    if letter == 'P' then
        local score = by == 'A' and call('ZSCORE', runs, owner)

        if score and score + 0 < -now then
            state = doubtful == '1' and 'U' or 'N'

        elseif till + 0 <= now then
            state = 'U'
        end
    end
end
