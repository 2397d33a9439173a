-- Notes that a worker waits. Answers 0; or, with nothing noted, 1: a ring has just been missed; or
-- 2: nobody listens to the worker's channel on this server, so no ring would reach it.
--
-- ARGV: what all keys begin with, the worker ("ID queue queue"), for how many milliseconds, queues
unrecorded()
local P, worker, long = ARGV[1], ARGV[2], tonumber(ARGV[3])
for i = 4, #ARGV do
  local missed = P .. "missed:" .. ARGV[i]
  local left = tonumber(redis.call("GET", missed) or 0)
  if left > 0 then
    if left == 1 then redis.call("DEL", missed) else redis.call("DECR", missed) end
    return 1
  end
end
local channel = P .. "wake:" .. string.match(worker, "^%S+")
if redis.call("PUBSUB", "NUMSUB", channel)[2] == 0 then return 2 end
local ends = milliseconds() + long
for i = 4, #ARGV do
  redis.call("ZADD", P .. "waiting:" .. ARGV[i], ends, worker)
  redis.call("PEXPIRE", P .. "waiting:" .. ARGV[i], long + 60000)
end
return 0
