-- Takes due deliveries. now, end of the leases, lease, how many targets; each: target, how many at most.
-- Answers for each: when the next is due ('' where nothing waits), then member, attempts, due at, expires at of each.

local now, answers = take(), {}
local function first(key) return redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2] end

for _ = 1, tonumber(take()) do
  local target, most, lease, ends_at = take(), tonumber(take()), take(), take()
  lapse(target, now)
  local answer, taken, looked = { '' }, 0, 0
  while taken < most and looked < 2000 do
    local due_now = redis.call('ZRANGEBYSCORE', queue(target), '-inf', now, 'LIMIT', 0, most - taken)
    if #due_now == 0 then break end
    for _, member in ipairs(due_now) do
      looked = looked + 1
      redis.call('ZREM', queue(target), member)
      local key = event(seq_of(member))
      local state, attempts, due, expires, _, rest = read(redis.call('HGET', key, field('d', member)) or '')
      if state == 'P' and expires ~= '0' and tonumber(expires) <= tonumber(now) then
        redis.call('ZADD', ended('X'), 0, member)
        redis.call('HSET', key, field('d', member), write('X', attempts, due, expires, '-', ended_at(rest, now)))
        count('expired:' .. target, 1)
        close(seq_of(member), now)
      elseif state == 'P' then
        redis.call('ZADD', flights(target), ends_at, member)
        redis.call('HSET', key, field('d', member), write('F', attempts, due, expires, lease, rest))
        taken = taken + 1
        for _, value in ipairs({ member, attempts, due, expires }) do answer[#answer + 1] = value end
      end
    end
  end
  local waiting, flying = first(queue(target)), first(flights(target))
  if waiting and flying then
    answer[1] = tonumber(waiting) < tonumber(flying) and waiting or flying
  else
    answer[1] = waiting or flying or ''
  end
  answers[#answers + 1] = answer
end
write_totals()
return answers
