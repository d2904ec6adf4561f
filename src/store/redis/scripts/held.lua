-- What waits for a person. Answers target and moment, in turn.
local answers = {}
for _, target in ipairs(redis.call('SMEMBERS', base .. 'g')) do
  local next = redis.call('ZRANGEBYSCORE', queue(target), HELD, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
  while next do
    answers[#answers + 1] = target
    answers[#answers + 1] = next
    next = redis.call('ZRANGEBYSCORE', queue(target), '(' .. next, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
  end
end
return answers
