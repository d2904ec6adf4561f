-- Gives back what a gateway that ends has claimed. How its leases begin.
local prefix = take()
for _, target in ipairs(redis.call('SMEMBERS', base .. 'g')) do
  for _, member in ipairs(redis.call('ZRANGE', flights(target), 0, -1)) do
    local key = event(seq_of(member))
    local state, attempts, due, expires, lease, rest = read(redis.call('HGET', key, field('d', member)) or '')
    if state == 'F' and string.sub(lease, 1, #prefix) == prefix then
      remove(flights(target), member)
      wait(target, due, expires, member)
      redis.call('HSET', key, field('d', member), write('P', attempts, due, expires, '-', rest))
    end
  end
end
write_all()
return 1
