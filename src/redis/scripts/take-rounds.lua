-- Start-time fair queuing: assigns each run its round in the queue. A user's next run comes one round after the user's last
-- one, or in the round that is being served, whichever is later. The rounds start again when no run waits.
--
-- KEYS: 1 the waiting jobs (sorted set), 2 the round that is served, 3 the users' last rounds (hash), 4 the prefix of the
--       jobs' keys.
-- ARGV: 1 the greatest round, then a run and its user, repeatedly.
-- Returns the round of each run; 0 for a run that has a job already.
if redis.call('ZCARD', KEYS[1]) == 0 then redis.call('DEL', KEYS[2], KEYS[3]) end
local served = tonumber(redis.call('GET', KEYS[2]) or 0)
local rounds = {}
for i = 2, #ARGV, 2 do
  local round = 0
  if redis.call('EXISTS', KEYS[4] .. ARGV[i]) == 0 then
    local last = tonumber(redis.call('HGET', KEYS[3], ARGV[i + 1]) or 0)
    round = math.min(math.max(served, last + 1, 1), tonumber(ARGV[1]))
    redis.call('HSET', KEYS[3], ARGV[i + 1], round)
  end
  rounds[#rounds + 1] = round
end
return rounds
