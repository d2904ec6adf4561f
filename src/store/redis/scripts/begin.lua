-- What every script begins with. KEYS[1] is the shard's base: every key is the base and a few letters, so that all of
-- them are in one slot. A delivery is known by its member: the event's seq (16 digits) and its ordinal (4), both hex,
-- so that members in their order are deliveries in the order of their events.
--
-- e:SEQ hash of an event: h head, k headers, b body, c deliveries, n open ones, l look-up; dORDINAL progress, pORDINAL plan,
--       aORDINAL.NUMBER attempts          m:KEY  a dedup mark: K seq (kept), or C seq, end of its lease (claimed)
-- q:TARGET waiting by the time to look at them    f:TARGET claimed by the end of their lease
-- o:TARGET of an ordered target: what is open, waiting or claimed, by its place in the line
-- x events in their order     i senders' ids     r what is over, by when     z:STATE deliveries that ended badly
-- l:LIMIT:CLIENT a rate: the time up to which it is used up
-- g targets that ever had a delivery     t totals     j, y, w the ledger: entries, their order, their bytes
--
-- w:TARGET gateways that wait for a place among a target's flights, by when they began to
-- s webhooks' targets by when something of them is to be looked at
-- Of the first shard: pauses (what a person has paused), hooks (webhooks by id), hooks:version (their changes, counted), hooks:changes (ids by their last change)
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
-- Whoever waits for a person is due from here on (see `key.rs`).
local HELD = 90000000000000

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
  if tonumber(due) >= HELD then return due end
  if expires ~= '0' and tonumber(expires) < tonumber(due) then return expires end
  return due
end

-- Members that go into sorted sets, each with its score, or out of them (false): one command a set serves many of them, which
-- is most of what they cost. Whoever reads such a set writes first.
local pending = {}

local function add(key, score, member)
  if not pending[key] then pending[key] = {} end
  pending[key][member] = score
end

local function remove(key, member) add(key, false, member) end

-- A command of any number of words behind the first two.
local function call(command, key, words)
  for from = 1, #words, 1000 do redis.call(command, key, unpack(words, from, math.min(from + 999, #words))) end
end

local function write_sets()
  for key, members in pairs(pending) do
    local adds, removes = {}, {}
    for member, score in pairs(members) do
      if score then
        adds[#adds + 1] = score
        adds[#adds + 1] = member
      else
        removes[#removes + 1] = member
      end
    end
    call('ZADD', key, adds)
    call('ZREM', key, removes)
  end
  pending = {}
end

-- The same words of progress with the time at which it ended as the last.
local function ended_at(rest, now) return (string.gsub(rest, '%d+$', now)) end

local function line(target) return base .. 'o:' .. target end

-- A place in a line by when the event was accepted: of its seq as many of the upper bits as a number holds.
local function place_of(member)
  return tonumber(string.sub(member, 1, 8), 16) * 2097152 + math.floor(tonumber(string.sub(member, 9, 16), 16) / 2048)
end

-- Whether a target has a line; one where nothing is open has none, and then none is needed.
local lines = {}
local function has_line(target)
  if lines[target] == nil then lines[target] = redis.call('EXISTS', line(target)) == 1 end
  return lines[target]
end

-- A new delivery is the last in line, whatever the clock of the gateway says that gave its event the seq.
local function stand_last(target, member)
  local last = tonumber(redis.call('ZRANGE', line(target), -1, -1, 'WITHSCORES')[2] or '0')
  redis.call('ZADD', line(target), math.max(last + 1, place_of(member)), member)
  lines[target] = true
end

-- An open delivery has ended.
local function leave(target, member)
  if has_line(target) then redis.call('ZREM', line(target), member) end
end

-- The first in line and when it is to be looked at, where nothing is in flight. Who waits for a person stands aside.
local function first_in_line(target)
  while true do
    local member = redis.call('ZRANGE', line(target), 0, 0)[1]
    if not member then return nil end
    local at = redis.call('ZSCORE', queue(target), member)
    if at and tonumber(at) < HELD then return member, at end
    redis.call('ZREM', line(target), member)
  end
end

local function first_time(key) return redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2] end

-- When something of a target is to be looked at next; '': nothing waits.
local function next_look(target, ordered)
  local waiting, flying = first_time(queue(target)), first_time(flights(target))
  if ordered == '1' and waiting and not flying then
    local _, at = first_in_line(target)
    return at or waiting
  end
  if ordered == '1' and flying then return flying end
  if waiting and flying then return tonumber(waiting) < tonumber(flying) and waiting or flying end
  return waiting or flying or ''
end

-- A delivery waits. That of a webhook, of which there may be thousands, is noted apart: nobody looks at each of their queues.
local function wait(target, due, expires, member)
  local at = looked_at(due, expires)
  add(queue(target), at, member)
  if has_line(target) and tonumber(at) < HELD then redis.call('ZADD', line(target), 'NX', place_of(member), member) end
  if string.sub(target, 1, 8) == 'webhook_' then redis.call('ZADD', base .. 's', 'LT', at, target) end
end

-- These, of what a target's queue holds, are due now; what a queue holds without a delivery that waits is taken out.
local function make_due(target, members, now)
  for _, member in ipairs(members) do
    local key = event(seq_of(member))
    local state, attempts, _, expires, lease, rest = read(redis.call('HGET', key, field('d', member)) or '')
    if state == 'P' then
      wait(target, now, expires, member)
      redis.call('HSET', key, field('d', member), write('P', attempts, now, expires, lease, rest))
    else
      remove(queue(target), member)
    end
  end
end

local totals = {}

local function count(name, by) totals[name] = (totals[name] or 0) + by end

-- The last that every script does.
local function write_all()
  write_sets()
  for name, by in pairs(totals) do
    redis.call('HINCRBY', base .. 't', name, string.format('%.0f', by))
  end
end

-- A delivery of the event has ended: an event without open ones is over.
local function close(seq, now)
  if redis.call('HINCRBY', event(seq), 'n', -1) <= 0 then add(base .. 'r', now, seq) end
end

-- How many deliveries of a target are open.
local sizes = {}
local function size(target)
  if not sizes[target] then
    sizes[target] = redis.call('ZCARD', queue(target)) + redis.call('ZCARD', flights(target))
  end
  return sizes[target]
end

-- Any delivery that is not in flight is due now.
local function restart(member, target, text, now)
  local state, attempts, _, expires, _, rest = read(text)
  if expires ~= '0' and tonumber(expires) <= tonumber(now) then expires = '0' end
  local seq = seq_of(member)
  wait(target, now, expires, member)
  redis.call('HSET', event(seq), field('d', member), write('P', attempts, now, expires, '-', rest))
  if state ~= 'P' and state ~= 'F' then
    if state ~= 'S' then redis.call('ZREM', ended(state), member) end
    redis.call('HINCRBY', event(seq), 'n', 1)
    remove(base .. 'r', seq)
  end
end

-- A waiting delivery is stopped.
local function cancel(member, target, text, now)
  local _, attempts, due, expires, _, rest = read(text)
  remove(queue(target), member)
  leave(target, member)
  redis.call('ZADD', ended('C'), 0, member)
  redis.call('HSET', event(seq_of(member)), field('d', member), write('C', attempts, due, expires, '-', ended_at(rest, now)))
  count('cancelled:' .. target, 1)
  close(seq_of(member), now)
end

-- What workers of this gateway wait for, by target: how many are left, their lease and its end. And the members that they got.
local standing, granted = {}, {}

-- Whether a new delivery goes to a worker that waits for it, in the same step: none is due before it.
local behind = {}
local function grant(member, target, due, expires, now)
  local claim = standing[target]
  if not claim or claim.left == 0 or tonumber(due) > tonumber(now) or has_line(target) then return nil end
  if expires ~= '0' and tonumber(expires) <= tonumber(now) then return nil end
  if behind[target] == nil then
    behind[target] = #redis.call('ZRANGEBYSCORE', queue(target), '-inf', now, 'LIMIT', 0, 1) > 0
  end
  if behind[target] then return nil end
  claim.left = claim.left - 1
  granted[#granted + 1] = member
  add(flights(target), claim.ends_at, member)
  return claim.lease
end

-- A delivery of an event that is being kept or, not as a `new` one, replayed; false where its queue is full and it is dead
-- from the start.
local function plan(new, member, target, how, due, expires, queue_max, ordered, now, fields)
  local is_full = size(target) >= tonumber(queue_max)
  fields[#fields + 1] = field('p', member)
  fields[#fields + 1] = how
  fields[#fields + 1] = field('d', member)
  if is_full then
    fields[#fields + 1] = write('D', '0', due, expires, '-', '0 - - queue_full ' .. now)
    redis.call('ZADD', ended('D'), 0, member)
    count('dead:' .. target, 1)
    return false
  end
  sizes[target] = sizes[target] + 1
  local lease = new and ordered ~= '1' and grant(member, target, due, expires, now)
  fields[#fields + 1] = write(lease and 'F' or 'P', '0', due, expires, lease or '-', '0 - - - 0')
  if lease then return true end
  if new and (ordered == '1' or has_line(target)) and tonumber(due) < HELD then stand_last(target, member) end
  wait(target, due, expires, member)
  return true
end

-- What its claimer forgot waits again; its lease is kept, so that a late outcome counts until somebody else claims.
local function lapse(target, now)
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', flights(target), '-inf', now, 'LIMIT', 0, 500)) do
    remove(flights(target), member)
    local text = redis.call('HGET', event(seq_of(member)), field('d', member))
    local state, attempts, due, expires, lease, rest = read(text or '')
    if state == 'F' then
      wait(target, due, expires, member)
      redis.call('HSET', event(seq_of(member)), field('d', member), write('P', attempts, due, expires, lease, rest))
    end
  end
  write_sets()
end
