-- Answers 1, unless a newer onecopy has written the keys: then it refuses.
--
-- ARGV: what all keys begin with, the form that the caller knows
local form = redis.call("GET", ARGV[1] .. "format")
if form and tonumber(form) > tonumber(ARGV[2]) then return redis.error_reply("NEWER " .. form) end
return 1
