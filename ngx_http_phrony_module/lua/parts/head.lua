-- Reads into "head" the head of a delivery's key, which is described in
-- parts/claim.lua; empty if there is no key.  A key that is something else
-- ends the script.

head = call('GETRANGE', delivery, '0', '89')

if head ~= '' and (#head ~= 90 or not head:find('^PHD\1[PDU]')) then
    return redis.error_reply('PHRONYLAYOUT unknown layout of a delivery')
end
