-- Emits a `queued` event with the position of a waiting run into the run's stream, if the position has improved. Beyond the
-- fifth position it must have halved. Writes nothing once a process has begun the run, because the numbers are that process's
-- to assign: the stream holds another event, or the job has come back because its process did not renew the lock (`stc`), which
-- happens while that cannot reach Redis.
--
-- KEYS: 1 the waiting jobs (sorted set), beside which the jobs are, 2 the run's stream.
-- ARGV: 1 the run, 2 the position emitted last, 3 the value of the entry as a format with the run (%s) and the position (%d),
--       4 the lifetime of the stream in seconds.
-- Returns the position emitted last; 0 if the run has a job but no place, as one that is parked; -1 if it does not wait or is executed.
local job = string.gsub(KEYS[1], 'prioritized$', '') .. ARGV[1]
local rank = redis.call('ZRANK', KEYS[1], ARGV[1])
if not rank then return redis.call('EXISTS', job) - 1 end
-- A job that was added again may be one whose run is executed meanwhile, and whose first event is not in the stream yet.
local data = redis.call('HGET', job, 'data')
if data and string.find(data, '"isAgain":true', 1, true) then return -1 end
local position, emitted = rank + 1, tonumber(ARGV[2])
if position >= emitted or (position > 5 and position > emitted / 2) then return emitted end
if redis.call('HEXISTS', job, 'stc') == 1 then return -1 end
local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
if last and not string.find(last[2][2], '^%[{"type":"queued"') then return -1 end
-- Another process may have told it.
local told = last and tonumber(string.match(last[2][2], '"position":(%d+)'))
if told and (position >= told or (position > 5 and position > told / 2)) then return told end
local number = last and tonumber(string.match(last[1], '^%d+')) or 0
redis.call('XADD', KEYS[2], string.format('%.0f-0', number + 1), 'e', string.format(ARGV[3], ARGV[1], position))
redis.call('EXPIRE', KEYS[2], ARGV[4])
return position
