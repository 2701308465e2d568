import type { Redis, Result } from 'ioredis'

/** What an event of the queue's says, at the place of `%d`. */
const QUEUED = '[{"type":"queued","runId":"%s","position":%d}]'
const KEEP_SECONDS = 3600

/**
 * Start-time fair queuing: a user's next run comes one round after their last, or in the round that is served now,
 * whichever is later. Rounds begin anew when nobody waits.
 * KEYS: the jobs that wait, the round that is served, the users' last rounds, what jobs' keys begin with. ARGV: the
 * greatest round, then each run and its user. Returns the rounds; 0 for a run that is in the queue already.
 */
const takeRounds = `
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
return rounds`

/** A run of this round has got its slot. KEYS: the round that is served. ARGV: the run's round. */
const serveRound = `
if tonumber(ARGV[1]) > tonumber(redis.call('GET', KEYS[1]) or 0) then redis.call('SET', KEYS[1], ARGV[1]) end`

/**
 * Tells a waiting run's readers its position where that has got better; far from its turn only when it is twice as near.
 * Where somebody makes the run all the same, as while Redis is away, the stream is theirs.
 * KEYS: the jobs that wait, the run's stream. ARGV: run, the position told last.
 * Returns the position told last; -1: the run does not wait.
 */
const tellPosition = `
local rank = redis.call('ZRANK', KEYS[1], ARGV[1])
if not rank then return -1 end
local position, told = rank + 1, tonumber(ARGV[2])
if position >= told or (position > 5 and position > told / 2) then return told end
local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)[1]
if last and not string.find(last[2][2], '^%[{"type":"queued"') then return -1 end
local number = last and tonumber(string.match(last[1], '^%d+')) or 0
redis.call('XADD', KEYS[2], string.format('%.0f-0', number + 1), 'e', string.format('${QUEUED}', ARGV[1], position))
redis.call('EXPIRE', KEYS[2], ${KEEP_SECONDS})
return position`

declare module 'ioredis' {
  interface RedisCommander<Context> {
    takeRounds (waiting: string, served: string, users: string, jobs: string, max: number, ...runsAndUsers: string[]): Result<number[], Context>
    serveRound (served: string, round: number): Result<null, Context>
    tellPosition (waiting: string, stream: string, runId: string, told: number): Result<number, Context>
  }
}

/** Gives a connection the commands above. */
export function defineScripts (redis: Redis): void {
  redis.defineCommand('takeRounds', { numberOfKeys: 4, lua: takeRounds })
  redis.defineCommand('serveRound', { numberOfKeys: 1, lua: serveRound })
  redis.defineCommand('tellPosition', { numberOfKeys: 2, lua: tellPosition })
}
