-- Records jobs, all or none. Answers for each 1, or the record of the job that is there already;
-- or, with nothing done, {"conflict", id} or {"full", queue}. Rings for those that are due.
--
-- ARGV[1]: what all keys begin with. ARGV[2]: MessagePack of {jobs, bound, soon}:
--   jobs    {id, key, fingerprint, job, arguments, event, queue, lane, above, due, expires, figure,
--           order}
--   bound   the most that may be queued, or false
--   soon    what is due until then is rung for
-- ARGV[3]: the form of the keys that the caller knows; in a newer one nothing is accepted
local P = ARGV[1]
local form = redis.call("GET", P .. "format")
if form and tonumber(form) > tonumber(ARGV[3]) then return redis.error_reply("NEWER " .. form) end
local jobs, bound, soon = unpack(cmsgpack.unpack(ARGV[2]))
local by_id, by_key, new, answer, added = {}, {}, {}, {}, {}
for i, job in ipairs(jobs) do
  local id, key, fingerprint, queue = job[1], job[2], job[3], job[7]
  local first = nil
  if by_id[id] or redis.call("EXISTS", P .. "job:" .. id) == 1 then
    first = id
  elseif key then
    first = by_key[key] or redis.call("HGET", P .. "keys", key) or nil
  end
  if not first then
    by_id[id] = job
    if key then by_key[key] = id end
    new[#new + 1] = job
    added[queue] = (added[queue] or 0) + 1
    first = id
  else
    local known = by_id[first]
    local its = false
    if known then its = known[3] else its = redis.call("HGET", P .. "job:" .. first, "f") end
    if its ~= fingerprint then return {"conflict", first} end
  end
  answer[i] = first
end
if bound then
  for queue, count in pairs(added) do
    local queued = tonumber(redis.call("HGET", P .. "queued", queue) or 0)
    if queued + count > bound then return {"full", queue} end
  end
end
if #new > 0 then
  local seq = redis.call("INCRBY", P .. "seq", #new) - #new
  local figures, orders = {}, {}
  for i, job in ipairs(new) do
    local id, key, fingerprint, packed, arguments, event = unpack(job, 1, 6)
    local queue, lane, above, due, expires, figure, order = unpack(job, 7, 13)
    local record = P .. "job:" .. id
    local number = string.format("%.0f", seq + i)
    redis.call("HSET", record, "j", packed, "n", "0", "s", number)
    if fingerprint then redis.call("HSET", record, "f", fingerprint) end
    if arguments then redis.call("HSET", record, "a", arguments) end
    if key then redis.call("HSET", P .. "keys", key, id) end
    redis.call("RPUSH", P .. "events:" .. id, event)
    redis.call("ZADD", P .. "status:queued", number, id)
    if order then
      redis.call("HSET", record, "h", "1", "w", due .. " " .. above .. " " .. lane)
      redis.call("ZADD", P .. "order:" .. order, number, id)
      orders[order] = true
    else
      local zset = P .. "lane:" .. queue .. ":" .. lane
      redis.call("ZADD", zset, due, string.format("%016.0f:", seq + i) .. id)
      redis.call("ZADD", P .. "lanes:" .. queue, above, lane)
    end
    if expires then redis.call("ZADD", P .. "expiry", expires, id) end
    figures[figure] = (figures[figure] or 0) + 1
  end
  for order in pairs(orders) do settle(P, order) end
  for figure, count in pairs(figures) do redis.call("HINCRBY", P .. "figures", figure, count) end
  for queue, count in pairs(added) do redis.call("HINCRBY", P .. "queued", queue, count) end
end
local rings = {}
for _, job in ipairs(new) do
  local held = job[13] and redis.call("HEXISTS", P .. "job:" .. job[1], "h") == 1
  if tonumber(job[10]) <= soon and not held then rings[job[7]] = (rings[job[7]] or 0) + 1 end
end
for i, job in ipairs(jobs) do
  local first = answer[i]
  if by_id[first] then
    answer[i] = first == job[1] and 1 or {first}
  else
    answer[i] = redis.call("HMGET", P .. "job:" .. first, "j", "n", "s", "c", "u", "h", "a", "r")
  end
end
unrecorded()
for queue, count in pairs(rings) do ring(P, queue, count) end
return answer
