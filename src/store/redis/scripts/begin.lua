-- What every script begins with. KEYS[1] is the shard's base: every key is the base and a few letters, so that all of
-- them are in one slot. A delivery is known by its member: the event's seq (16 digits) and its ordinal (4), both hex,
-- so that members in their order are deliveries in the order of their events.
--
-- e:SEQ hash of an event: h head, k headers, b body, c deliveries, n open ones, l look-up; dORDINAL progress, pORDINAL plan,
--       aORDINAL.NUMBER attempts          m:KEY  a dedup mark: K seq (kept), or C seq, end of its lease (claimed)
-- q:TARGET waiting by the time to look at them    f:TARGET claimed by the end of their lease
-- x events in their order     i senders' ids     r what is over, by when     z:STATE deliveries that ended badly
-- l:LIMIT:CLIENT a rate: the time up to which it is used up
-- g targets that ever had a delivery     t totals     j, y, w the ledger: entries, their order, their bytes
--
-- w:TARGET gateways that wait for a place among a target's flights, by when they began to
-- s webhooks' targets by when something of them is to be looked at
-- Of the first shard: hooks (webhooks by id), hooks:version (their changes, counted), hooks:changes (ids by their last change)
--
-- Progress: state, attempts, due at, expires at (0: never), lease (-: none), and what only Rust reads.
-- States: P waiting, F in flight, S succeeded, D dead, C cancelled, X expired.

local base = KEYS[1]
local place = 0

local function take()
  place = place + 1
  return ARGV[place]
end

local function event(seq) return base .. 'e:' .. seq end
local function queue(target) return base .. 'q:' .. target end
local function flights(target) return base .. 'f:' .. target end
local function ended(state) return base .. 'z:' .. state end
local function seq_of(member) return string.sub(member, 1, 16) end
local function field(letter, member) return letter .. string.sub(member, 17, 20) end

-- The millisecond in which a seq was given: its upper 42 bits. In two halves, since a number here has 53 bits.
local function millis(seq)
  return tonumber(string.sub(seq, 1, 8), 16) * 1024 + math.floor(tonumber(string.sub(seq, 9, 16), 16) / 4194304)
end

local function read(text) return string.match(text, '^(%u) (%d+) (%d+) (%d+) (%S+) (.*)$') end

local function write(state, attempts, due, expires, lease, rest)
  return table.concat({ state, attempts, due, expires, lease, rest }, ' ')
end

-- When something has to be done about a waiting delivery: attempted, or given up because it is too late by then.
local function looked_at(due, expires)
  if expires ~= '0' and tonumber(expires) < tonumber(due) then return expires end
  return due
end

-- The same words of progress with the time at which it ended as the last.
local function ended_at(rest, now) return (string.gsub(rest, '%d+$', now)) end

-- A delivery waits. That of a webhook, of which there may be thousands, is noted apart: nobody looks at each of their queues.
local function wait(target, at, member)
  redis.call('ZADD', queue(target), at, member)
  if string.sub(target, 1, 8) == 'webhook_' then redis.call('ZADD', base .. 's', 'LT', at, target) end
end

local totals = {}

local function count(name, by) totals[name] = (totals[name] or 0) + by end

local function write_totals()
  for name, by in pairs(totals) do
    redis.call('HINCRBY', base .. 't', name, string.format('%.0f', by))
  end
end

-- A delivery of the event has ended: an event without open ones is over.
local function close(seq, now)
  if redis.call('HINCRBY', event(seq), 'n', -1) <= 0 then redis.call('ZADD', base .. 'r', now, seq) end
end

-- Any delivery that is not in flight is due now.
local function restart(member, target, text, now)
  local state, attempts, _, expires, _, rest = read(text)
  if expires ~= '0' and tonumber(expires) <= tonumber(now) then expires = '0' end
  local seq = seq_of(member)
  wait(target, now, member)
  redis.call('HSET', event(seq), field('d', member), write('P', attempts, now, expires, '-', rest))
  if state ~= 'P' and state ~= 'F' then
    if state ~= 'S' then redis.call('ZREM', ended(state), member) end
    redis.call('HINCRBY', event(seq), 'n', 1)
    redis.call('ZREM', base .. 'r', seq)
  end
end

-- A waiting delivery is stopped.
local function cancel(member, target, text, now)
  local _, attempts, due, expires, _, rest = read(text)
  redis.call('ZREM', queue(target), member)
  redis.call('ZADD', ended('C'), 0, member)
  redis.call('HSET', event(seq_of(member)), field('d', member), write('C', attempts, due, expires, '-', ended_at(rest, now)))
  count('cancelled:' .. target, 1)
  close(seq_of(member), now)
end

-- A delivery of an event that is being kept or replayed; false where its queue is full and it is dead from the start.
local function plan(member, target, how, due, expires, queue_max, now, fields)
  local is_full = redis.call('ZCARD', queue(target)) + redis.call('ZCARD', flights(target)) >= tonumber(queue_max)
  fields[#fields + 1] = field('p', member)
  fields[#fields + 1] = how
  fields[#fields + 1] = field('d', member)
  if is_full then
    fields[#fields + 1] = write('D', '0', due, expires, '-', '0 - - queue_full ' .. now)
    redis.call('ZADD', ended('D'), 0, member)
    count('dead:' .. target, 1)
    return false
  end
  fields[#fields + 1] = write('P', '0', due, expires, '-', '0 - - - 0')
  wait(target, looked_at(due, expires), member)
  return true
end

-- HSET of any number of fields.
local function set(key, fields)
  for from = 1, #fields, 1000 do redis.call('HSET', key, unpack(fields, from, math.min(from + 999, #fields))) end
end

-- What its claimer forgot waits again; its lease is kept, so that a late outcome counts until somebody else claims.
local function lapse(target, now)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', flights(target), '-inf', now, 'LIMIT', 0, 500)) do
    redis.call('ZREM', flights(target), member)
    local text = redis.call('HGET', event(seq_of(member)), field('d', member))
    local state, attempts, due, expires, lease, rest = read(text or '')
    if state == 'F' then
      wait(target, looked_at(due, expires), member)
      redis.call('HSET', event(seq_of(member)), field('d', member), write('P', attempts, due, expires, lease, rest))
    end
  end
end
