#!lua name=fraudh1
-- History rows inside Redis. They depend on the order of events, so they are made by their reader and stored as they
-- stand, if nobody else has written them since; otherwise the writer reads them again and makes its changes anew.

-- KEYS: a row's hash. ARGS: its time to live (ms, 0: none), the version that was read, the row, then field and offset of
-- each mark that it moves. Returns 1, or 0 when the row is no longer the one that was read.
local function set(keys, args)
    local key, expected = keys[1], args[2]
    if (redis.call('HGET', key, 'n') or '0') ~= expected then
        return 0
    end
    local version = tonumber(expected) + 1
    redis.call('HSET', key, 'r', args[3], 'n', string.format('%.0f', version))
    for index = 4, #args, 2 do
        redis.call('HSET', key, args[index], args[index + 1])
    end
    local life = tonumber(args[1])
    if life > 0 and version % 16 == 1 then
        redis.call('PEXPIRE', key, life)
    end
    return 1
end

redis.register_function('fraudh1_set', set)
