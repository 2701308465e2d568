-- Takes an amount within a window of time, if less than the maximum was used.
--
-- KEYS: 1 the window.
-- ARGV: 1 the amount, 2 the maximum, 3 how long a window lasts in milliseconds.
-- Returns 0, or for how many milliseconds nothing is taken.
local rest = redis.call('PTTL', KEYS[1])
if rest > 0 and tonumber(redis.call('GET', KEYS[1])) >= tonumber(ARGV[2]) then return rest end
redis.call('INCRBY', KEYS[1], ARGV[1])
if rest <= 0 then redis.call('PEXPIRE', KEYS[1], ARGV[3]) end
return 0
