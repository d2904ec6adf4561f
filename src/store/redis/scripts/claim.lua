-- Takes due deliveries. now, how many targets; each: target, how many at most, lease, its end, how many may be in flight at all
-- gateways together (0: any number), ordered (1 or 0).
-- Answers for each: when the next is due ('' where nothing waits), then of each, in one text,
-- member, attempts, due at, expires at.

local now, answers = take(), {}

-- How many a gateway may take where the flights of all are limited, and when to ask again if those are fewer than it wants.
-- A gateway that finds no place waits in line: whoever is freed next is for the one that has waited longest, or one that
-- claims for itself as soon as it has settled would leave nothing to the others. One that does not come back within two
-- seconds has gone.
local function share(target, most, gateway, max)
  local places = base .. 'w:' .. target
  redis.call('ZREMRANGEBYSCORE', places, '-inf', tonumber(now) - 2000)
  local ahead = redis.call('ZRANK', places, gateway) or redis.call('ZCARD', places)
  local free = max - redis.call('ZCARD', flights(target)) - ahead
  if free >= most then
    redis.call('ZREM', places, gateway)
    return most
  end
  if free > 0 then
    redis.call('ZREM', places, gateway)
  elseif #redis.call('ZRANGEBYSCORE', queue(target), '-inf', now, 'LIMIT', 0, 1) > 0 then
    redis.call('ZADD', places, 'NX', now, gateway)
  end
  return math.max(free, 0), tonumber(now) + 10
end

-- The first in line, if nothing is in flight and its time has come. What came before there was a line, or from another
-- store, gets its place in the order of the events.
local function due_in_line(target)
  if redis.call('ZCARD', flights(target)) > 0 then return {} end
  local standing = redis.call('ZCARD', line(target)) + redis.call('ZCOUNT', queue(target), HELD, '+inf')
  if standing < redis.call('ZCARD', queue(target)) then
    redis.call('ZUNIONSTORE', line(target), 2, line(target), queue(target), 'WEIGHTS', 1, 0, 'AGGREGATE', 'MAX')
    lines[target] = true
  end
  local member, at = first_in_line(target)
  return at and tonumber(at) <= tonumber(now) and { member } or {}
end

for _ = 1, tonumber(take()) do
  local target, most, lease, ends_at, max = take(), tonumber(take()), take(), take(), tonumber(take())
  local ordered = take()
  local again
  lapse(target, now)
  if max > 0 then most, again = share(target, most, string.sub(lease, 1, 8), max) end
  local answer, taken, looked = { '' }, 0, 0
  while taken < most and looked < 2000 do
    local due_now = ordered == '1' and due_in_line(target)
      or redis.call('ZRANGEBYSCORE', queue(target), '-inf', now, 'LIMIT', 0, math.min(most - taken, 500))
    if #due_now == 0 then break end
    for _, member in ipairs(due_now) do
      looked = looked + 1
      remove(queue(target), member)
      local key = event(seq_of(member))
      local state, attempts, due, expires, _, rest = read(redis.call('HGET', key, field('d', member)) or '')
      if state == 'P' and expires ~= '0' and tonumber(expires) <= tonumber(now) then
        redis.call('ZADD', ended('X'), 0, member)
        redis.call('HSET', key, field('d', member), write('X', attempts, due, expires, '-', ended_at(rest, now)))
        count('expired:' .. target, 1)
        close(seq_of(member), now)
        leave(target, member)
      elseif state == 'P' then
        add(flights(target), ends_at, member)
        redis.call('HSET', key, field('d', member), write('F', attempts, due, expires, lease, rest))
        taken = taken + 1
        answer[#answer + 1] = table.concat({ member, attempts, due, expires }, ' ')
      end
    end
    write_sets()
  end
  answer[1] = next_look(target, ordered)
  local waiting = again and first_time(queue(target))
  if waiting and tonumber(waiting) <= again then answer[1] = again end
  if string.sub(target, 1, 8) == 'webhook_' then
    if answer[1] == '' then
      redis.call('ZREM', base .. 's', target)
    else
      redis.call('ZADD', base .. 's', answer[1], target)
    end
  end
  answers[#answers + 1] = answer
end
write_all()
return answers
