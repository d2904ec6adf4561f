-- What people do to deliveries. now, letter (R again, C stop), how many; their members.
-- Answers for each: gone, flying, ended, or ok and the target.
local now, what, answers, lapsed = take(), take(), {}, {}

local function change(member)
  local key = event(seq_of(member))
  local found = redis.call('HMGET', key, field('d', member), field('p', member))
  if not found[1] then return { 'gone' } end
  local target = string.match(found[2], '^[^\n]*')
  if not lapsed[target] then
    lapse(target, now)
    lapsed[target] = true
  end
  local text = redis.call('HGET', key, field('d', member))
  local state = read(text)
  if state == 'F' then return { 'flying' } end
  if what == 'R' then
    restart(member, target, text, now)
    return { 'ok', target }
  end
  if state ~= 'P' then return { 'ended' } end
  cancel(member, target, text, now)
  return { 'ok', target }
end

for at = 1, tonumber(take()) do answers[at] = change(take()) end
write_all()
return answers
