-- Claims marks of events that are passed on and not kept.
-- now, how many; each: mark, window, seq, end of the lease, milliseconds to keep the claim, source.
-- Answers for each: O (ours), I (in flight), D first seq (a copy).

local now, answers = take(), {}
for _ = 1, tonumber(take()) do
  local key, window, seq, ends_at = base .. 'm:' .. take(), tonumber(take()), take(), take()
  local kept_for, source = take(), take()
  local old = redis.call('GET', key)
  local kind, first = string.sub(old or '', 1, 1), string.sub(old or '', 2, 17)
  if kind == 'K' and tonumber(now) - millis(first) < window then
    count('duplicates:' .. source, 1)
    answers[#answers + 1] = { 'D', first }
  elseif kind == 'C' and first ~= seq and tonumber(string.sub(old, 19)) > tonumber(now) then
    answers[#answers + 1] = { 'I' }
  else
    redis.call('SET', key, 'C' .. seq .. ' ' .. ends_at, 'PX', kept_for)
    answers[#answers + 1] = { 'O' }
  end
end
write_all()
return answers
