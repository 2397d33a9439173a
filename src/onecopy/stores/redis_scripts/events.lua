-- Answers for each job its events from a number on; and its record, if an event is to be made of
-- how it was claimed.
--
-- ARGV: what all keys begin with, the most events or -1, then for each job its id and a number
local P, left = ARGV[1], tonumber(ARGV[2])
local answer = {}
for i = 3, #ARGV, 2 do
  if left == 0 then break end
  local id, from = ARGV[i], tonumber(ARGV[i + 1])
  local record = P .. "job:" .. id
  local events = redis.call("LRANGE", P .. "events:" .. id, from, left < 0 and -1 or from + left - 1)
  local row = {i, events, false}
  if redis.call("HEXISTS", record, "c") == 1 then
    row[3] = redis.call("HMGET", record, "j", "n", "s", "c", "u", "h", "a", "r")
  end
  if left > 0 then left = math.max(0, left - #events) end
  answer[#answer + 1] = row
end
return answer
