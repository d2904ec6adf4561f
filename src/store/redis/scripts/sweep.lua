-- Removes a step's worth of what is over: events that ended before a time, entries of the ledger before a seq.
-- Before which time, how many; before which seq, how many. Answers: events, bytes, entries, bytes of those.
local before, most = take(), tonumber(take())
local events, bytes = redis.call('ZRANGEBYSCORE', base .. 'r', '-inf', before, 'LIMIT', 0, most), 0
for _, seq in ipairs(events) do
  local key = event(seq)
  local found = redis.call('HMGET', key, 'c', 'l')
  bytes = bytes + redis.call('HSTRLEN', key, 'b') + redis.call('HSTRLEN', key, 'k') + redis.call('HSTRLEN', key, 'h')
  for ordinal = 0, tonumber(found[1] or '0') - 1 do
    local member = seq .. string.format('%04x', ordinal)
    local state = read(redis.call('HGET', key, field('d', member)) or '')
    if state == 'D' or state == 'C' or state == 'X' then redis.call('ZREM', ended(state), member) end
  end
  if found[2] then redis.call('ZREM', base .. 'i', found[2] .. seq) end
  redis.call('ZREM', base .. 'r', seq)
  redis.call('ZREM', base .. 'x', seq)
  redis.call('UNLINK', key)
end
local oldest, limit = take(), tonumber(take())
local entries = redis.call('ZRANGEBYLEX', base .. 'y', '-', '(' .. oldest, 'LIMIT', 0, limit)
for _, seq in ipairs(entries) do
  local size = redis.call('HSTRLEN', base .. 'j', seq)
  redis.call('DECRBY', base .. 'w', size)
  bytes = bytes + size
  redis.call('HDEL', base .. 'j', seq)
  redis.call('ZREM', base .. 'y', seq)
end
return { #events, #entries, string.format('%.0f', bytes) }
