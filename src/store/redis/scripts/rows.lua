-- Events as lists need them: how many; their seqs. Answers for each: head, deliveries, then progress and plan of each.
local answers = {}
for _ = 1, tonumber(take()) do
  local seq = take()
  local found = redis.call('HMGET', event(seq), 'h', 'c')
  if found[1] then
    local fields = {}
    for ordinal = 0, tonumber(found[2]) - 1 do
      local member = seq .. string.format('%04x', ordinal)
      fields[#fields + 1] = field('d', member)
      fields[#fields + 1] = field('p', member)
    end
    for from = 1, #fields, 1000 do
      local some = redis.call('HMGET', event(seq), unpack(fields, from, math.min(from + 999, #fields)))
      for _, value in ipairs(some) do found[#found + 1] = value or '' end
    end
    answers[#answers + 1] = found
  else
    answers[#answers + 1] = {}
  end
end
return answers
