package redis

import (
	"crypto/sha1"
	"encoding/hex"
)

// The keys of a store, in the order in which scripts get them. The braces keep them on one server.
const (
	keyLog   = "log"   // the stream; an entry has the fields t: topic, d: data, i: ID, w: Unix time in µs
	keyMeta  = "meta"  // a hash: epoch, run: the server that was seen last
	keyLast  = "last"  // a hash: topic -> the last message, packed
	keyOrder = "order" // a sorted set: topic by the offset of its last message
	keyID    = "id:"   // and an ID: the offset of the message that had it
)

// keysOf returns the keys of a store, without that of an ID.
func keysOf(name string) []string {
	prefix := "{" + name + "}:"
	return []string{prefix + keyLog, prefix + keyMeta, prefix + keyLast, prefix + keyOrder}
}

// sha is the name that the server gives to a script.
func sha(script string) string {
	sum := sha1.Sum([]byte(script))
	return hex.EncodeToString(sum[:])
}

// The script retain packs a message and notes it as the last one of its topic. Offsets of up to
// 2^53 are exact numbers in Lua.
const retainFunction = `
local function offsetOf(id)
	local ms, n = string.match(id, '^(%d+)-(%d+)$')
	return ms * 4294967296 + n + 1
end
local function retain(topic, id, ident, when, deleted, data)
	redis.call('HSET', KEYS[3], topic, cmsgpack.pack({id, ident, when, deleted, data}))
	redis.call('ZADD', KEYS[4], string.format('%.0f', offsetOf(id)), topic)
end
`

// publishScript stores a message, unless its ID is known, and returns the entry's id.
// KEYS: those of the store, and that of the ID. ARGV: 1 the epoch, 2 topic, 3 data, 4 ID, 5 "1" for
// the marker of a deleted topic, 6 window in ms, 7 backlog, 8 how many topics are retained.
const publishScript = retainFunction + `
if redis.call('HGET', KEYS[2], 'epoch') ~= ARGV[1] or redis.call('EXISTS', KEYS[1]) == 0 then
	return redis.error_reply('EPOCH the store is another one')
end
if ARGV[4] ~= '' then
	local known = redis.call('GET', KEYS[5])
	if known then
		return known
	end
end
local now = redis.call('TIME')
local when = string.format('%d%06d', now[1], now[2])
local id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[7], ARGV[1] .. '-*',
	't', ARGV[2], 'd', ARGV[3], 'i', ARGV[4], 'w', when, 'x', ARGV[5])
if ARGV[4] ~= '' then
	redis.call('SET', KEYS[5], id, 'PX', ARGV[6])
end
if ARGV[8] ~= '0' then
	retain(ARGV[2], id, ARGV[4], when, ARGV[5], ARGV[3])
	while redis.call('ZCARD', KEYS[4]) > tonumber(ARGV[8]) do
		redis.call('HDEL', KEYS[3], redis.call('ZPOPMIN', KEYS[4])[1])
	end
end
return id
`

// beginScript returns the epoch, the id of the first entry, that of the last one, and the lowest
// offset that is retained, empty strings for what there is not, and the time in µs. It begins a new
// epoch if the store is empty, or if it may have lost its end, or its log, which a server with
// maxmemory may evict: then offsets that have been delivered would be given again, to other messages.
// The remaining messages get offsets of the new epoch.
// KEYS: those of the store. ARGV: 1 a new epoch, 2 the server's run id, 3 "1" if a server that has
// restarted has lost nothing, 4 the epoch that the node knows, 5 the offset that was delivered last.
const beginScript = retainFunction + `
local epoch = redis.call('HGET', KEYS[2], 'epoch')
local run = redis.call('HGET', KEYS[2], 'run')
local function lastID()
	if redis.call('EXISTS', KEYS[1]) == 0 then
		return ''
	end
	local info = redis.call('XINFO', 'STREAM', KEYS[1])
	for i = 1, #info, 2 do
		if info[i] == 'last-generated-id' and info[i + 1] ~= '0-0' then
			return info[i + 1]
		end
	end
	return ''
end
local function renumber()
	local log = redis.call('XRANGE', KEYS[1], '-', '+')
	local before = '+inf'
	if #log > 0 then
		before = string.format('(%.0f', offsetOf(log[1][1]))
	end
	local old, kept = {}, {}
	for _, topic in ipairs(redis.call('ZRANGEBYSCORE', KEYS[4], '-inf', before)) do
		local packed = redis.call('HGET', KEYS[3], topic)
		if packed then
			old[#old + 1] = topic
			kept[#old] = cmsgpack.unpack(packed)
		end
	end
	local retains = redis.call('EXISTS', KEYS[4]) == 1
	redis.call('DEL', KEYS[1], KEYS[3], KEYS[4])
	local n = 0
	for i, topic in ipairs(old) do
		local m = kept[i]
		retain(topic, ARGV[1] .. '-' .. n, m[2], m[3], m[4], m[5])
		n = n + 1
	end
	for _, entry in ipairs(log) do
		local id, f = ARGV[1] .. '-' .. n, entry[2]
		redis.call('XADD', KEYS[1], id, unpack(f))
		if retains then
			retain(f[2], id, f[6], f[8], f[10], f[4])
		end
		n = n + 1
	end
end
if not epoch then
	redis.call('DEL', KEYS[1], KEYS[3], KEYS[4])
	epoch = ARGV[1]
elseif redis.call('EXISTS', KEYS[1]) == 0 then -- the server has evicted it
	renumber()
	epoch = ARGV[1]
else
	local last, delivered = lastID(), 0
	if last ~= '' then
		delivered = offsetOf(last)
	end
	if run ~= ARGV[2] and ARGV[3] ~= '1' or ARGV[4] == epoch and delivered < tonumber(ARGV[5]) then
		renumber()
		epoch = ARGV[1]
	end
end
redis.call('HSET', KEYS[2], 'epoch', epoch, 'run', ARGV[2])
if redis.call('EXISTS', KEYS[1]) == 0 then -- an empty log is there too: else it has been evicted
	redis.call('XGROUP', 'CREATE', KEYS[1], 'empty', '$', 'MKSTREAM')
	redis.call('XGROUP', 'DESTROY', KEYS[1], 'empty')
	local highest = redis.call('ZRANGE', KEYS[4], -1, -1, 'WITHSCORES')
	if #highest > 0 then -- entries come after what is retained
		redis.call('XSETID', KEYS[1], epoch .. '-' .. string.format('%.0f', highest[2] - epoch * 4294967296 - 1))
	end
end
local first, retained = '', ''
local head = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)
if #head > 0 then
	first = head[1][1]
end
local lowest = redis.call('ZRANGE', KEYS[4], 0, 0, 'WITHSCORES')
if #lowest > 0 then
	retained = lowest[2]
end
local now = redis.call('TIME')
return {epoch, first, lastID(), retained, string.format('%d%06d', now[1], now[2])}
`
