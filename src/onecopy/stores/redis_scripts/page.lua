-- Answers the newest members of some sets of members by number, each with fields of its record:
-- one look at all of them, so that nothing is missed that goes from one to the other.
--
-- ARGV: what records' keys begin with, below which number, how many, how many fields;
--   the fields, the sets
local prefix, below, size, fields = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local names = {unpack(ARGV, 5, 4 + fields)}
local found = {}
for i = 5 + fields, #ARGV do
  local some = redis.call(
    "ZREVRANGEBYSCORE", ARGV[i], below, "-inf", "WITHSCORES", "LIMIT", 0, size
  )
  for k = 1, #some, 2 do found[#found + 1] = {some[k + 1], some[k]} end
end
table.sort(found, function(a, b) return tonumber(a[1]) > tonumber(b[1]) end)
local answer = {}
for i = 1, math.min(size, #found) do
  local number, member = unpack(found[i])
  answer[i] = {number, redis.call("HMGET", prefix .. member, unpack(names))}
end
return answer
