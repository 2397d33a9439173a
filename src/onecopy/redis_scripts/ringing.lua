-- The line in which workers wait, and how they are woken; goes before a script that rings.

-- The line is of this moment: it goes neither to the disk nor to replicas, and no fsync waits for it.
local function unrecorded() redis.set_repl(redis.REPL_NONE) end

local function milliseconds()
  local time = redis.call("TIME")
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- A worker waits under all of its queues: "ID queue queue".
local function leave(P, worker)
  for queue in string.gmatch(worker, " (%S+)") do
    redis.call("ZREM", P .. "waiting:" .. queue, worker)
  end
end

-- Wakes a worker for each of so many jobs, who has waited longest first. What nobody waits for is
-- noted for a second, for workers that are about to: no more than 64 of a queue.
local function ring(P, queue, left)
  local waiting = P .. "waiting:" .. queue
  redis.call("ZREMRANGEBYSCORE", waiting, "-inf", milliseconds())
  while left > 0 do
    local worker = redis.call("ZRANGE", waiting, 0, 0)[1]
    if not worker then break end
    leave(P, worker)
    local id = string.match(worker, "^%S+")
    if redis.call("PUBLISH", P .. "wake:" .. id, "") > 0 then left = left - 1 end
  end
  if left > 0 then
    local missed = P .. "missed:" .. queue
    local before = tonumber(redis.call("GET", missed) or 0)
    redis.call("SET", missed, math.min(64, before + left), "PX", 1000)
  end
end
