-- Answers when the first queued job of some queues is due, as a text; nothing if there is none.
--
-- ARGV: what all keys begin with; MessagePack of {queues, without, only}: tasks, maps; `only` may
--   be false
local P = ARGV[1]
local queues, without, only = unpack(cmsgpack.unpack(ARGV[2]))
local first = false
for _, queue in ipairs(queues) do
  for _, lane in ipairs(redis.call("ZRANGE", P .. "lanes:" .. queue, 0, -1)) do
    local task = string.match(lane, "^-?%d+:(.*)$")
    if not without[task] and (not only or only[task]) then
      local due = redis.call("ZRANGE", P .. "lane:" .. queue .. ":" .. lane, 0, 0, "WITHSCORES")[2]
      if due and (not first or tonumber(due) < tonumber(first)) then first = due end
    end
  end
end
return first
