-- Keeps a webhook as it stands from now on, or forgets it. id, text ('': forget it), how it must stand now ('': not there at
-- all, '*': however). Answers ok, or changed. Of the changes the last of each webhook is noted, of a bounded number of them.
local id, text, was = take(), take(), take()
local key = base .. 'hooks'
local now = redis.call('HGET', key, id) or ''
if now == text then return 'ok' end
if was ~= '*' and now ~= was then return 'changed' end
if text == '' then redis.call('HDEL', key, id) else redis.call('HSET', key, id, text) end
redis.call('ZADD', base .. 'hooks:changes', redis.call('INCR', base .. 'hooks:version'), id)
redis.call('ZREMRANGEBYRANK', base .. 'hooks:changes', 0, -1 - tonumber(take()))
return 'ok'
