-- Lengthens a lease. now, member, target, lease, its new end. Answers 1, or 0 where it had ended.
local now, member, target, lease, ends_at = take(), take(), take(), take(), take()
local ends = redis.call('ZSCORE', flights(target), member)
if not ends or tonumber(ends) <= tonumber(now) then return 0 end
local state, _, _, _, holder = read(redis.call('HGET', event(seq_of(member)), field('d', member)) or '')
if state ~= 'F' or holder ~= lease then return 0 end
redis.call('ZADD', flights(target), ends_at, member)
return 1
