-- Wakes waiting workers.
--
-- ARGV: what all keys begin with, then for each queue its name and a number of jobs
unrecorded()
for i = 2, #ARGV, 2 do ring(ARGV[1], ARGV[i], tonumber(ARGV[i + 1])) end
return 1
