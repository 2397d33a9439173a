-- Runs commands if all conditions hold; answers 1, or 0 with nothing done.
--
-- KEYS[1]: what all keys begin with. ARGV[1]: MessagePack of five lists:
--   conditions  {answer, command...}: what the command is to answer; false for nothing
--   steps       {command...}
--   counts      {hash, field, number}: to be added; a field that comes to 0 goes
--   heads       {zset, parent, member, score}: the member is in the parent while the zset has any;
--               with the score, or without one with that of the zset's first
--   orders      orders to settle, at the end

-- With its memory full, the server refuses a script whose first write adds something. This one adds
-- nothing: so outcomes can be recorded while no new job is accepted, until there is room again.
redis.call("DEL", KEYS[1])
local conditions, steps, counts, heads, orders = unpack(cmsgpack.unpack(ARGV[1]))
for _, condition in ipairs(conditions) do
  if redis.call(unpack(condition, 2)) ~= condition[1] then return 0 end
end
for _, step in ipairs(steps) do redis.call(unpack(step)) end
for _, count in ipairs(counts) do
  if redis.call("HINCRBY", unpack(count)) == 0 then redis.call("HDEL", count[1], count[2]) end
end
for _, head in ipairs(heads) do
  local zset, parent, member, score = unpack(head)
  local first = redis.call("ZRANGE", zset, 0, 0, "WITHSCORES")
  if first[1] then
    redis.call("ZADD", parent, score or first[2], member)
  else
    redis.call("ZREM", parent, member)
  end
end
for _, order in ipairs(orders) do settle(KEYS[1], order) end
return 1
