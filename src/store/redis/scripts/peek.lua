-- When the next delivery of each target has to be looked at. How many targets; their names.
local answers = {}
for _ = 1, tonumber(take()) do
  local target = take()
  local waiting = redis.call('ZRANGE', queue(target), 0, 0, 'WITHSCORES')[2]
  local flying = redis.call('ZRANGE', flights(target), 0, 0, 'WITHSCORES')[2]
  if waiting and flying then
    answers[#answers + 1] = tonumber(waiting) < tonumber(flying) and waiting or flying
  else
    answers[#answers + 1] = waiting or flying or ''
  end
end
return answers
