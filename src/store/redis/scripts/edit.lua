-- What people do to one delivery. now, letter (R again, C stop), member.
-- Answers: gone, flying, ended, or ok and the target.
local now, what, member = take(), take(), take()
local key = event(seq_of(member))
local found = redis.call('HMGET', key, field('d', member), field('p', member))
if not found[1] then return { 'gone' } end
local target = string.match(found[2], '^[^\n]*')
lapse(target, now)
local text = redis.call('HGET', key, field('d', member))
local state = read(text)
if state == 'F' then return { 'flying' } end
if what == 'R' then
  restart(member, target, text, now)
  return { 'ok', target }
end
if state ~= 'P' then return { 'ended' } end
cancel(member, target, text, now)
write_totals()
return { 'ok', target }
