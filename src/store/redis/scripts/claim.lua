-- Takes due deliveries. now, how many targets; each: target, how many at most, lease, its end, how many may be in flight at all
-- gateways together (0: any number).
-- Answers for each: when the next is due ('' where nothing waits), then member, attempts, due at, expires at of each.

local now, answers = take(), {}
local function first(key) return redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2] end

-- How many a gateway may take where the flights of all are limited, and when to ask again if those are fewer than it wants.
-- A gateway that finds no place waits in line: whoever is freed next is for the one that has waited longest, or one that
-- claims for itself as soon as it has settled would leave nothing to the others. One that does not come back within two
-- seconds has gone.
local function share(target, most, gateway, max)
  local line = base .. 'w:' .. target
  redis.call('ZREMRANGEBYSCORE', line, '-inf', tonumber(now) - 2000)
  local ahead = redis.call('ZRANK', line, gateway) or redis.call('ZCARD', line)
  local free = max - redis.call('ZCARD', flights(target)) - ahead
  if free >= most then
    redis.call('ZREM', line, gateway)
    return most
  end
  if free > 0 then
    redis.call('ZREM', line, gateway)
  elseif #redis.call('ZRANGEBYSCORE', queue(target), '-inf', now, 'LIMIT', 0, 1) > 0 then
    redis.call('ZADD', line, 'NX', now, gateway)
  end
  return math.max(free, 0), tonumber(now) + 10
end

for _ = 1, tonumber(take()) do
  local target, most, lease, ends_at, max = take(), tonumber(take()), take(), take(), tonumber(take())
  local again
  lapse(target, now)
  if max > 0 then most, again = share(target, most, string.sub(lease, 1, 8), max) end
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
  if again and waiting and tonumber(waiting) <= again then answer[1] = again end
  if string.sub(target, 1, 8) == 'webhook_' then
    if answer[1] == '' then
      redis.call('ZREM', base .. 's', target)
    else
      redis.call('ZADD', base .. 's', answer[1], target)
    end
  end
  answers[#answers + 1] = answer
end
write_totals()
return answers
