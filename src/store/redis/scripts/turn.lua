-- Takes turns in rates (GCRA): a limit's client is known by the time at which it would have used up what it took so far.
-- how many; each: limit and client, now, time between two turns, how far ahead of now it may be; all in microseconds.
-- Answers for each: microseconds until there is a turn; 0: taken.

local answers = {}
for _ = 1, tonumber(take()) do
  local key, now, interval, ahead = base .. 'l:' .. take(), tonumber(take()), tonumber(take()), tonumber(take())
  local used = math.max(tonumber(redis.call('GET', key) or '0'), now)
  local wait = used - now - ahead
  if wait <= 0 then
    used, wait = used + interval, 0
    -- When all of it has come back, it is as if nobody had been there.
    redis.call('SET', key, string.format('%.0f', used), 'PX', string.format('%.0f', math.ceil((used - now) / 1000)))
  end
  answers[#answers + 1] = wait
end
return answers
