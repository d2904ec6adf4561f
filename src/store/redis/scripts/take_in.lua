-- Keeps an event of another store as it stood there. seq, head, headers, body, id to look up, source, when it was over ('':
-- it is not), how many deliveries; each: target, plan, progress, how many attempts, their microseconds together; each: number,
-- attempt. Answers 1 (kept), 0 (it was here already).
local seq, head, headers, body, lookup, source, over_at = take(), take(), take(), take(), take(), take(), take()
local key, deliveries = event(seq), tonumber(take())
if redis.call('HSETNX', key, 'h', head) == 0 then return 0 end
local fields, open = { 'k', headers, 'b', body, 'c', deliveries }, 0
local counted = { S = 'succeeded:', D = 'dead:', C = 'cancelled:', X = 'expired:' }
for ordinal = 0, deliveries - 1 do
  local member = seq .. string.format('%04x', ordinal)
  local target, how, text, attempts, micros = take(), take(), take(), tonumber(take()), tonumber(take())
  local state, _, due, expires = read(text)
  for _, value in ipairs({ field('p', member), how, field('d', member), text }) do fields[#fields + 1] = value end
  redis.call('SADD', base .. 'g', target)
  if state == 'P' then
    open = open + 1
    wait(target, due, expires, member)
  else
    if state ~= 'S' then redis.call('ZADD', ended(state), 0, member) end
    count(counted[state] .. target, 1)
  end
  if attempts > 0 then
    count('attempts:' .. target, attempts)
    count('micros:' .. target, micros)
  end
  for _ = 1, attempts do
    fields[#fields + 1] = field('a', member) .. '.' .. take()
    fields[#fields + 1] = take()
  end
end
fields[#fields + 1] = 'n'
fields[#fields + 1] = open
if lookup ~= '' then
  fields[#fields + 1] = 'l'
  fields[#fields + 1] = lookup
  add(base .. 'i', 0, lookup .. seq)
end
call('HSET', key, fields)
add(base .. 'x', 0, seq)
if open == 0 then add(base .. 'r', over_at, seq) end
count('accepted:' .. source, 1)
if deliveries == 0 then count('unrouted:' .. source, 1) end
write_all()
return 1
