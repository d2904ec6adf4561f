-- Does what nobody waits for, in its order. now, how many; each by its letter (see `errand.rs`).
-- Answers with the targets of which more is to be hastened.

local now, unfinished = take(), {}

-- The claim's delivery, if the claim is still the newest: taken out of where it stands. How many of its event are open.
local function land(member, target, lease)
  local found = redis.call('HMGET', event(seq_of(member)), field('d', member), 'n')
  local text, open = found[1], found[2]
  if not text then return nil end
  local state, attempts, due, expires, holder, rest = read(text)
  if holder ~= lease or (state ~= 'F' and state ~= 'P') then return nil end
  remove(state == 'F' and flights(target) or queue(target), member)
  return attempts, due, expires, rest, tonumber(open)
end

local finished = { S = 'succeeded:', D = 'dead:', X = 'expired:' }

-- It has ended, and with it perhaps its event.
local function finish(member, target, state, open)
  leave(target, member)
  if state ~= 'S' then redis.call('ZADD', ended(state), 0, member) end
  count(finished[state] .. target, 1)
  if open <= 0 then add(base .. 'r', now, seq_of(member)) end
end

local errands = {}

function errands.S()
  local member, target, lease, state, attempts, due, rest, attempt, micros =
    take(), take(), take(), take(), take(), take(), take(), take(), take()
  local known, _, expires, _, open = land(member, target, lease)
  if not known then return end
  if state ~= 'P' then open = open - 1 end
  redis.call('HSET', event(seq_of(member)), field('d', member), write(state, attempts, due, expires, '-', rest),
    field('a', member) .. '.' .. attempts, attempt, 'n', open)
  count('attempts:' .. target, 1)
  count('micros:' .. target, tonumber(micros))
  if state == 'P' then
    wait(target, due, expires, member)
  else
    finish(member, target, state, open)
  end
end

function errands.R()
  local member, target, lease, due = take(), take(), take(), take()
  local attempts, _, expires, rest = land(member, target, lease)
  if not attempts then return end
  wait(target, due, expires, member)
  redis.call('HSET', event(seq_of(member)), field('d', member), write('P', attempts, due, expires, '-', rest))
end

function errands.E()
  local member, target, lease, state, rest = take(), take(), take(), take(), take()
  local attempts, due, expires, _, open = land(member, target, lease)
  if not attempts then return end
  redis.call('HSET', event(seq_of(member)), field('d', member), write(state, attempts, due, expires, '-', rest),
    'n', open - 1)
  finish(member, target, state, open - 1)
end

function errands.H()
  local target = take()
  write_sets()
  local waiting = redis.call('ZRANGEBYSCORE', queue(target), '(' .. now, '(' .. string.format('%.0f', HELD), 'LIMIT', 0, 1000)
  make_due(target, waiting, now)
  if #waiting == 1000 then unfinished[#unfinished + 1] = target end
end

function errands.M()
  local key, seq, kept_for = base .. 'm:' .. take(), take(), take()
  local old = redis.call('GET', key)
  if not old or string.sub(old, 1, 1) ~= 'K' or tonumber(now) - millis(string.sub(old, 2, 17)) > tonumber(kept_for) then
    redis.call('SET', key, 'K' .. seq, 'PX', kept_for)
  end
end

function errands.U()
  local key, seq = base .. 'm:' .. take(), take()
  if string.sub(redis.call('GET', key) or '', 1, 17) == 'C' .. seq then redis.call('DEL', key) end
end

function errands.N()
  local name = take()
  count(name, tonumber(take()))
end

function errands.J()
  local seq, entry, bytes_max = take(), take(), tonumber(take())
  -- There already: the answer to an earlier try was lost.
  if redis.call('HSETNX', base .. 'j', seq, entry) == 0 then return end
  local bytes = redis.call('INCRBY', base .. 'w', #entry)
  redis.call('ZADD', base .. 'y', 0, seq)
  while bytes > bytes_max do
    local oldest = redis.call('ZRANGE', base .. 'y', 0, 0)[1]
    if not oldest then break end
    bytes = redis.call('DECRBY', base .. 'w', redis.call('HSTRLEN', base .. 'j', oldest))
    redis.call('HDEL', base .. 'j', oldest)
    redis.call('ZREM', base .. 'y', oldest)
  end
end

for _ = 1, tonumber(take()) do errands[take()]() end
write_all()
return unfinished
