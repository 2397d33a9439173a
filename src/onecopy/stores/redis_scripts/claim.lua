-- Claims the first due jobs. What a claim makes of a job is not known here: who and when is noted
-- beside it (`c`), and whoever reads the record applies that. Answers their records as they are now.
--
-- ARGV: what all keys begin with, now, until, worker; MessagePack of {queues, most, without, tokens}:
--   `without`: tasks, a map; a token for each job that is claimed; without tokens: they are shown
-- and the form of the keys that the caller knows; in a newer one nothing is claimed
local P, now, till, worker = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local queues, most, without, tokens = unpack(cmsgpack.unpack(ARGV[5]))
local form = redis.call("GET", P .. "format")
if tokens and form and tonumber(form) > tonumber(ARGV[6]) then
  return redis.error_reply("NEWER " .. form)
end
local time = tonumber(now)
local claimed = {}

-- The first due of a lane that have not expired, to `room` of them.
local function due_of(zset, lane, room, found)
  local offset = 0
  while room > 0 do
    local some = redis.call("ZRANGEBYSCORE", zset, "-inf", now, "WITHSCORES", "LIMIT", offset, room)
    for i = 1, #some, 2 do
      local expires = redis.call("ZSCORE", P .. "expiry", string.sub(some[i], 18))
      if not expires or tonumber(expires) > time then
        found[#found + 1] = {tonumber(some[i + 1]), some[i], lane, zset, expires}
        room = room - 1
      end
    end
    if #some == 0 then return end
    offset = offset + #some / 2
  end
end

local function earlier(a, b)
  if a[1] ~= b[1] then return a[1] < b[1] end
  return a[2] < b[2]
end

local function show(job)
  local record = P .. "job:" .. string.sub(job[2], 18)
  claimed[#claimed + 1] = redis.call("HMGET", record, "j", "n", "s", "c", "u", "h", "a", "r")
end

local function claim(queue, job)
  local member, lane, zset, expires = job[2], job[3], job[4], job[5]
  local id = string.sub(member, 18)
  local record = P .. "job:" .. id
  redis.call("ZREM", zset, member)
  if expires then redis.call("ZREM", P .. "expiry", id) end
  local note = tokens[#claimed + 1] .. " " .. now .. " " .. till .. " " .. worker
  redis.call("HSET", record, "c", note, "u", till)
  redis.call("HINCRBY", record, "n", 1)
  redis.call("ZREM", P .. "status:queued", id)
  redis.call("ZADD", P .. "status:running", redis.call("HGET", record, "s"), id)
  redis.call("ZADD", P .. "leases", till, id)
  redis.call("ZADD", P .. "worker:" .. worker, 0, id)
  local task = string.match(lane, "^-?%d+:(.*)$")
  local figure = queue .. ":" .. task .. ":"
  if redis.call("HINCRBY", P .. "figures", figure .. "0", -1) == 0 then
    redis.call("HDEL", P .. "figures", figure .. "0")
  end
  redis.call("HINCRBY", P .. "figures", figure .. "1", 1)
  if redis.call("HINCRBY", P .. "queued", queue, -1) == 0 then
    redis.call("HDEL", P .. "queued", queue)
  end
  show(job)
end

for _, queue in ipairs(queues) do
  local lanes = P .. "lanes:" .. queue
  local level = redis.call("ZRANGE", lanes, 0, 0, "WITHSCORES")[2]
  while level and #claimed < most do
    local found, used = {}, {}
    for _, lane in ipairs(redis.call("ZRANGEBYSCORE", lanes, level, level)) do
      if not without[string.match(lane, "^-?%d+:(.*)$")] then
        local zset = P .. "lane:" .. queue .. ":" .. lane
        due_of(zset, lane, most - #claimed, found)
      end
    end
    table.sort(found, earlier)
    for _, job in ipairs(found) do
      if #claimed == most then break end
      if tokens then claim(queue, job) else show(job) end
      used[job[3]] = job[4]
    end
    for lane, zset in pairs(used) do
      if redis.call("EXISTS", zset) == 0 then redis.call("ZREM", lanes, lane) end
    end
    level = redis.call("ZRANGEBYSCORE", lanes, "(" .. level, "+inf", "WITHSCORES", "LIMIT", 0, 1)[2]
  end
end
return claimed
