-- Records that a run of a round has got its slot.
--
-- KEYS: 1 the round that is served.
-- ARGV: 1 the round of the run.
if tonumber(ARGV[1]) > tonumber(redis.call('GET', KEYS[1]) or 0) then redis.call('SET', KEYS[1], ARGV[1]) end
