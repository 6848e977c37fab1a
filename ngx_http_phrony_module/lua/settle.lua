-- Tells what became of leases and runs of one trigger.
--
--     KEYS[1]   <prefix>:{<workspace>}:runs:<trigger>
--     ARGV      settlements, see parts/settle.lua
--
-- Answers 1, the version of this answer.

local call = redis.call
local runs = KEYS[1]

local time = call('TIME') -- clock
local micro = time[2] + 0
local now = time[1] * 1000 + (micro - micro % 1000) / 1000

local first, ttl = 1, 0
local added, doubt, wrong = false, false, false

-- include parts/settle.lua

if added and call('PTTL', runs) < ttl then
    call('PEXPIRE', runs, ttl + 3600000)
end

if wrong then
    return redis.error_reply('PHRONYARGUMENT not a settlement')
end

return 1
