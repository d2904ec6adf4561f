-- Cancels what waits of a target. now, target, how many at most. Answers: how many it looked at, how many it cancelled.
local now, target, most = take(), take(), tonumber(take())
lapse(target, now)
local waiting, cancelled = redis.call('ZRANGE', queue(target), 0, most - 1), 0
for _, member in ipairs(waiting) do
  local text = redis.call('HGET', event(seq_of(member)), field('d', member)) or ''
  if read(text) == 'P' then
    cancel(member, target, text, now)
    cancelled = cancelled + 1
  else
    remove(queue(target), member)
  end
end
write_all()
return { #waiting, cancelled }
