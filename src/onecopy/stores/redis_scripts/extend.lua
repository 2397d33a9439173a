-- Lengthens the leases of all running attempts of some workers.
--
-- ARGV: what all keys begin with, until, workers...
local P, till = ARGV[1], ARGV[2]
for i = 3, #ARGV do
  for _, id in ipairs(redis.call("ZRANGE", P .. "worker:" .. ARGV[i], 0, -1)) do
    local record = P .. "job:" .. id
    if tonumber(redis.call("HGET", record, "u")) < tonumber(till) then
      redis.call("HSET", record, "u", till)
      redis.call("HINCRBY", record, "n", 1)
      redis.call("ZADD", P .. "leases", till, id)
    end
  end
end
return 1
