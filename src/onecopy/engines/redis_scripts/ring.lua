-- Wakes waiting workers, one for each job, who has waited longest first. What nobody waits for is
-- noted for a second, for workers that are about to: no more than `MOST` of a queue.
--
-- ARGV: what all keys begin with, then for each queue its name and a number of jobs
local MOST = 64
local P = ARGV[1]
local time = redis.call("TIME")
local now = time[1] * 1000 + math.floor(time[2] / 1000)

-- A worker waits under all of its queues: "ID queue queue".
local function forget(worker)
  for queue in string.gmatch(worker, " (%S+)") do
    redis.call("ZREM", P .. "waiting:" .. queue, worker)
  end
end

for i = 2, #ARGV, 2 do
  local queue, left = ARGV[i], tonumber(ARGV[i + 1])
  local waiting = P .. "waiting:" .. queue
  redis.call("ZREMRANGEBYSCORE", waiting, "-inf", now)
  while left > 0 do
    local worker = redis.call("ZRANGE", waiting, 0, 0)[1]
    if not worker then break end
    forget(worker)
    local id = string.match(worker, "^%S+")
    if redis.call("PUBLISH", P .. "wake:" .. id, "") > 0 then left = left - 1 end
  end
  if left > 0 then
    local missed = P .. "missed:" .. queue
    local before = tonumber(redis.call("GET", missed) or 0)
    redis.call("SET", missed, math.min(MOST, before + left), "PX", 1000)
  end
end
return 1
