-- Makes due what waits for a person. now, target, moment, how many at most. Answers how many it looked at.
local now, target, moment, most = take(), take(), take(), tonumber(take())
local waiting = redis.call('ZRANGEBYSCORE', queue(target), moment, moment, 'LIMIT', 0, most)
make_due(target, waiting, now)
write_all()
return #waiting
