-- Adds deliveries to an event. now, seq, how many new targets; their names; how many deliveries; each: target, plan,
-- due at, expires at, queue_max, ordered. Answers: gone, many, or ok and the first ordinal.
local now, seq = take(), take()
local key = event(seq)
local first = redis.call('HGET', key, 'c')
if not first then return { 'gone' } end
for _ = 1, tonumber(take()) do redis.call('SADD', base .. 'g', take()) end
local deliveries = tonumber(take())
if tonumber(first) + deliveries > 65535 then return { 'many' } end
local fields, open = { 'c', tonumber(first) + deliveries }, 0
for ordinal = tonumber(first), tonumber(first) + deliveries - 1 do
  local member = seq .. string.format('%04x', ordinal)
  if plan(false, member, take(), take(), take(), take(), take(), take(), now, fields) then open = open + 1 end
end
call('HSET', key, fields)
if open > 0 then
  redis.call('HINCRBY', key, 'n', open)
  remove(base .. 'r', seq)
end
write_all()
return { 'ok', first }
