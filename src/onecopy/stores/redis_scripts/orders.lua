-- Whose turn it is, of the jobs of a queue and ordering key; goes before a script that settles.
--
-- A job of an order notes where it stands while it is queued (`w`: due, above, lane). One that is
-- held (`h`) stands in no lane, so no claim sees it.

-- Takes a queued job out of its lane, or puts it there.
local function place(P, queue, id, held)
  local record = P .. "job:" .. id
  local number, where = unpack(redis.call("HMGET", record, "s", "w"))
  local due, above, lane = string.match(where, "^(%S+) (%S+) (%S+)$")
  local zset, lanes = P .. "lane:" .. queue .. ":" .. lane, P .. "lanes:" .. queue
  local member = string.format("%016.0f:", number) .. id
  if held then
    redis.call("HSET", record, "h", "1")
    redis.call("ZREM", zset, member)
    if redis.call("EXISTS", zset) == 0 then redis.call("ZREM", lanes, lane) end
  else
    redis.call("HDEL", record, "h")
    redis.call("ZADD", zset, due, member)
    redis.call("ZADD", lanes, above, lane)
  end
  redis.call("HINCRBY", record, "n", 1)
end

-- Holds all queued jobs of an order ("queue:key") but the one whose turn it is: while one runs, it
-- is his; then it is the first's.
local function settle(P, order)
  local queue = string.match(order, "^[^:]*")
  local set = P .. "order:" .. order
  local turn = redis.call("HGET", P .. "turns", order)
  if turn and redis.call("ZSCORE", P .. "status:running", turn) then return end
  local first = redis.call("ZRANGE", set, 0, 0)[1]
  if turn and turn ~= first and redis.call("ZSCORE", set, turn)
    and redis.call("HEXISTS", P .. "job:" .. turn, "h") == 0 then
    place(P, queue, turn, true)
  end
  if not first then
    redis.call("HDEL", P .. "turns", order)
    return
  end
  redis.call("HSET", P .. "turns", order, first)
  if redis.call("HEXISTS", P .. "job:" .. first, "h") == 1 then place(P, queue, first, false) end
end
