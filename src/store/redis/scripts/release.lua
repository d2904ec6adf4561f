-- Makes due what waits for a person. now, target, moment, how many at most. Answers how many it looked at.
local now, target, moment, most = take(), take(), take(), tonumber(take())
local waiting = redis.call('ZRANGEBYSCORE', queue(target), moment, moment, 'LIMIT', 0, most)
for _, member in ipairs(waiting) do
  local key = event(seq_of(member))
  local state, attempts, _, expires, lease, rest = read(redis.call('HGET', key, field('d', member)) or '')
  if state == 'P' then
    wait(target, now, expires, member)
    redis.call('HSET', key, field('d', member), write('P', attempts, now, expires, lease, rest))
  else
    remove(queue(target), member)
  end
end
write_all()
return #waiting
