-- A worker waits no more.
--
-- ARGV: what all keys begin with, the worker
unrecorded()
leave(ARGV[1], ARGV[2])
return 1
