-- Notes that a worker waits; answers 1, with nothing noted, if a ring has just been missed.
--
-- ARGV: what all keys begin with, the worker ("ID queue queue"), milliseconds, its queues
local P, worker, milliseconds = ARGV[1], ARGV[2], tonumber(ARGV[3])
for i = 4, #ARGV do
  local missed = P .. "missed:" .. ARGV[i]
  local left = tonumber(redis.call("GET", missed) or 0)
  if left > 0 then
    if left == 1 then redis.call("DEL", missed) else redis.call("DECR", missed) end
    return 1
  end
end
local time = redis.call("TIME")
local ends = time[1] * 1000 + math.floor(time[2] / 1000) + milliseconds
for i = 4, #ARGV do
  redis.call("ZADD", P .. "waiting:" .. ARGV[i], ends, worker)
  redis.call("PEXPIRE", P .. "waiting:" .. ARGV[i], milliseconds + 60000)
end
return 0
