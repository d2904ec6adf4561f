-- Keeps events, each with its deliveries and its mark: all of it or nothing.
-- now, window in which marks are kept, new targets, standing claims (target, how many, lease, its end), how many events, their
-- seqs; each: mark, window, head, headers, body, id to look up, source, how many deliveries; each: target, plan, due at,
-- expires at, queue_max, ordered (1 or 0).
-- Answers twice. For each event: K (kept), D first seq targets... (a copy), I end (the first is on its way), X (the seq is
-- taken); or K alone where all are kept, as most are. And which deliveries went to standing claims.

local now, kept_for = take(), take()
for _ = 1, tonumber(take()) do redis.call('SADD', base .. 'g', take()) end
for _ = 1, tonumber(take()) do
  local target = take()
  standing[target] = { left = tonumber(take()), lease = take(), ends_at = take() }
end

local function rearm(seq)
  local targets = {}
  if redis.call('ZLEXCOUNT', ended('D'), '[' .. seq, '[' .. seq .. 'g') == 0 then return targets end
  local key = event(seq)
  for ordinal = 0, tonumber(redis.call('HGET', key, 'c') or '0') - 1 do
    local member = seq .. string.format('%04x', ordinal)
    local found = redis.call('HMGET', key, field('d', member), field('p', member))
    if found[1] and read(found[1]) == 'D' then
      local target = string.match(found[2], '^[^\n]*')
      restart(member, target, found[1], now)
      targets[#targets + 1] = target
    end
  end
  return targets
end

-- Takes the mark, or says what is known of it already.
local function verdict_of_mark(mark, window, seq)
  local key, ours = base .. 'm:' .. mark, 'K' .. seq
  -- In this order, since most are new.
  if redis.call('SET', key, ours, 'PX', kept_for, 'NX') then return nil end
  local old = redis.call('GET', key)
  local kind, first = string.sub(old, 1, 1), string.sub(old, 2, 17)
  if kind == 'K' then
    -- Our own: the answer to an earlier try of this admission was lost.
    if first == seq then return 'K' end
    if tonumber(now) - millis(first) < tonumber(window) then
      local answer = rearm(first)
      table.insert(answer, 1, first)
      table.insert(answer, 1, 'D')
      return answer
    end
  elseif tonumber(string.sub(old, 19)) > tonumber(now) then
    return { 'I', string.sub(old, 19) }
  end
  redis.call('SET', key, ours, 'PX', kept_for)
  return nil
end

local answers, all_kept, seqs, keys = {}, true, {}, {}
for at = 1, tonumber(take()) do
  seqs[at] = take()
  keys[at] = event(seqs[at])
end
-- Asked once for all: mostly none is there.
local some_are_there = redis.call('EXISTS', unpack(keys)) > 0
for at, seq in ipairs(seqs) do
  local mark, window, head = take(), take(), take()
  local headers, body, lookup, source, deliveries = take(), take(), take(), take(), tonumber(take())
  local last = place + 6 * deliveries
  local answer = mark ~= '' and verdict_of_mark(mark, window, seq) or nil
  local key = keys[at]
  if answer then
    if answer[1] == 'D' then count('duplicates:' .. source, 1) end
  elseif some_are_there and redis.call('EXISTS', key) == 1 then
    answer = redis.call('HGET', key, 'h') == head and 'K' or 'X'
    -- Another event has the seq: this one is not kept, and its mark neither.
    if answer == 'X' and mark ~= '' then redis.call('DEL', base .. 'm:' .. mark) end
  else
    local fields, open = { 'h', head, 'k', headers, 'b', body, 'c', deliveries }, 0
    for ordinal = 0, deliveries - 1 do
      local member = seq .. string.format('%04x', ordinal)
      if plan(true, member, take(), take(), take(), take(), take(), take(), now, fields) then open = open + 1 end
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
    if open == 0 then add(base .. 'r', now, seq) end
    count('accepted:' .. source, 1)
    if deliveries == 0 then count('unrouted:' .. source, 1) end
    answer = 'K'
  end
  place = last
  all_kept = all_kept and answer == 'K'
  answers[#answers + 1] = answer
end
write_all()
return { all_kept and 'K' or answers, granted }
