#!lua name=fraudlog2
-- What must happen at once inside Redis. None of it knows what a row means.

-- KEYS: first answers, logs, the hash of highest offsets. ARGS: how many answers, how many logs; a value for each
-- answer, what is appended to each log; then field and offset, ... Nothing is written when one of the answers is taken.
-- Returns 0 and what the answers hold, or 1 and the length of each log.
local function write(keys, args)
    local answers, logs = tonumber(args[1]), tonumber(args[2])
    local found, taken = { 0 }, false
    for index = 1, answers do
        local held = redis.call('GET', keys[index])
        found[index + 1] = held
        taken = taken or held
    end
    if taken then
        return found
    end
    found = { 1 }
    for index = 1, answers do
        redis.call('SET', keys[index], args[2 + index])
    end
    for index = 1, logs do
        found[index + 1] = redis.call('APPEND', keys[answers + index], args[2 + answers + index])
    end
    local marks = keys[answers + logs + 1]
    for index = 3 + answers + logs, #args, 2 do
        local held = tonumber(redis.call('HGET', marks, args[index]) or -1)
        if tonumber(args[index + 1]) > held then
            redis.call('HSET', marks, args[index], args[index + 1])
        end
    end
    return found
end

-- KEYS: base, log. ARGS: length of the log when it was read, its last 8 bytes then, the new base, how a log on it
-- begins, time to live (ms, 0: none). What was appended since moves to the new log. Returns 1, or 0 when the log is no
-- longer the one that was read.
local function rebase(keys, args)
    local size = tonumber(args[1])
    local rest = redis.call('GETRANGE', keys[2], size - 8, -1)
    if string.sub(rest, 1, 8) ~= args[2] then
        return 0
    end
    rest = args[4] .. string.sub(rest, 9)
    if args[5] == '0' then
        redis.call('SET', keys[1], args[3])
        redis.call('SET', keys[2], rest)
    else
        redis.call('SET', keys[1], args[3], 'PX', args[5])
        redis.call('SET', keys[2], rest, 'PX', args[5])
    end
    return 1
end

-- KEYS: base, log, the hash in which format 1 kept the row. ARGS: the base, how a log on it begins, time to live.
-- Returns 1 when the row was taken over, 0 when somebody was first.
local function adopt(keys, args)
    local first = redis.call('EXISTS', keys[1], keys[2]) == 0 and redis.call('EXISTS', keys[3]) == 1
    if first then
        redis.call('SET', keys[1], args[1])
        redis.call('SET', keys[2], args[2])
        if args[3] ~= '0' then
            redis.call('PEXPIRE', keys[2], args[3])
            redis.call('PEXPIRE', keys[1], args[3])
        end
    end
    redis.call('DEL', keys[3])
    return first and 1 or 0
end

-- KEYS: of rows that nobody else writes, base and log of each. ARGS: time to live (ms, 0: none), then what each holds.
local function put(keys, args)
    for index = 1, #keys do
        if args[1] == '0' then
            redis.call('SET', keys[index], args[index + 1])
        else
            redis.call('SET', keys[index], args[index + 1], 'PX', args[1])
        end
    end
    return #keys
end

redis.register_function('fraudlog2_put', put)
redis.register_function('fraudlog2_write', write)
redis.register_function('fraudlog2_rebase', rebase)
redis.register_function('fraudlog2_adopt', adopt)
