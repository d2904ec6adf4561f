-- Takes turns in rates (GCRA): a limit's client is known by the time at which it would have used up what it took so far.
-- how many; each: limit and client, now, time between two turns, how far ahead of now it may be; all in microseconds.
-- Answers for each: microseconds until there is a turn; 0: taken.

-- Who asks more than once at a time is read once and written once.
local used_up, taken_at, answers = {}, {}, {}
for _ = 1, tonumber(take()) do
  local key, now, interval, ahead = base .. 'l:' .. take(), tonumber(take()), tonumber(take()), tonumber(take())
  local used = math.max(used_up[key] or tonumber(redis.call('GET', key) or '0'), now)
  local wait = used - now - ahead
  if wait <= 0 then
    used, wait = used + interval, 0
    taken_at[key] = now
  end
  used_up[key] = used
  answers[#answers + 1] = wait
end
for key, now in pairs(taken_at) do
  -- When all of it has come back, it is as if nobody had been there.
  local left = string.format('%.0f', math.ceil((used_up[key] - now) / 1000))
  redis.call('SET', key, string.format('%.0f', used_up[key]), 'PX', left)
end
return answers
