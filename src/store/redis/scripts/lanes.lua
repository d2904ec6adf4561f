-- Every target's queue: name, waiting, in flight, first time to look at a waiting one. now.
local now, answers = take(), {}
for _, target in ipairs(redis.call('SMEMBERS', base .. 'g')) do
  local lapsed = redis.call('ZCOUNT', flights(target), '-inf', now)
  answers[#answers + 1] = {
    target,
    redis.call('ZCARD', queue(target)) + lapsed,
    redis.call('ZCARD', flights(target)) - lapsed,
    redis.call('ZRANGE', queue(target), 0, 0, 'WITHSCORES')[2] or '',
  }
end
return answers
